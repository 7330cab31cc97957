import { assert } from '@tracelake/domain';

/**
 * Bytes that may be held at once, by all who share the budget. Whoever asks waits in line; what is larger than the
 * whole budget passes alone.
 */
export class ByteBudget {
  readonly #capacityBytes: number;
  readonly #waiters: { readonly bytes: number; readonly grant: () => void }[] = [];
  #usedBytes = 0;

  constructor(capacityBytes: number) {
    assert(capacityBytes > 0, 'a budget has room');
    this.#capacityBytes = capacityBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Takes room only when there is some now and nobody waits for it. */
  tryReserve(wantedBytes: number): Disposable | undefined {
    const bytes = this.#clamp(wantedBytes);
    if (this.#waiters.length > 0 || !this.#fits(bytes)) return undefined;
    this.#usedBytes += bytes;
    return this.#held(bytes);
  }

  /** Waits for room; disposing the result gives it back once. Rejects with the signal's reason. */
  async reserve(wantedBytes: number, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const bytes = this.#clamp(wantedBytes);
    if (this.#waiters.length > 0 || !this.#fits(bytes)) await this.#waitInLine(bytes, signal);
    else this.#usedBytes += bytes;
    return this.#held(bytes);
  }

  #held(bytes: number): Disposable {
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#usedBytes -= bytes;
        this.#grantWaiters();
      },
    };
  }

  #clamp(bytes: number): number {
    return Math.min(Math.max(bytes, 0), this.#capacityBytes);
  }

  async #waitInLine(bytes: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { bytes, grant: resolve };
    const onAbort = () => {
      const index = this.#waiters.indexOf(waiter);
      // Granted in the same turn: the caller has it and gives it back.
      if (index < 0) return;
      this.#waiters.splice(index, 1);
      reject(signal.reason);
      this.#grantWaiters();
    };
    this.#waiters.push(waiter);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #grantWaiters(): void {
    for (let next = this.#waiters[0]; next !== undefined; next = this.#waiters[0]) {
      if (!this.#fits(next.bytes)) return;
      this.#waiters.shift();
      this.#usedBytes += next.bytes;
      next.grant();
    }
  }

  #fits(bytes: number): boolean {
    return this.#usedBytes + bytes <= this.#capacityBytes;
  }
}
