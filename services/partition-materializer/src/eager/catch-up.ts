/**
 * Finds eager instances that no event led to: events that were lost, blocks that became wanted late, a
 * lane that had no owner. Postgres is asked for wanted blocks that no partition covers.
 */

import { schemaHashOf, type ViewSet } from '@tracelake/lakehouse';
import type { Logger } from '@tracelake/service-kit';
import type { PartitionCatalog } from '@tracelake/storage';
import type { EagerItem } from './eager-schedule.ts';

export interface CatchUpOptions {
  readonly catalog: PartitionCatalog;
  readonly eagerViews: readonly ViewSet[];
  readonly intervalMs: number;
  /** Takes what was found; false when there is no room, and then it is found again later. */
  readonly note: (item: EagerItem, processId: string) => boolean;
  /**
   * Told after each look how long the longest-waiting block of an eager view waits, 0 without any; undefined when the
   * look failed.
   */
  readonly onLooked?: (behindMs: number | undefined) => void;
  readonly logger: Logger;
}

const LIMIT = 1000;
/** A look at all blocks of the lake takes time in proportion; between those, only recent ones count. */
const RECENT_MS = 10 * 60_000;
/** After a failure, or when there is more. */
const AGAIN_MS = 1000;
const FULL_EVERY_MS = 60 * 60_000;

/** Looks at once, then at its interval, and whenever asked. */
export class CatchUp implements AsyncDisposable {
  readonly #options: CatchUpOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #wake: (() => void) | undefined;
  #fullWanted = true;
  #lastFullMs = Number.NEGATIVE_INFINITY;

  constructor(options: CatchUpOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Looks at all blocks now: a lane has a new owner, or events were wiped away. */
  lookAtAll(): void {
    this.#fullWanted = true;
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const isFull = this.#fullWanted || performance.now() - this.#lastFullMs > FULL_EVERY_MS;
      this.#fullWanted = false;
      let hasMore: boolean;
      try {
        hasMore = await this.#look(isFull, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#options.logger.warn('catching up with eager views failed', { error });
        this.#options.onLooked?.(undefined);
        hasMore = true;
      }
      if (isFull && !hasMore) this.#lastFullMs = performance.now();
      await this.#sleep(hasMore ? AGAIN_MS : this.#options.intervalMs);
      if (isFull && hasMore) this.#fullWanted = true;
    }
  }

  /** Resolves with whether there is more than one look takes: it comes once these are built. */
  async #look(isFull: boolean, signal: AbortSignal): Promise<boolean> {
    const { catalog, eagerViews, note, onLooked, logger } = this.#options;
    const viewSets = eagerViews.map((view) => ({ view, schemaHash: schemaHashOf(view) }));
    const behind = await catalog.listInstancesBehind(
      { viewSets, limit: LIMIT, ...(isFull ? {} : { withinMs: RECENT_MS }) },
      signal,
    );
    const oldestMs = behind.map(({ oldestInsertUs }) => Number(oldestInsertUs) / 1000);
    onLooked?.(behind.length === 0 ? 0 : Math.max(0, Date.now() - Math.min(...oldestMs)));
    const noted = behind.filter(({ viewSet, instance, processId }) =>
      note({ viewSet, instance }, processId),
    );
    if (noted.length > 0) logger.debug('eager instances behind', { count: noted.length, isFull });
    return behind.length >= LIMIT;
  }

  async #sleep(ms: number): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted || this.#fullWanted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    timer.unref();
    const onAbort = () => resolve();
    this.#wake = resolve;
    signal.addEventListener('abort', onAbort, { once: true });
    await promise;
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
    this.#wake = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('catching up stops'));
    await this.#running;
  }
}
