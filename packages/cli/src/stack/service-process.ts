/** One service of the stack: a child process that is started again when it ends unasked. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CliError } from '../cli-error.ts';
import { Backoff, pause } from './backoff.ts';
import type { LogFile } from './log-file.ts';

export interface ServiceProcessOptions {
  readonly name: string;
  /** The service's src/main.ts. */
  readonly main: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Base URL under which it answers once it listens. */
  readonly url: string;
  readonly log: LogFile;
  /** Gets what a person should see: restarts, and the service's own warnings and errors. */
  readonly say: (line: string) => void;
  /** Gets the reason when it is of no use to start the service again. */
  readonly onHopeless: (error: CliError) => void;
}

const exitWithParent = fileURLToPath(import.meta.resolve('./exit-with-parent.ts'));
const badConfigurationStatus = 2;
/** A service that has never been ready and ends so often is not going to be. */
const startAttemptsMax = 5;
const readyPollMs = 100;
const lastLinesKept = 24;

export class ServiceProcess {
  readonly #options: ServiceProcessOptions;
  readonly #backoff = new Backoff();
  readonly #stopping = new AbortController();
  readonly #lastLines: string[] = [];
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #wasReady = false;

  constructor(options: ServiceProcessOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Undefined while it is between two starts. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    this.#ended = this.#keepRunning();
  }

  /** Waits for `/readyz` to say yes. Throws `cli.stack` with what it says instead when it takes too long. */
  async waitUntilReady(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const deadlineMs = Date.now() + timeoutMs;
    let answer = 'nothing listens yet';
    while (Date.now() < deadlineMs) {
      signal.throwIfAborted();
      const state = await askReadiness(this.#options.url);
      if (state.isReady) {
        this.#wasReady = true;
        return;
      }
      answer = state.answer;
      await pause(readyPollMs, signal);
    }
    signal.throwIfAborted();
    throw new CliError(
      'cli.stack',
      `${this.name} is not ready after ${timeoutMs / 1000} s: ${answer}\n${this.#describeLog()}`,
    );
  }

  /** Asks it to drain, and ends it when the grace is over. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    this.#child?.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#options.say(`${this.name} did not stop within ${graceMs / 1000} s and is killed`);
      this.#child?.kill('SIGKILL');
    }, graceMs);
    await this.#ended;
    clearTimeout(timer);
  }

  async #keepRunning(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#backoff.noteStart(Date.now());
      const { code, signal } = await this.#runOnce();
      if (this.#stopping.signal.aborted) return;
      const how = signal === null ? `exit status ${code}` : `signal ${signal}`;
      if (this.#isHopeless(code)) {
        this.#options.onHopeless(
          new CliError('cli.stack', `${this.name} cannot run (${how})\n${this.#describeLog()}`, {
            details: { exitStatus: code },
          }),
        );
        return;
      }
      const pauseMs = this.#backoff.noteEnd(Date.now());
      this.#options.say(`${this.name} ended (${how}); starting it again in ${pauseMs / 1000} s`);
      await pause(pauseMs, this.#stopping.signal);
    }
  }

  #isHopeless(code: number | null): boolean {
    if (code === badConfigurationStatus) return true;
    return !this.#wasReady && this.#backoff.failureCount + 1 >= startAttemptsMax;
  }

  #runOnce(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    // Its own session: the terminal's Ctrl-C reaches the supervisor alone, which stops things in order.
    const child = spawn(process.execPath, ['--import', exitWithParent, this.#options.main], {
      env: this.#options.env as NodeJS.ProcessEnv,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null)
        createInterface({ input: stream }).on('line', (line) => this.#note(line));
    }
    return new Promise((resolve) => {
      child.once('error', (error) => {
        this.#note(`cannot start: ${error.message}`);
        if (child.pid === undefined) resolve({ code: 1, signal: null });
      });
      // Not `exit`: the last lines come before `close`.
      child.once('close', (code, signal) => {
        this.#child = undefined;
        resolve({ code, signal });
      });
    });
  }

  #note(line: string): void {
    this.#options.log.write(`${line}\n`);
    this.#lastLines.push(line);
    if (this.#lastLines.length > lastLinesKept) this.#lastLines.shift();
    const loud = loudPart(line);
    if (loud !== undefined) this.#options.say(`${this.name}: ${loud}`);
  }

  #describeLog(): string {
    const lines = this.#lastLines.map((line) => `  ${line}`);
    return [`its last lines (all of them in ${this.#options.log.path}):`, ...lines].join('\n');
  }
}

async function askReadiness(url: string): Promise<{ isReady: boolean; answer: string }> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(5000) });
    const text = await response.text();
    return { isReady: response.ok, answer: text.slice(0, 500) };
  } catch {
    return { isReady: false, answer: 'nothing listens yet' };
  }
}

interface LogLine {
  readonly level?: unknown;
  readonly msg?: unknown;
  readonly error?: { readonly message?: unknown };
}

/** What a person should see of a log line: warnings and worse; a crash's stack stays in the log. */
function loudPart(line: string): string | undefined {
  let entry: LogLine;
  try {
    entry = JSON.parse(line) as LogLine;
  } catch {
    return undefined;
  }
  const { level, msg, error } = entry;
  const isLoud =
    level === 'warn' ||
    level === 'error' ||
    level === 'fatal' ||
    (typeof level === 'number' && level >= 40);
  if (!isLoud) return undefined;
  const reason = typeof error?.message === 'string' ? `: ${error.message}` : '';
  return `${String(msg)}${reason}`;
}
