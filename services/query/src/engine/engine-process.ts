/** The parent's side of one child process: one statement at a time, and the end with any that fails. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { EngineError, type EngineErrorCode } from './engine-error.ts';
import {
  type ChildMessage,
  type EngineSettings,
  encodeParentMessage,
  type ParentMessage,
  parseChildMessage,
  type RunRequest,
  type RunSummary,
  type StatementSources,
} from './protocol.ts';

export interface EngineProcessOptions {
  readonly settings: EngineSettings;
  /** UTF-8 bytes of a statement, looked at before anything parses it. */
  readonly sqlBytesMax: number;
  readonly analyseTimeMs: number;
  /** Time for the process to load DuckDB, and to make itself ready for another statement. */
  readonly startTimeMs: number;
  /** Where processes leave what they compiled, before they read a statement, for those that come after them. */
  readonly codeDir: string;
}

export interface RunningQuery {
  /** Ends after the last byte, or fails after the last byte that came. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Settles when the statement has ended; need not be waited for. */
  readonly done: Promise<RunSummary>;
}

const ENGINE_MAIN = fileURLToPath(new URL('./engine-main.ts', import.meta.url));
const BODY_FD = 4;

/** JavaScript's own heap in a child; DuckDB's memory is beside it. */
const HEAP_MB = 512;

/**
 * V8 counts DuckDB's vectors into what may make it collect, and of its own accord would mark the child's whole heap after
 * some 8 MB of them. They are freed with the young generation, which is collected for that (`result-streaming.ts`).
 */
const V8_FLAGS = [
  '--expose-gc',
  '--heap-growing-percent=200',
  '--incremental-marking-soft-trigger=90',
  '--incremental-marking-hard-trigger=95',
];

/** How long free memory of DuckDB stays with the process: it is new to the process again once it was given back. */
const FREE_MEMORY_KEPT_MS = 10_000;

/**
 * For DuckDB's allocator. As many arenas as threads work at a time: each instance has threads of its own, and with an
 * arena for each of all of them, what one statement gave back would lie unused while the next takes new memory. DuckDB
 * by itself has free memory given back within a second, which is before the next statement of a person, and often
 * before that of a program. What a process may keep between statements is bounded by `keptBytesMax`.
 */
function memoryConf({ threads }: EngineSettings): string {
  const decay = `dirty_decay_ms:${FREE_MEMORY_KEPT_MS},muzzy_decay_ms:${FREE_MEMORY_KEPT_MS}`;
  return `narenas:${threads},${decay}`;
}

/** What the child gets beyond a limit of time that it keeps itself. */
const GRACE_MS = 3000;

/** How much of a child's last words is kept. */
const STDERR_CHARS_MAX = 2000;

/** Made by {@link EnginePool}, which gets every one back. */
export class EngineProcess {
  readonly #options: EngineProcessOptions;
  readonly #child: ChildProcess;
  readonly #body: Socket;
  readonly #exited: Promise<void>;
  /** Why it was ended from here, where it cannot say itself. */
  #verdict: EngineError | undefined;
  #stderr = '';
  #received: ChildMessage[] = [];
  #wake: () => void = () => undefined;
  #wakeReader: () => void = () => undefined;
  #isOver = false;
  #isReusable = false;

