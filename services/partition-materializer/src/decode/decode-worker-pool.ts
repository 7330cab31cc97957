/**
 * Worker threads that decode blocks. A worker that crashes, runs out of memory or hangs is replaced; its
 * block is tried once more on a fresh worker, since the fault may have been the machine's, and counts as
 * undecodable after that.
 */

import { Worker } from 'node:worker_threads';
import { errorMessage } from '@tracelake/domain';
import { MaterializerError } from '../materializer-error.ts';
import {
  type DecodeJob,
  type DecodeOutcome,
  type DecodeReply,
  movable,
} from './decode-messages.ts';

export interface DecodeWorkerPoolOptions {
  /** Threads; they start when first needed. */
  readonly workers: number;
  /** How long one block may take. */
  readonly decodeTimeoutMs: number;
  /** JavaScript heap of a worker; typed arrays are outside it and bounded by the decode limits. */
  readonly workerHeapMb: number;
  readonly onWorkerReplaced?: (reason: string) => void;
}

export interface DecodeRequest extends Omit<DecodeJob, 'jobId' | 'payload'> {
  /** The object as stored; its memory moves to the worker. */
  readonly payload: Uint8Array;
  /** Fetches it once more, for a second attempt. */
  readonly reload: () => Promise<Uint8Array>;
}

interface Waiter {
  readonly resolve: (thread: WorkerThread) => void;
  readonly reject: (error: unknown) => void;
}

const ATTEMPTS = 2;

/** A fixed number of decode threads; closing it stops them at once. */
export class DecodeWorkerPool implements AsyncDisposable {
  readonly #options: DecodeWorkerPoolOptions;
  readonly #idle: WorkerThread[] = [];
  readonly #all = new Set<WorkerThread>();
  readonly #waiters: Waiter[] = [];
  #nextJobId = 1;
  #isClosed = false;

  constructor(options: DecodeWorkerPoolOptions) {
    this.#options = options;
  }

  /** Starts the threads that there may be, so that no build waits for it. */
  start(): void {
    while (this.#all.size < this.#options.workers) this.#idle.push(this.#start());
  }

  /**
   * Decodes one block, whose payload is of no more use to the caller then.
   *
   * Errors: `materializer.decoder-failed` (the pool closes), `materializer.view-not-loaded` (a bug of
   * the view's module), the signal's reason. A block that cannot be decoded is an outcome, not an error.
   */
  async decode(request: DecodeRequest, signal: AbortSignal): Promise<DecodeOutcome> {
    const { reload, ...job } = request;
    for (let attempt = 1; ; attempt++) {
      const payload = movable(attempt === 1 ? job.payload : await reload());
      const reply = await this.#decodeOnce({ ...job, payload }, signal);
      switch (reply.outcome) {
        case 'decoded':
          return { outcome: 'decoded', parsed: reply.parsed };
        case 'undecodable':
          return { outcome: 'undecodable', reason: reply.reason };
        case 'broken':
          throw new MaterializerError('materializer.view-not-loaded', reply.reason);
        case 'lost':
          if (attempt === ATTEMPTS) return { outcome: 'undecodable', reason: reply.reason };
      }
    }
  }

  async #decodeOnce(job: Omit<DecodeJob, 'jobId'>, signal: AbortSignal): Promise<ThreadReply> {
    const thread = await this.#take(signal);
    let reply: ThreadReply;
    try {
      const bounds = { timeoutMs: this.#options.decodeTimeoutMs, signal };
      reply = await thread.run({ ...job, jobId: this.#nextJobId++ }, bounds);
    } finally {
      this.#give(thread);
    }
    if (reply.outcome === 'lost' && !signal.aborted && !this.#isClosed) {
      this.#options.onWorkerReplaced?.(reply.reason);
    }
    signal.throwIfAborted();
    if (this.#isClosed) throw closing();
    return reply;
  }

  async #take(signal: AbortSignal): Promise<WorkerThread> {
    signal.throwIfAborted();
    if (this.#isClosed) throw closing();
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.isDead) return idle;
      this.#all.delete(idle);
    }
    if (this.#all.size < this.#options.workers) return this.#start();
    const { promise, resolve, reject } = Promise.withResolvers<WorkerThread>();
    const waiter = { resolve, reject };
    const onAbort = () => {
      const index = this.#waiters.indexOf(waiter);
      if (index >= 0) this.#waiters.splice(index, 1);
      reject(signal.reason);
    };
    this.#waiters.push(waiter);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #start(): WorkerThread {
    const thread = new WorkerThread(this.#options.workerHeapMb);
    this.#all.add(thread);
    return thread;
  }

  #give(thread: WorkerThread): void {
    let next = thread;
    if (thread.isDead) {
      this.#all.delete(thread);
      if (this.#isClosed || this.#waiters.length === 0) return;
      next = this.#start();
    }
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#idle.push(next);
    else waiter.resolve(next);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(closing());
    await Promise.all([...this.#all].map((thread) => thread.terminate('the service stops')));
    this.#all.clear();
  }
}

type ThreadReply = DecodeReply | { readonly outcome: 'lost'; readonly reason: string };

/** One worker, one job at a time. Once dead it stays dead. */
class WorkerThread {
  readonly #worker: Worker;
  #finish: ((reply: ThreadReply) => void) | undefined;
  isDead = false;

  constructor(heapMb: number) {
    this.#worker = new Worker(new URL('./decode-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
      name: 'decode',
    });
    // An idle worker does not keep the process alive.
    this.#worker.unref();
    this.#worker.on('message', (reply: DecodeReply) => this.#finish?.(reply));
    this.#worker.on('messageerror', () => void this.terminate('its result cannot be read'));
    this.#worker.on('error', (error) => this.#die(`the decoder crashed: ${errorMessage(error)}`));
    this.#worker.on('exit', (code) => this.#die(`the decoder exited with status ${code}`));
  }

  async run(
    job: DecodeJob,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
  ): Promise<ThreadReply> {
    if (this.isDead) return { outcome: 'lost', reason: 'the decoder ended before its work' };
    const { promise, resolve } = Promise.withResolvers<ThreadReply>();
    this.#finish = resolve;
    const timer = setTimeout(
      () => void this.terminate(`the decoder took more than ${timeoutMs} ms`),
      timeoutMs,
    );
    const onAbort = () => void this.terminate('the work was given up');
    signal.addEventListener('abort', onAbort, { once: true });
    this.#worker.ref();
    try {
      this.#worker.postMessage(job, [job.payload.buffer]);
      return await promise;
    } finally {
      this.#worker.unref();
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      this.#finish = undefined;
    }
  }

  async terminate(reason: string): Promise<void> {
    this.#die(reason);
    await this.#worker.terminate();
  }

  #die(reason: string): void {
    this.isDead = true;
    this.#finish?.({ outcome: 'lost', reason });
  }
}

function closing(): MaterializerError {
  return new MaterializerError('materializer.stopping', 'the decode workers are stopping', {
    retryable: true,
  });
}
