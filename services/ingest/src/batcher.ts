/**
 * Group commit: while one statement is at the database, what comes meanwhile gathers, and all of it goes with the
 * next one. Nobody waits for company: a call that finds no statement under way goes at once, so batches grow with
 * the load alone.
 */
import { IngestError } from './ingest-error.ts';

export interface BatcherOptions<Item, Result> {
  /** Does the work for all items in one go; the result at each index is of the item there. */
  readonly run: (items: readonly Item[], signal: AbortSignal) => Promise<readonly Result[]>;
  /**
   * Whether a failure would have met each item alone as well (the database is down). Otherwise the batch is halved
   * until the items that cannot succeed stand alone, so that they do not take their neighbours with them.
   */
  readonly failsEachAlike: (error: unknown) => boolean;
  readonly itemsMax: number;
  /** Runs under way at a time. */
  readonly concurrency: number;
  /** Items that may wait for a run; past it they are refused with `ingest.overloaded`. */
  readonly waitingMax: number;
  /** How long one run may take. */
  readonly timeoutMs: number;
  readonly onBatch?: (itemCount: number) => void;
}

interface WaitingItem<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export class Batcher<Item, Result> {
  readonly #options: BatcherOptions<Item, Result>;
  readonly #waiting: WaitingItem<Item, Result>[] = [];
  #running = 0;
  #isScheduled = false;

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = options;
  }

  /** Items that wait for a run. */
  get depth(): number {
    return this.#waiting.length;
  }

  /**
   * Resolves with the item's own result. The signal's reason ends the wait; an item that is in a run then may
   * still take effect.
   */
  async submit(item: Item, signal: AbortSignal): Promise<Result> {
    signal.throwIfAborted();
    if (this.#waiting.length >= this.#options.waitingMax) throw overloaded(this.#waiting.length);
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const waiting = { item, resolve, reject };
    const onAbort = () => {
      const index = this.#waiting.indexOf(waiting);
      if (index >= 0) this.#waiting.splice(index, 1);
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.push(waiting);
    this.#schedule();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** In the next turn of the event loop, so that what came in the same turn goes together. */
  #schedule(): void {
    if (this.#isScheduled || this.#running >= this.#options.concurrency) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#start();
    });
  }

  #start(): void {
    while (this.#running < this.#options.concurrency && this.#waiting.length > 0) {
      this.#running += 1;
      const batch = this.#waiting.splice(0, this.#options.itemsMax);
      this.#options.onBatch?.(batch.length);
      void this.#settle(batch).finally(() => {
        this.#running -= 1;
        this.#start();
      });
    }
  }

  async #settle(batch: readonly WaitingItem<Item, Result>[]): Promise<void> {
    const { run, failsEachAlike, timeoutMs } = this.#options;
    try {
      const items = batch.map(({ item }) => item);
      const results = await run(items, AbortSignal.timeout(timeoutMs));
      for (const [index, { resolve }] of batch.entries()) resolve(results[index] as Result);
    } catch (error) {
      if (batch.length === 1 || failsEachAlike(error)) {
        for (const { reject } of batch) reject(error);
        return;
      }
      const half = Math.ceil(batch.length / 2);
      await this.#settle(batch.slice(0, half));
      await this.#settle(batch.slice(half));
    }
  }
}

function overloaded(waiting: number): IngestError {
  return new IngestError('ingest.overloaded', 'too many rows wait to be written', {
    retryable: true,
    details: { waiting },
  });
}
