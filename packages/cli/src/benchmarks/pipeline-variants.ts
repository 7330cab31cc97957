/**
 * The same work in three shapes: one block after the other; all blocks at once with workers that share a writer behind a
 * mutex, as pipelines are often written first; and the staged pipeline over bounded channels that Tracelake runs.
 */

import { type PipelineObserver, runStagedPipeline, TokenPool } from '@tracelake/channels';

export type PipelineShape = 'sequential' | 'mutex' | 'channels';

/** What the shapes have in common: where blocks come from, what is computed, and where results go. */
export interface PipelineWork<In, Mid> {
  readonly read: () => AsyncIterable<In>;
  readonly work: (item: In) => Promise<Mid>;
  /** One call at a time. */
  readonly write: (result: Mid) => Promise<void>;
  readonly workers: number;
  readonly channelDepth: number;
  readonly signal: AbortSignal;
}

/** Milliseconds by stage and what they went to, such as `reader room` or `worker busy`; each worker counts for itself. */
export class StageTimes {
  readonly #times = new Map<string, number>();
  readonly observer: PipelineObserver = {
    blocked: (stage, waitingFor, waitMs) => this.#add(`${stage} ${waitingFor}`, waitMs),
    busy: (stage, busyMs) => this.#add(`${stage} busy`, busyMs),
  };

  async measure<T>(name: string, doing: Promise<T>): Promise<T> {
    const startMs = performance.now();
    try {
      return await doing;
    } finally {
      this.#add(name, performance.now() - startMs);
    }
  }

  toJSON(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#times);
  }

  #add(name: string, ms: number): void {
    this.#times.set(name, (this.#times.get(name) ?? 0) + ms);
  }
}

export async function runShape<In, Mid>(
  shape: PipelineShape,
  work: PipelineWork<In, Mid>,
  times: StageTimes,
): Promise<void> {
  switch (shape) {
    case 'sequential':
      return await runSequential(work, times);
    case 'mutex':
      return await runBehindMutex(work, times);
    case 'channels': {
      const cpuTokens = new TokenPool(work.workers);
      const { observer } = times;
      return await runStagedPipeline<In, Mid>({ ...work, read: work.read(), cpuTokens, observer });
    }
  }
}

async function runSequential<In, Mid>(
  { read, work, write, signal }: PipelineWork<In, Mid>,
  times: StageTimes,
): Promise<void> {
  for await (const item of timedReads(read(), times)) {
    signal.throwIfAborted();
    const result = await times.measure('worker busy', work(item));
    await times.measure('writer busy', write(result));
  }
}

/**
 * A task for each block as soon as it is read, as many at work as there are workers, one writing. Nobody holds the reader
 * back, and a worker that waits for the lock or writes keeps its place. Results come in no particular order.
 */
async function runBehindMutex<In, Mid>(
  { read, work, write, workers, signal }: PipelineWork<In, Mid>,
  times: StageTimes,
): Promise<void> {
  const places = new TokenPool(workers);
  const writerLock = new TokenPool(1);
  const failure = new AbortController();
  const stop = AbortSignal.any([signal, failure.signal]);
  const process = async (item: In) => {
    try {
      using _place = await times.measure('task place', places.acquire(stop));
      const result = await times.measure('worker busy', work(item));
      using _lock = await times.measure('worker lock', writerLock.acquire(stop));
      await times.measure('writer busy', write(result));
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  };
  const tasks: Promise<void>[] = [];
  for await (const item of timedReads(read(), times)) {
    const task = process(item);
    // Met when all are awaited; until then it is nobody's unhandled rejection.
    task.catch(() => {});
    tasks.push(task);
    if (stop.aborted) break;
  }
  await Promise.all(tasks);
  stop.throwIfAborted();
}

async function* timedReads<T>(source: AsyncIterable<T>, times: StageTimes): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  for (;;) {
    const next = await times.measure('reader input', iterator.next());
    if (next.done) return;
    yield next.value;
  }
}
