/**
 * Runbook pages as data. What a page's code blocks do is in the words after the language:
 *
 *     ```sh run                              runs; must exit with 0
 *     ```sh run expect="^ready" within=30    its output must match; tried again for 30 seconds
 *     ```sql run expect="^0$"                a statement against the catalog database
 *     ```sh step="restart ingest"            done by the orchestrator; a test does the same in its own way
 *     ```sh                                  for reading
 */

export interface RunBlock {
  readonly kind: 'run';
  readonly language: 'sh' | 'sql';
  readonly text: string;
  readonly expect: RegExp | undefined;
  /** Seconds in which it must come right; 0 is one try. */
  readonly withinS: number;
  readonly line: number;
}

export interface StepBlock {
  readonly kind: 'step';
  readonly name: string;
  readonly line: number;
}

export interface RunbookPage {
  readonly title: string;
  /** Headings of the second level, in order. */
  readonly sections: readonly string[];
  readonly blocks: readonly (RunBlock | StepBlock)[];
  /** Names of files that the page links to, without directories above it. */
  readonly links: readonly string[];
}

export const RUNBOOK_SECTIONS = ['Symptoms', 'What users see', 'Commands', 'Verify', 'Go back'];

/** A quote within a quoted value is written as `\"`. */
const ATTRIBUTE = /([a-z]+)(?:=(?:"((?:[^"\\]|\\.)*)"|(\S+)))?\s*/gy;

/** Throws for a block that is marked in a way that means nothing. */
export function parseRunbookPage(markdown: string): RunbookPage {
  const sections: string[] = [];
  const blocks: (RunBlock | StepBlock)[] = [];
  let title = '';
  let open: { readonly info: string; readonly line: number; readonly body: string[] } | undefined;
  for (const [index, text] of markdown.split('\n').entries()) {
    if (open !== undefined) {
      if (text === '```') {
        const block = blockOf(open.info, open.body.join('\n'), open.line);
        if (block !== undefined) blocks.push(block);
        open = undefined;
      } else open.body.push(text);
    } else if (text.startsWith('```')) open = { info: text.slice(3), line: index + 1, body: [] };
    else if (text.startsWith('## ')) sections.push(text.slice(3).trim());
    else if (text.startsWith('# ')) title = text.slice(2).trim();
  }
  if (open !== undefined) throw new Error(`the block of line ${open.line} has no end`);
  const links = [...markdown.matchAll(/\]\(([a-z0-9-]+\.md)\)/g)].map(([, file = '']) => file);
  return { title, sections, blocks, links };
}

function blockOf(info: string, text: string, line: number): RunBlock | StepBlock | undefined {
  const [, language = '', rest = ''] = /^(\w*)\s*(.*)$/.exec(info) ?? [];
  const marks = attributesOf(rest, line);
  const name = marks.get('step');
  if (name !== undefined) return { kind: 'step', name, line };
  if (!marks.has('run')) {
    if (marks.size > 0) throw new Error(`line ${line}: what "${rest}" means is not known`);
    return undefined;
  }
  if (language !== 'sh' && language !== 'sql') {
    throw new Error(`line ${line}: only sh and sql can run, not ${language}`);
  }
  const expect = marks.get('expect');
  return {
    kind: 'run',
    language,
    text,
    expect: expect === undefined ? undefined : new RegExp(expect, 'm'),
    withinS: Number(marks.get('within') ?? 0),
    line,
  };
}

function attributesOf(text: string, line: number): Map<string, string> {
  const marks = new Map<string, string>();
  let end = 0;
  for (const match of text.matchAll(ATTRIBUTE)) {
    marks.set(match[1] ?? '', match[2]?.replaceAll('\\"', '"') ?? match[3] ?? '');
    end = match.index + match[0].length;
  }
  if (end !== text.length) throw new Error(`line ${line}: "${text}" cannot be read`);
  return marks;
}
