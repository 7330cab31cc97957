import { BusError } from './bus-error.ts';

/**
 * Lets `size` tasks in at a time, the rest waiting in order; more than `waitersMax` waiters are refused with
 * `bus.overloaded`.
 */
export class PublishWindow {
  readonly #size: number;
  readonly #waitersMax: number;
  readonly #waiters = new Set<() => void>();
  #inUse = 0;

  constructor(size: number, waitersMax: number) {
    this.#size = size;
    this.#waitersMax = waitersMax;
  }

  get inFlight(): number {
    return this.#inUse;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** A place in the window until disposed of. Rejects with the signal's reason when that aborts first. */
  async enter(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#inUse < this.#size) this.#inUse++;
    else await this.#waitForPlace(signal);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#leave();
        isHeld = false;
      },
    };
  }

  #waitForPlace(signal: AbortSignal): Promise<void> {
    if (this.#waiters.size >= this.#waitersMax) {
      throw new BusError(
        'bus.overloaded',
        `${this.#waitersMax} messages wait to be published already`,
        { retryable: true, details: { waitersMax: this.#waitersMax } },
      );
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiters.delete(enter);
        reject(signal.reason);
      };
      const enter = (): void => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      this.#waiters.add(enter);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** The place goes to the next waiter without becoming free in between. */
  #leave(): void {
    const next = this.#waiters.values().next();
    if (next.done === true) {
      this.#inUse--;
      return;
    }
    this.#waiters.delete(next.value);
    next.value();
  }
}
