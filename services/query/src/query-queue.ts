import { QueryError } from './query-error.ts';

export interface QueryQueueOptions {
  /** Queries that run at a time. */
  readonly running: number;
  /** Queries that may wait beyond those. */
  readonly waiting: number;
}

/** Lets queries in one after another, first come first served, and turns away who finds the queue full. */
export class QueryQueue {
  readonly #options: QueryQueueOptions;
  readonly #waiters: (() => void)[] = [];
  #running = 0;

  constructor(options: QueryQueueOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** A place until it is disposed of. Errors: `query.queue-full`; the signal's reason. */
  async enter(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#running < this.#options.running) this.#running += 1;
    else await this.#wait(signal);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#leave();
        held = false;
      },
    };
  }

  async #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiters.length >= this.#options.waiting) {
      throw new QueryError(
        'query.queue-full',
        `${this.#running} queries run and ${this.#waiters.length} wait, as many as may; try again`,
        { retryable: true, details: { ...this.#options } },
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => {
      this.#waiters.splice(this.#waiters.indexOf(resolve), 1);
      reject(signal.reason);
    };
    this.#waiters.push(resolve);
    signal.addEventListener('abort', onAbort, { once: true });
    // Whoever is let in holds the place of the one that left; an abort after that finds no listener.
    await promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  #leave(): void {
    const next = this.#waiters.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}
