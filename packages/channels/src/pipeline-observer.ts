/** What a pipeline tells of itself: its queues, and what each stage does with its time. */

import type { TokenPool } from './token-pool.ts';

/** The three stages of a pipeline. */
export type PipelineStage = 'reader' | 'worker' | 'writer';

/**
 * What a stage can wait for. `input`: the stage before it (of the reader: its source). `room`: the stage after it,
 * whose queue is full. `cpu_token`, `io_token`: work of other items and pipelines.
 */
export type StageWait = 'input' | 'room' | 'cpu_token' | 'io_token';

/**
 * Told of queues and waits as they change. One observer may serve many pipelines at once, except for the depths, which
 * are of one. Implementations must be quick and must not throw.
 */
export interface PipelineObserver {
  /** Items read that no worker has taken, in this pipeline. */
  cpuQueueDepth?(depth: number): void;
  /** Items computed that the writer has not taken, in this pipeline. */
  writerQueueDepth?(depth: number): void;
  /** From entering the queue of the workers to being taken by one; what a full queue kept out is not in it. */
  cpuQueueWaitMs?(waitMs: number): void;
  /** From entering the reorder buffer to the writer, the wait for earlier items included. */
  writerQueueWaitMs?(waitMs: number): void;
  /** A stage has waited. Each worker counts for itself, so N workers wait up to N seconds a second. */
  blocked?(stage: PipelineStage, waitingFor: StageWait, waitMs: number): void;
  /** A worker has computed an item, or the writer has written one. */
  busy?(stage: 'worker' | 'writer', busyMs: number): void;
}

/** Awaits `wait` and tells the observer how long that took, also when it fails. */
export async function observeWait<T>(
  wait: Promise<T>,
  told: {
    readonly observer: PipelineObserver | undefined;
    readonly stage: PipelineStage;
    readonly waitingFor: StageWait;
  },
): Promise<T> {
  const startMs = performance.now();
  try {
    return await wait;
  } finally {
    told.observer?.blocked?.(told.stage, told.waitingFor, performance.now() - startMs);
  }
}

/**
 * Runs `action` while holding a token of a pool that all pipelines of a process share, and tells how long it was waited
 * for. While it holds an I/O token an action must wait for nothing but the store, or pipelines could wait for each
 * other. Throws the signal's reason when it aborts before there is a token.
 */
export async function withToken<T>(
  tokens: TokenPool,
  action: () => Promise<T>,
  told: {
    readonly observer: PipelineObserver | undefined;
    readonly stage: PipelineStage;
    readonly waitingFor: 'cpu_token' | 'io_token';
    readonly signal: AbortSignal;
  },
): Promise<T> {
  using _token = await observeWait(tokens.acquire(told.signal), told);
  return await action();
}

/** {@link withToken} for a token of each pool, waited for in their order. */
export async function withTokens<T>(
  [first, ...rest]: readonly TokenPool[],
  action: () => Promise<T>,
  told: Parameters<typeof withToken>[2],
): Promise<T> {
  if (first === undefined) return await action();
  return await withToken(first, () => withTokens(rest, action, told), told);
}
