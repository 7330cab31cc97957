/** Counts work under way and lets shutdown wait for it. */
export class InFlightTracker {
  #count = 0;
  #waiters: (() => void)[] = [];

  get count(): number {
    return this.#count;
  }

  /** Marks work as begun; disposing marks it as done. */
  begin(): Disposable {
    this.#count += 1;
    let isDone = false;
    return {
      [Symbol.dispose]: () => {
        if (isDone) return;
        isDone = true;
        this.#count -= 1;
        if (this.#count > 0) return;
        for (const wake of this.#waiters.splice(0)) wake();
      },
    };
  }

  /** Resolves once nothing is under way; rejects with the signal's reason when that comes first. */
  async drained(signal?: AbortSignal): Promise<void> {
    if (this.#count === 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal?.reason);
    signal?.throwIfAborted();
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiters.push(resolve);
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }
}
