import { assert } from '@tracelake/domain';

interface Waiter {
  readonly resolve: (token: Disposable) => void;
}

/**
 * A fixed number of tokens shared by all pipelines of a process: whoever computes (or reads and
 * writes a store, where tokens stand for that) holds one. First come, first served.
 */
export class TokenPool {
  readonly size: number;
  #available: number;
  readonly #waiters = new Set<Waiter>();
  #users = 0;

  constructor(size: number) {
    assert(Number.isInteger(size) && size >= 1, 'a pool has a token');
    this.size = size;
    this.#available = size;
  }

  get available(): number {
    return this.#available;
  }

  get inUse(): number {
    return this.size - this.#available;
  }

  /** Those who wait for a token now. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Who said by {@link TokenPool.enter} that they will want tokens again and again. */
  get users(): number {
    return this.#users;
  }

  /** Each user has a token's worth of work for itself: to spread one's work over several tokens gains nothing. */
  get isCrowded(): boolean {
    return this.#users >= this.size;
  }

  /** Counts the caller among the users until it disposes of what it gets. */
  enter(): Disposable {
    this.#users++;
    return onceDisposed(() => this.#users--);
  }

  /** Waits for a token; disposing it gives it back, once. Throws the signal's reason when it aborts first. */
  async acquire(signal?: AbortSignal): Promise<Disposable> {
    signal?.throwIfAborted();
    if (this.#available > 0) {
      this.#available--;
      return this.#token();
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        resolve: (token) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(token);
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  #token(): Disposable {
    return onceDisposed(() => this.#release());
  }

  #release(): void {
    const { value: next } = this.#waiters.values().next();
    if (next === undefined) {
      this.#available++;
      return;
    }
    this.#waiters.delete(next);
    next.resolve(this.#token());
  }
}

function onceDisposed(dispose: () => void): Disposable {
  let isHeld = true;
  return {
    [Symbol.dispose]: () => {
      if (!isHeld) return;
      isHeld = false;
      dispose();
    },
  };
}