  private constructor(options: EngineProcessOptions, child: ChildProcess) {
    this.#options = options;
    this.#child = child;
    this.#body = child.stdio[BODY_FD] as Socket;
    this.#body.on('error', () => undefined);
    for (const event of ['readable', 'end', 'close'])
      this.#body.on(event, () => this.#wakeReader());
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARS_MAX);
    });
    child.on('message', (message) => this.#receive(message));
    this.#exited = new Promise((resolve) => {
      const over = () => {
        this.#isOver = true;
        this.#wake();
        resolve(
          rm(options.settings.tempDir, { recursive: true, force: true }).catch(() => undefined),
        );
      };
      // `close` comes after the last message has been delivered; a child that never began has no `close`.
      child.once('close', over);
      child.once('error', over);
    });
  }

  /** Resolves once DuckDB is loaded. Errors: `query.engine-died`. */
  static async start(options: EngineProcessOptions): Promise<EngineProcess> {
    await mkdir(options.settings.tempDir, { recursive: true });
    const [command, args] = withDataLimit(options.settings, process.execPath, [
      `--max-old-space-size=${HEAP_MB}`,
      ...V8_FLAGS,
      ENGINE_MAIN,
      JSON.stringify(options.settings),
    ]);
    const child = spawn(command, args, {
      // Nothing of the service's environment: no credentials, no proxies.
      env: {
        NODE_COMPILE_CACHE: options.codeDir,
        DUCKDB_JE_MALLOC_CONF: memoryConf(options.settings),
      },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc', 'pipe'],
    });
    const engine = new EngineProcess(options, child);
    try {
      await engine.#expect('ready', options.startTimeMs);
      return engine;
    } catch (error) {
      await engine.kill();
      throw error;
    }
  }

  /** Its own, removed with it. */
  get tempDir(): string {
    return this.#options.settings.tempDir;
  }

  get isAlive(): boolean {
    return !this.#isOver;
  }

  /** The last statement came to its own end and its answer was taken whole; nothing went wrong since. */
  get isReusable(): boolean {
    return this.#isReusable && this.#verdict === undefined && !this.#isOver;
  }

  /** Waits until a reusable process has put its statement behind it. Errors: `query.engine-died`, when it ended. */
  async reset(): Promise<void> {
    this.#isReusable = false;
    await this.#expect('ready', this.#options.startTimeMs);
    if (this.#body.readableLength > 0) {
      throw new EngineError('query.engine-failed', 'the query process wrote more than its answer');
    }
  }

  /**
   * Parses and checks a statement and says what it reads.
   *
   * Errors: any `query.…` code; the process then serves no more and must be ended.
   */
  async analyse(sql: string): Promise<StatementSources> {
    const sizeBytes = Buffer.byteLength(sql);
    if (sizeBytes > this.#options.sqlBytesMax) {
      throw new EngineError(
        'query.statement-too-large',
        `the statement has ${sizeBytes} bytes, ${this.#options.sqlBytesMax} are allowed`,
      );
    }
    this.#send({ kind: 'analyse', sql });
    const { explain, sources } = await this.#expect('sources', this.#options.analyseTimeMs);
    return { explain, sources };
  }

  /**
   * Runs what was analysed. Resolves when the first rows are there, so that every error until then is
   * thrown from here; a later one is thrown by `body` and by `done`.
   */
  async run(request: RunRequest): Promise<RunningQuery> {
    this.#send({ kind: 'run', request });
    await this.#expect('started', request.limits.timeMs + GRACE_MS);
    const done = this.#finish(request.limits.timeMs + GRACE_MS);
    // Whoever reads the body meets the same error there.
    done.catch(() => undefined);
    return { body: this.#bytes(done), done };
  }

  /** Ends the process at once and waits until it is gone, with its temporary files. */
  async kill(): Promise<void> {
    this.#verdict ??= new EngineError('query.cancelled', 'the query was given up');
    this.#child.kill('SIGKILL');
    await this.#exited;
    this.#body.destroy();
  }

  async *#bytes(done: Promise<RunSummary>): AsyncGenerator<Uint8Array, void, void> {
    let total: number | undefined;
    const ended = () => this.#wakeReader();
    done.then(({ bytes }) => (total = bytes)).then(ended, () => undefined);
    let taken = 0;
    while (total === undefined || taken < total) {
      const woken = new Promise<void>((resolve) => (this.#wakeReader = resolve));
      const chunk = this.#body.read() as Uint8Array | null;
      if (chunk !== null) {
        taken += chunk.byteLength;
        yield chunk;
      } else if (this.#body.readableEnded || this.#body.destroyed) break;
      else await woken;
    }
    await done;
    if (taken !== total)
      throw new EngineError('query.engine-failed', 'an answer of another length');
    this.#isReusable = true;
  }

  /** Waits for the end of the answer: a child that neither works nor is waited on by its reader is stuck. */
  async #finish(silenceMsMax: number): Promise<RunSummary> {
    let bytesRead = -1;
    for (;;) {
      try {
        const { rows, bytes } = await this.#expect('done', silenceMsMax);
        return { rows, bytes };
      } catch (error) {
        if (!(error instanceof SilentError)) throw error;
        // Bytes that wait for the reader, or that it has taken meanwhile, are not the child's fault.
        const waitsForReader = this.#body.readableLength > 0;
        if (!waitsForReader && this.#body.bytesRead === bytesRead) throw this.#overrun();
        bytesRead = this.#body.bytesRead;
      }
    }
  }

  #receive(message: unknown): void {
    try {
      this.#received.push(parseChildMessage(message));
    } catch (error) {
      this.#verdict ??= error as EngineError;
      this.#child.kill('SIGKILL');
    }
    this.#wake();
  }

  #send(message: ParentMessage): void {
    // A child that has died is met where its answer is awaited.
    if (this.#child.connected)
      this.#child.send(encodeParentMessage(message) as object, () => undefined);
  }

  async #expect<K extends ChildMessage['kind']>(
    kind: K,
    timeMs: number,
  ): Promise<Extract<ChildMessage, { kind: K }>> {
    const message = await this.#next(timeMs, kind);
    if (message.kind === 'error')
      throw this.#verdict ?? new EngineError(message.code, message.message);
    if (message.kind === kind) return message as Extract<ChildMessage, { kind: K }>;
    throw new EngineError(
      'query.engine-failed',
      `the query process said ${message.kind}, not ${kind}`,
    );
  }

  async #next(timeMs: number, kind: ChildMessage['kind']): Promise<ChildMessage> {
    const deadlineMs = performance.now() + timeMs;
    for (;;) {
      const message = this.#received.shift();
      if (message !== undefined) return message;
      if (this.#isOver) throw this.#died();
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw kind === 'done' ? new SilentError() : this.#overrun();
      await this.#woken(leftMs);
    }
  }

  async #woken(timeMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeMs);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
  }

  #overrun(): EngineError {
    this.#verdict ??= new EngineError('query.time-limit', 'the query took too long and was ended');
    this.#child.kill('SIGKILL');
    return this.#verdict;
  }

  #died(): EngineError {
    if (this.#verdict !== undefined) return this.#verdict;
    const { exitCode, signalCode } = this.#child;
    const { code, message } = causeOfDeath(this.#stderr);
    const details = { exitCode, signalCode, stderr: this.#stderr.slice(-500) };
    return new EngineError(code, message, { details });
  }
}

/** Nothing was heard in time, which may be the reader's doing. */
class SilentError extends Error {}

function causeOfDeath(stderr: string): { code: EngineErrorCode; message: string } {
  if (/heap out of memory|bad_alloc|Out of memory|allocation failed/i.test(stderr)) {
    return { code: 'query.memory-limit', message: 'the query took all memory that it may have' };
  }
  return {
    code: 'query.engine-died',
    message: 'the statement brought its query process down; no other query is touched',
  };
}

/** What Node and DuckDB map for code and arenas and never touch: it counts as data all the same. */
const UNTOUCHED_BYTES = 640 * 1024 * 1024;

/** The same of a thread's stack; each instance has its threads. */
const STACK_BYTES = 8 * 1024 * 1024;

/**
 * Where the system counts it (Linux), a limit on the data that a process may map: an allocation beyond it
 * fails inside DuckDB, as a clear error, however fast it comes. And no core file of a crash.
 */
function withDataLimit(
  settings: EngineSettings,
  command: string,
  args: string[],
): [string, string[]] {
  if (process.platform !== 'linux') return [command, args];
  const stacks = settings.statementsMax * settings.threads * STACK_BYTES;
  const kib = Math.floor((settings.processBytesMax + UNTOUCHED_BYTES + stacks) / 1024);
  const script = `ulimit -c 0; ulimit -d ${kib} && exec "$0" "$@"`;
  return ['/bin/sh', ['-c', script, command, ...args]];
}
