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
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#release();
      },
    };
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
