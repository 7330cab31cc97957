/** `main.ts` as a process of its own, as operators run it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Lake } from './ingest-rig.ts';

const PROGRAM = fileURLToPath(new URL('../src/main.ts', import.meta.url));

export interface LogLine {
  readonly msg: string;
  readonly level: string;
  readonly [field: string]: unknown;
}

export class IngestProcess implements AsyncDisposable {
  readonly lines: LogLine[] = [];
  readonly exited: Promise<number | null>;
  readonly url: Promise<string>;
  readonly #child: ChildProcess;

  constructor(lake: Lake, env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(process.execPath, [PROGRAM], {
      env: lake.env(env),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.exited = once(this.#child, 'close').then(([code]) => code as number | null);
    this.url = this.#readLines();
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  has(message: string): boolean {
    return this.lines.some((line) => line.msg === message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  #readLines(): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    if (this.#child.stdout === null) throw new Error('the process has a stdout');
    createInterface(this.#child.stdout).on('line', (text) => {
      const line = JSON.parse(text) as LogLine;
      this.lines.push(line);
      if (line.msg === 'service started') resolve(String(line.url));
    });
    void this.exited.then((code) =>
      reject(new Error(`ingest ended with ${code} before it started`)),
    );
    promise.catch(() => {});
    return promise;
  }
}
