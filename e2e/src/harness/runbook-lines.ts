/** The shell lines of runbook pages as words, also those that nothing runs. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface CommandLine {
  /** Of one command of a pipe or list, without quotes. */
  readonly words: readonly string[];
  /** Page and command, for messages. */
  readonly where: string;
  /** The whole page. */
  readonly page: string;
}

/** Commands of all `sh` blocks of the pages in the directory. */
export async function readCommandLines(directory: string): Promise<CommandLine[]> {
  const lines: CommandLine[] = [];
  for (const file of (await readdir(directory)).filter((name) => name.endsWith('.md')).sort()) {
    const page = await readFile(join(directory, file), 'utf8');
    for (const block of readFences(page)) {
      for (const line of block.replaceAll('\\\n', ' ').split('\n')) {
        for (const words of commandsOf(line)) {
          if (words.length > 0) lines.push({ words, where: `${file}: ${line.trim()}`, page });
        }
      }
    }
  }
  return lines;
}

/** The text of each `sh` block. */
export function readFences(page: string): string[] {
  return [...page.matchAll(/^```sh[^\n]*\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
}

/** Splits at pipes and lists outside quotes; what comes after ` #` is a comment. */
function commandsOf(line: string): string[][] {
  const commands: string[][] = [[]];
  const token = /'([^']*)'|"((?:[^"\\]|\\.)*)"|(#.*)|(&&|\|\||[|;&])|([^\s'"|;&]+)/g;
  let end = 0;
  for (const match of line.matchAll(token)) {
    const [whole, single, double, comment, separator, bare] = match;
    const isJoined = match.index === end && end > 0 && separator === undefined;
    end = match.index + whole.length;
    if (comment !== undefined && !isJoined) break;
    if (separator !== undefined) commands.push([]);
    else {
      const words = commands.at(-1) ?? [];
      const text = single ?? double ?? bare ?? whole;
      if (isJoined && words.length > 0) words.push((words.pop() ?? '') + text);
      else words.push(text);
    }
  }
  return commands;
}
