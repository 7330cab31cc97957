import { COMPACTION_WIDTH } from '@tracelake/lakehouse';
import type { Logger } from '@tracelake/service-kit';
import type { BuildRequest } from '../build/instance-builds.ts';
import { EagerSchedule } from '../eager/eager-schedule.ts';
import type { CompactionReport } from './instance-compactor.ts';

export interface CompactionRunnerOptions {
  readonly compact: (request: BuildRequest, signal: AbortSignal) => Promise<CompactionReport>;
  readonly logger: Logger;
  /** Fires when the lane is lost. */
  readonly signal: AbortSignal;
  /** Default 500 ms: by then the event or the answer that a build led to is out. */
  readonly delayMs?: number;
}

/** Instances that may wait, and instances whose number of partitions is remembered. */
const CAPACITY = 10_000;

/** Merges what one lane's builds have left in small runs, one instance at a time. Disposing drops what is under way. */
export class CompactionRunner implements AsyncDisposable {
  readonly #options: CompactionRunnerOptions;
  readonly #schedule: EagerSchedule;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #running: Promise<void>;
  /** Partitions that were left by the last look at an instance. */
  readonly #left = new Map<string, number>();

  constructor(options: CompactionRunnerOptions) {
    this.#options = options;
    this.#schedule = new EagerSchedule({ debounceMs: options.delayMs ?? 500, capacity: CAPACITY });
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#running = this.#run();
  }

  /**
   * Tells how many partitions an instance has. A look reads all its blocks' rows from Postgres, so there is one only
   * when enough runs have come since the last for some to be merged.
   */
  note(request: BuildRequest, partitions: number): void {
    if (this.#signal.aborted) return;
    const left = Math.min(this.#left.get(keyOf(request)) ?? 0, partitions);
    if (partitions < left + COMPACTION_WIDTH) return;
    if (this.#schedule.note(request)) this.#remember(request, partitions);
  }

  async #run(): Promise<void> {
    for (;;) {
      let item: BuildRequest;
      try {
        item = await this.#schedule.take(this.#signal);
      } catch {
        // Only an abort ends the wait.
        return;
      }
      try {
        const { partitions } = await this.#options.compact(item, this.#signal);
        this.#remember(item, partitions);
      } catch (error) {
        if (this.#signal.aborted) return;
        // It is looked at again when more runs have come.
        const { viewSet: view, instance } = item;
        this.#options.logger.warn('partitions could not be merged', { view, instance, error });
      }
    }
  }

  #remember(request: BuildRequest, partitions: number): void {
    const key = keyOf(request);
    this.#left.delete(key);
    this.#left.set(key, partitions);
    const [oldest] = this.#left.keys();
    if (this.#left.size > CAPACITY && oldest !== undefined) this.#left.delete(oldest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the lane stops'));
    await this.#running;
  }
}

function keyOf({ viewSet, instance }: BuildRequest): string {
  return `${viewSet}/${instance}`;
}
