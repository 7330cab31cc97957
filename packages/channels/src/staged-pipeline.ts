/**
 * reader ▷ workers ▷ writer, in the reader's order. Between the stages stand a bounded channel and a bounded
 * reorder buffer, so at most `2 * channelDepth + workers + 2` items are between reader and writer whatever
 * their number. The first failure of any stage ends the others and is what the caller gets.
 */

import { BoundedChannel } from './bounded-channel.ts';
import { observeWait, type PipelineObserver, withTokens } from './pipeline-observer.ts';
import { ReorderBuffer } from './reorder-buffer.ts';
import type { TokenPool } from './token-pool.ts';

export interface StagedPipelineOptions<In, Mid> {
  readonly read: AsyncIterable<In>;
  /** Computes one item while holding a CPU token. */
  readonly work: (item: In, signal: AbortSignal) => Promise<Mid>;
  /**
   * What the writer is given for an item whose work it does itself, or undefined: asked when a worker would compute the
   * item. Such an item takes no token before the writer's.
   */
  readonly leaveToWriter?: (item: In) => Mid | undefined;
  /** Takes results one at a time, in the order they were read. */
  readonly write: (result: Mid, signal: AbortSignal) => Promise<void>;
  /** The writer waits for it, holding nothing, while the stages before it fill what is between them. */
  readonly writeAfter?: Promise<unknown>;
  /** The writer computes too: it holds a CPU token while it writes. Default false. */
  readonly writeTakesToken?: boolean;
  /**
   * The turns of what the writer computes on, where several pipelines share that: one is waited for before the token,
   * so that nobody holds a token and can do nothing with it. Awaited after `writeAfter`.
   */
  readonly writerTurns?: Promise<TokenPool>;
  /** Items worked on at the same time, tokens permitting. */
  readonly workers: number;
  readonly cpuTokens: TokenPool;
  readonly channelDepth: number;
  readonly signal?: AbortSignal;
  readonly observer?: PipelineObserver;
}

interface Queued<T> {
  readonly sequence: number;
  readonly item: T;
  /** When it entered the queue. */
  sinceMs: number;
}

interface Computed<T> {
  readonly result: T;
  sinceMs: number;
}

