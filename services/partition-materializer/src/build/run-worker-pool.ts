/**
 * Worker threads that fold runs and write their files. A run stays on the thread it was started on. A thread
 * that ends takes its runs with it: they fail as retryable, and the next run gets a new thread. The block that it was
 * decoding may have been the reason, so it is decoded on no such thread again.
 */

import { Worker } from 'node:worker_threads';
import { TokenPool } from '@tracelake/channels';
import { AppError, ensureExists, errorMessage } from '@tracelake/domain';
import type { RunContext, SourceBlock, ViewSet } from '@tracelake/lakehouse';
import { type BlockToDecode, movable } from '../decode/decode-messages.ts';
import { MaterializerError } from '../materializer-error.ts';
import type {
  FinishedRun,
  RunCall,
  RunCommand,
  RunFailure,
  RunFile,
  RunReply,
  RunResults,
} from './run-messages.ts';

export interface RunWorkerPoolOptions {
  /** Threads; they start when first needed, or all at once by `start`. */
  readonly workers: number;
  /** How long one block may take to decode and fold. */
  readonly decodeTimeoutMs: number;
  readonly onWorkerLost?: (reason: string) => void;
  /** How long a run that is given up may hold its thread before the thread is ended; default 10 s. */
  readonly dropMs?: number;
}

export interface RunStartRequest {
  readonly view: ViewSet;
  /** With the streams of the run's blocks at least. */
  readonly context: RunContext;
  readonly carryIn: Uint8Array | undefined;
}

/** Blocks that took their thread with them; more than there ever are at a time. */
const SUSPECTS_MAX = 1000;

/** A fixed number of threads; closing it stops them at once. */
export class RunWorkerPool implements AsyncDisposable {
  readonly #options: RunWorkerPoolOptions;
  readonly #threads = new Set<RunThread>();
  readonly #suspects = new Set<string>();
  #nextRunId = 1;
  #isClosed = false;

  constructor(options: RunWorkerPoolOptions) {
    this.#options = options;
  }

