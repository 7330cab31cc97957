/** The command inside the test's own process, which is faster than a process of its own and gives its output apart. */
import { Readable, Writable } from 'node:stream';
import { runCli } from '../src/run-cli.ts';

class Collected extends Writable {
  text = '';
  override _write(chunk: unknown, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
}

export async function runCommand(argv: readonly string[], options: CommandOptions = {}) {
  const stdout = new Collected();
  const stderr = new Collected();
  const status = await runCli(argv, {
    env: options.env ?? {},
    cwd: options.cwd ?? '/',
    signal: options.signal ?? new AbortController().signal,
    stdin: Readable.from([]),
    stdout,
    stderr,
  });
  return { status, stdout: stdout.text, stderr: stderr.text };
}
