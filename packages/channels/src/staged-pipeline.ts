/**
 * reader ▷ workers ▷ writer, in the reader's order. Between the stages stand a bounded channel and a bounded
 * reorder buffer, so at most `2 * channelDepth + workers + 2` items are between reader and writer whatever
 * their number. The first failure of any stage ends the others and is what the caller gets.
 */

import { BoundedChannel } from './bounded-channel.ts';
import { ReorderBuffer } from './reorder-buffer.ts';
import type { TokenPool } from './token-pool.ts';

/** Told of queues as they change. Implementations must be quick and must not throw. */
export interface PipelineObserver {
  /** Items read that no worker has taken. */
  cpuQueueDepth?(depth: number): void;
  /** Items computed that the writer has not taken. */
  writerQueueDepth?(depth: number): void;
  /** From being read to a worker holding a CPU token. */
  cpuQueueWaitMs?(waitMs: number): void;
  /** From being computed to the writer. */
  writerQueueWaitMs?(waitMs: number): void;
}

export interface StagedPipelineOptions<In, Mid> {
  readonly read: AsyncIterable<In>;
  /** Computes one item while holding a CPU token. */
  readonly work: (item: In, signal: AbortSignal) => Promise<Mid>;
  /** Takes results one at a time, in the order they were read. */
  readonly write: (result: Mid, signal: AbortSignal) => Promise<void>;
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
  readonly sinceMs: number;
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
  readonly #toWriter: ReorderBuffer<{ readonly result: Mid; readonly sinceMs: number }>;
  #readCount = 0;

  constructor(options: StagedPipelineOptions<In, Mid>, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#toWorkers = new BoundedChannel({ capacity: options.channelDepth, name: 'cpu-queue' });
    this.#toWriter = new ReorderBuffer(options.channelDepth);
  }

  async readAll(): Promise<void> {
    for await (const item of this.#options.read) {
      const queued = { sequence: this.#readCount++, item, sinceMs: performance.now() };
      await this.#toWorkers.send(queued, this.#signal);
      this.#options.observer?.cpuQueueDepth?.(this.#toWorkers.depth);
    }
    this.#signal.throwIfAborted();
    this.#toWriter.endAt(this.#readCount);
    this.#toWorkers.close();
  }

  async workAll(): Promise<void> {
    const { observer, cpuTokens, work } = this.#options;
    for (;;) {
      const received = await this.#toWorkers.receive(this.#signal);
      if (received.done) return;
      observer?.cpuQueueDepth?.(this.#toWorkers.depth);
      const { sequence, item, sinceMs } = received.value;
      let result: Mid;
      {
        using _token = await cpuTokens.acquire(this.#signal);
        observer?.cpuQueueWaitMs?.(performance.now() - sinceMs);
        result = await work(item, this.#signal);
      }
      await this.#toWriter.put(sequence, { result, sinceMs: performance.now() }, this.#signal);
      observer?.writerQueueDepth?.(this.#toWriter.depth);
    }
  }

  async writeAll(): Promise<void> {
    const { observer, write } = this.#options;
    for (;;) {
      const received = await this.#toWriter.take(this.#signal);
      if (received.done) return;
      const { result, sinceMs } = received.value;
      observer?.writerQueueDepth?.(this.#toWriter.depth);
      observer?.writerQueueWaitMs?.(performance.now() - sinceMs);
      await write(result, this.#signal);
    }
  }
}
