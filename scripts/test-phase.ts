/** One `node --test` over a list of files, told as it goes: a line a file, and failures in full. */
import path from 'node:path';
import { run } from 'node:test';
import { inspect } from 'node:util';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

export interface TestFailure {
  readonly file: string;
  readonly name: string;
  readonly text: string;
}

export interface TestPhase {
  readonly rootDir: string;
  readonly files: readonly string[];
  /** Files at once, each in a process of its own. */
  readonly concurrency: number;
  readonly signal: AbortSignal;
  /** Shows what tests print; otherwise only that of failing files, and the seeds. */
  readonly isVerbose: boolean;
}

/** A file that takes longer than this hangs. */
const fileTimeoutMs = 12 * 60_000;
const outputLinesShown = 60;

export function addCounts(total: Counts, part: Counts): void {
  total.passed += part.passed;
  total.failed += part.failed;
  total.skipped += part.skipped;
}

/** Runs the files and gives what came of them. */
export async function runTestFiles(
  phase: TestPhase,
): Promise<{ counts: Counts; failures: TestFailure[] }> {
  const log = new PhaseLog(phase);
  const stream = run({
    files: phase.files.map((file) => path.join(phase.rootDir, file)),
    concurrency: phase.concurrency,
    timeout: fileTimeoutMs,
    signal: phase.signal,
    cwd: phase.rootDir,
  });
  stream.on('test:pass', (event) => log.notePass(event));
  stream.on('test:fail', (event) => log.noteFail(event));
  stream.on('test:stdout', ({ file, message }) => log.noteOutput(file, message));
  stream.on('test:stderr', ({ file, message }) => log.noteOutput(file, message));
  stream.on('test:summary', ({ file, duration_ms }) => log.noteFileEnd(file, duration_ms));
  for await (const _ of stream);
  return { counts: log.counts, failures: log.failures };
}

interface TestEvent {
  readonly name: string;
  readonly file?: string | undefined;
  readonly nesting: number;
  readonly skip?: string | boolean | undefined;
  readonly todo?: string | boolean | undefined;
  readonly details: { readonly type?: string | undefined; readonly error?: Error };
}

class PhaseLog {
  readonly counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  readonly failures: TestFailure[] = [];
  readonly #phase: TestPhase;
  readonly #files = new Map<string, { counts: Counts; output: string[] }>();

  constructor(phase: TestPhase) {
    this.#phase = phase;
  }

  notePass(event: TestEvent): void {
    const isSkipped = isSet(event.skip) || isSet(event.todo);
    // A suite stands for its tests only when it is skipped: then none of them is told.
    if (event.details.type === 'suite' && !isSkipped) return;
    this.#add(event.file, isSkipped ? 'skipped' : 'passed');
    if (isSkipped && typeof event.skip === 'string') {
      console.log(`skipped: ${event.name}: ${event.skip}`);
    }
  }

  noteFail(event: TestEvent): void {
    const { error } = event.details;
    // A suite fails through its tests, a file through its own; each is told once, at its place.
    if (event.details.type === 'suite' && isSubtestFailure(error)) return;
    if (isSet(event.todo)) {
      this.#add(event.file, 'skipped');
      return;
    }
    if (isSubtestFailure(error) && this.#hasFailures(event.file)) return;
    this.#add(event.file, 'failed');
    const isWholeFile = event.name === event.file;
    // What ended a process is in its output: the runner only knows its exit status.
    const output = isWholeFile ? this.#of(event.file).output.slice(-outputLinesShown) : [];
    const failure = {
      file: this.#shown(event.file),
      name: isWholeFile ? 'the file as a whole' : event.name,
      text: indent([describe(error), ...output].join('\n')),
    };
    this.failures.push(failure);
    console.log(`\nFAILED ${failure.file}\n  ${failure.name}\n${failure.text}`);
  }

  noteOutput(file: string | undefined, message: string): void {
    if (this.#phase.isVerbose) process.stdout.write(message);
    const kept = this.#of(file).output;
    kept.push(...message.split('\n').filter((line) => line.trim() !== ''));
    if (kept.length > 1000) kept.splice(0, kept.length - 1000);
  }

  noteFileEnd(file: string | undefined, durationMs: number): void {
    if (file === undefined) return;
    const { counts, output } = this.#of(file);
    const words = [`${counts.passed} passed`];
    if (counts.failed > 0) words.push(`${counts.failed} failed`);
    if (counts.skipped > 0) words.push(`${counts.skipped} skipped`);
    const mark = counts.failed > 0 ? 'FAIL' : 'ok  ';
    console.log(
      `${mark} ${this.#shown(file)}: ${words.join(', ')} in ${(durationMs / 1000).toFixed(1)} s`,
    );
    if (this.#phase.isVerbose) return;
    const shown = counts.failed > 0 ? output.slice(-outputLinesShown) : output.filter(isSeed);
    for (const line of shown) console.log(`     | ${line}`);
  }

  #add(file: string | undefined, outcome: keyof Counts): void {
    this.counts[outcome] += 1;
    this.#of(file).counts[outcome] += 1;
  }

  #hasFailures(file: string | undefined): boolean {
    return this.#of(file).counts.failed > 0;
  }

  #of(file: string | undefined) {
    const key = file ?? '';
    let entry = this.#files.get(key);
    if (entry === undefined) {
      entry = { counts: { passed: 0, failed: 0, skipped: 0 }, output: [] };
      this.#files.set(key, entry);
    }
    return entry;
  }

  #shown(file: string | undefined): string {
    return file === undefined ? '(no file)' : path.relative(this.#phase.rootDir, file);
  }
}

function isSet(mark: string | boolean | undefined): boolean {
  return mark !== undefined && mark !== false;
}

function isSubtestFailure(error: (Error & { failureType?: string }) | undefined): boolean {
  return error?.failureType === 'subtestsFailed';
}

function isSeed(line: string): boolean {
  return /\bseeds?\b/i.test(line);
}

/** node:test wraps what was thrown; the cause is what the test said. */
function describe(error: Error | undefined): string {
  const cause = error?.cause ?? error;
  if (cause instanceof Error) return inspect(cause, { depth: 4, maxStringLength: 4000 });
  return String(cause);
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}