  /** Starts the threads that there may be, so that no build waits for it. */
  start(): void {
    while (this.#threads.size < this.#options.workers) this.#add();
  }

  /** Errors: `materializer.run-worker-lost`, `materializer.stopping` (both retryable), the view's own. */
  async startRun({ view, context, carryIn }: RunStartRequest): Promise<RemoteRun> {
    if (this.#isClosed) throw stopping();
    const thread = this.#leastBusy();
    const { decodeTimeoutMs, dropMs = DROP_MS } = this.#options;
    const onSuspect = (blockId: string) => this.#suspect(blockId);
    const runId = this.#nextRunId++;
    const run = new RemoteRun({ thread, runId, view, dropMs, decodeTimeoutMs, onSuspect });
    thread.runCount++;
    try {
      const { moduleUrl } = view;
      await thread.call(run.runId, { kind: 'start', moduleUrl, context, carryIn }, []);
      return run;
    } catch (error) {
      await run[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Whether a block may be decoded on the thread of its run, whose other blocks would be lost with it. */
  mayDecode({ blockId }: Pick<SourceBlock, 'blockId'>): boolean {
    return !this.#suspects.has(blockId);
  }

  #suspect(blockId: string): void {
    if (this.#isClosed) return;
    if (this.#suspects.size >= SUSPECTS_MAX) this.#suspects.clear();
    this.#suspects.add(blockId);
  }

  #leastBusy(): RunThread {
    let least: RunThread | undefined;
    for (const thread of this.#threads) {
      if (least === undefined || thread.runCount < least.runCount) least = thread;
    }
    const isFull = this.#threads.size >= this.#options.workers;
    return least !== undefined && (isFull || least.runCount === 0) ? least : this.#add();
  }

  #add(): RunThread {
    const thread: RunThread = new RunThread((reason) => {
      if (this.#threads.delete(thread) && !this.#isClosed) this.#options.onWorkerLost?.(reason);
    });
    this.#threads.add(thread);
    return thread;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#threads].map((thread) => thread.terminate(stopping())));
  }
}

const DROP_MS = 10_000;

interface RemoteRunOptions {
  readonly thread: RunThread;
  readonly runId: number;
  readonly view: ViewSet;
  readonly dropMs: number;
  readonly decodeTimeoutMs: number;
  readonly onSuspect: (blockId: string) => void;
}

/** A run on its worker; dispose it when it is finished or of no more use. */
export class RemoteRun implements AsyncDisposable {
  readonly runId: number;
  readonly #options: RemoteRunOptions;
  readonly #thread: RunThread;
  #isOpen = true;

  constructor(options: RemoteRunOptions) {
    this.#options = options;
    this.#thread = options.thread;
    this.runId = options.runId;
  }

  /** Of the runs of its thread one computes at a time: whoever has the turn finds the thread idle. */
  get turns(): TokenPool {
    return this.#thread.turns;
  }

  /** Folds the next block, whose arrays move to the worker. Errors: those of `finish`. */
  async add(block: SourceBlock, parsed: unknown, signal: AbortSignal): Promise<void> {
    const transfer = this.#options.view.transferList(parsed);
    await this.#call({ kind: 'add', block, parsed }, transfer, signal);
  }

  /**
   * Decodes the next block on the run's thread and folds it there. The payload's memory moves to the worker. Returns why
   * it cannot be decoded, when it cannot. Errors: those of `finish`; also when it takes too long.
   */
  async decodeAndAdd(
    { payload, input }: Omit<BlockToDecode, 'payload'> & { readonly payload: Uint8Array },
    signal: AbortSignal,
  ): Promise<{ readonly undecodable: string | undefined }> {
    const { decodeTimeoutMs, onSuspect } = this.#options;
    const block = { payload: movable(payload), input };
    const late = setTimeout(() => {
      void this.#thread.terminate(lost(`a block took more than ${decodeTimeoutMs} ms`));
    }, decodeTimeoutMs);
    try {
      const call = { kind: 'decodeAndAdd', block } as const;
      const { undecodable } = await this.#call(call, [block.payload.buffer], signal);
      return { undecodable };
    } catch (error) {
      if (this.#thread.isLost && !signal.aborted) onSuspect(input.block.blockId);
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /**
   * Puts the rows in order and into the file. When the signal fires the file is given up, and the call ends
   * when it is gone.
   *
   * Errors: those of `writeParquet`, `materializer.run-worker-lost`, `materializer.stopping`.
   */
  async finish(file: RunFile, signal: AbortSignal): Promise<FinishedRun> {
    const { finished } = await this.#call({ kind: 'finish', file }, [], signal);
    return ensureExists(finished, 'result of a finished run');
  }

  async #call(
    command: RunCommand,
    transfer: ArrayBuffer[],
    signal: AbortSignal,
  ): Promise<RunResults> {
    signal.throwIfAborted();
    const drop = () => void this[Symbol.asyncDispose]();
    signal.addEventListener('abort', drop, { once: true });
    try {
      return await this.#thread.call(this.runId, command, transfer);
    } finally {
      signal.removeEventListener('abort', drop);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#thread.runCount--;
    const late = setTimeout(() => {
      void this.#thread.terminate(lost('it did not give up a run'));
    }, this.#options.dropMs);
    try {
      await this.#thread.call(this.runId, { kind: 'drop' }, []);
    } catch {
      // The thread is gone, and the run with it.
    } finally {
      clearTimeout(late);
    }
  }
}

interface Waiting {
  readonly resolve: (results: RunResults) => void;
  readonly reject: (error: unknown) => void;
}

/** One worker with any number of runs. Once it is lost it stays lost. */
class RunThread {
  runCount = 0;
  readonly turns = new TokenPool(1);
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onLost: (reason: string) => void;
  #lost: Error | undefined;
  #nextCallId = 1;

  constructor(onLost: (reason: string) => void) {
    this.#onLost = onLost;
    this.#worker = new Worker(new URL('./run-worker.ts', import.meta.url), { name: 'run' });
    // An idle worker does not keep the process alive.
    this.#worker.unref();
    this.#worker.on('message', (reply: RunReply) => this.#settle(reply));
    this.#worker.on('messageerror', (error) => this.#lose(lost(errorMessage(error))));
    this.#worker.on('error', (error) => this.#lose(lost(errorMessage(error))));
    this.#worker.on('exit', (status) => this.#lose(lost(`it exited with status ${status}`)));
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  async call(runId: number, command: RunCommand, transfer: ArrayBuffer[]): Promise<RunResults> {
    if (this.#lost !== undefined) throw this.#lost;
    const callId = this.#nextCallId++;
    const { promise, resolve, reject } = Promise.withResolvers<RunResults>();
    this.#waiting.set(callId, { resolve, reject });
    this.#worker.ref();
    const call: RunCall = { callId, runId, command };
    this.#worker.postMessage(call, transfer);
    return await promise;
  }

  async terminate(reason: Error): Promise<void> {
    this.#lose(reason);
    await this.#worker.terminate();
  }

  #settle(reply: RunReply): void {
    const waiting = this.#waiting.get(reply.callId);
    this.#waiting.delete(reply.callId);
    if (this.#waiting.size === 0) this.#worker.unref();
    if ('failure' in reply) waiting?.reject(errorOf(reply.failure));
    else waiting?.resolve(reply.results);
  }

  #lose(reason: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = reason;
    this.#worker.unref();
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
    this.#onLost(reason.message);
  }
}

function errorOf({ code, message, retryable, details }: RunFailure): Error {
  return code === undefined
    ? new Error(message)
    : new AppError(code, message, { retryable, details });
}

function lost(reason: string): MaterializerError {
  return new MaterializerError('materializer.run-worker-lost', `a run worker was lost: ${reason}`, {
    retryable: true,
  });
}

function stopping(): MaterializerError {
  return new MaterializerError('materializer.stopping', 'the run workers are stopping', {
    retryable: true,
  });
}