/** Runs to the end of `read`, or throws the first error once every stage has stopped. */
export async function runStagedPipeline<In, Mid>(
  options: StagedPipelineOptions<In, Mid>,
): Promise<void> {
  const failure = new AbortController();
  const signal =
    options.signal === undefined
      ? failure.signal
      : AbortSignal.any([options.signal, failure.signal]);
  const pipeline = new StagedPipeline(options, signal);
  const stages = [
    pipeline.readAll(),
    ...Array.from({ length: options.workers }, () => pipeline.workAll()),
    pipeline.writeAll(),
  ].map(async (stage) => {
    try {
      await stage;
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  });
  const outcomes = await Promise.allSettled(stages);
  options.observer?.cpuQueueDepth?.(0);
  options.observer?.writerQueueDepth?.(0);
  // A signal that aborts after the last stage has ended changes nothing.
  if (outcomes.some(({ status }) => status === 'rejected')) throw signal.reason;
}

class StagedPipeline<In, Mid> {
  readonly #options: StagedPipelineOptions<In, Mid>;
  readonly #signal: AbortSignal;
  readonly #toWorkers: BoundedChannel<Queued<In>>;
  readonly #toWriter: ReorderBuffer<Computed<Mid>>;
  #readCount = 0;

  constructor(options: StagedPipelineOptions<In, Mid>, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#toWorkers = new BoundedChannel({ capacity: options.channelDepth, name: 'cpu-queue' });
    this.#toWriter = new ReorderBuffer(options.channelDepth);
  }

  async readAll(): Promise<void> {
    const { observer, read } = this.#options;
    const forInput = { observer, stage: 'reader', waitingFor: 'input' } as const;
    const forRoom = { observer, stage: 'reader', waitingFor: 'room' } as const;
    for await (const item of timed(read, (next) => observeWait(next, forInput))) {
      const queued = { sequence: this.#readCount++, item, sinceMs: performance.now() };
      this.#signal.throwIfAborted();
      if (!this.#toWorkers.trySend(queued)) {
        await observeWait(this.#toWorkers.send(queued, this.#signal), forRoom);
        queued.sinceMs = performance.now();
      }
      observer?.cpuQueueDepth?.(this.#toWorkers.depth);
    }
    this.#signal.throwIfAborted();
    this.#toWriter.endAt(this.#readCount);
    this.#toWorkers.close();
  }

  async workAll(): Promise<void> {
    const { observer } = this.#options;
    const forInput = { observer, stage: 'worker', waitingFor: 'input' } as const;
    const forRoom = { observer, stage: 'worker', waitingFor: 'room' } as const;
    for (;;) {
      const received = await observeWait(this.#toWorkers.receive(this.#signal), forInput);
      if (received.done) return;
      const { sequence, item, sinceMs } = received.value;
      observer?.cpuQueueDepth?.(this.#toWorkers.depth);
      observer?.cpuQueueWaitMs?.(performance.now() - sinceMs);
      const left = this.#options.leaveToWriter?.(item);
      const result = left ?? (await this.#work(item));
      const computed = { result, sinceMs: performance.now() };
      this.#signal.throwIfAborted();
      if (!this.#toWriter.tryPut(sequence, computed)) {
        await observeWait(this.#toWriter.put(sequence, computed, this.#signal), forRoom);
        computed.sinceMs = performance.now();
      }
      observer?.writerQueueDepth?.(this.#toWriter.depth);
    }
  }

  #work(item: In): Promise<Mid> {
    const work = () => this.#busy('worker', () => this.#options.work(item, this.#signal));
    return this.#withCpuToken('worker', work);
  }

  async #write(result: Mid): Promise<void> {
    const { write, writeTakesToken = false, writerTurns } = this.#options;
    const writing = () => this.#busy('writer', () => write(result, this.#signal));
    if (!writeTakesToken) return await writing();
    await this.#withCpuToken('writer', writing, await writerTurns);
  }

  #withCpuToken<T>(
    stage: 'worker' | 'writer',
    action: () => Promise<T>,
    turns?: TokenPool,
  ): Promise<T> {
    const { observer, cpuTokens } = this.#options;
    const pools = turns === undefined ? [cpuTokens] : [turns, cpuTokens];
    const signal = this.#signal;
    return withTokens(pools, action, { observer, stage, waitingFor: 'cpu_token', signal });
  }

  async #busy<T>(stage: 'worker' | 'writer', action: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const result = await action();
    this.#options.observer?.busy?.(stage, performance.now() - startMs);
    return result;
  }

  async writeAll(): Promise<void> {
    const { observer } = this.#options;
    const forInput = { observer, stage: 'writer', waitingFor: 'input' } as const;
    if (this.#options.writeAfter !== undefined) {
      await observeWait(unlessAborted(this.#options.writeAfter, this.#signal), forInput);
    }
    for (;;) {
      const received = await observeWait(this.#toWriter.take(this.#signal), forInput);
      if (received.done) return;
      const { result, sinceMs } = received.value;
      observer?.writerQueueDepth?.(this.#toWriter.depth);
      observer?.writerQueueWaitMs?.(performance.now() - sinceMs);
      await this.#write(result);
    }
  }
}

async function unlessAborted(event: Promise<unknown>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([event, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The same items, with each wait for the next passed through `wait`. Leaving early ends the source, as a loop would. */
async function* timed<T>(
  source: AsyncIterable<T>,
  wait: (next: Promise<IteratorResult<T>>) => Promise<IteratorResult<T>>,
): AsyncGenerator<T, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  let isLeftEarly = false;
  try {
    for (;;) {
      const next = await wait(iterator.next());
      if (next.done) return;
      isLeftEarly = true;
      yield next.value;
      isLeftEarly = false;
    }
  } finally {
    if (isLeftEarly) await iterator.return?.();
  }
}
