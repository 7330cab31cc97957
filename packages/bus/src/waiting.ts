import { setTimeout as delay } from 'node:timers/promises';

/** Waits so long, or less when the signal aborts; tells by its return, never throws. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}

/** The wait before attempt number `attempt` (from 1): doubles from `firstMs` up to `maxMs`. */
export function backoffMs(attempt: number, firstMs: number, maxMs: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30));
}

/** Settles as `promise` does, or rejects with the signal's reason when that comes first. */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => {});
    return Promise.reject(signal.reason);
  }
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Settles when `promise` does, or after so long; tells by its return, never throws. */
export async function atMost(ms: number, promise: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  await Promise.race([promise.catch(() => {}), pause(ms, timer.signal)]);
  timer.abort();
}

/** A condition that tasks wait for: each call of `notify` wakes all that wait at that moment. */
export class Wakeup {
  #pending = Promise.withResolvers<void>();

  notify(): void {
    this.#pending.resolve();
    this.#pending = Promise.withResolvers<void>();
  }

  /** Resolves at the next `notify`, or when the signal aborts. */
  async wait(signal?: AbortSignal): Promise<void> {
    const { promise } = this.#pending;
    await (signal === undefined ? promise : raceAbort(promise, signal).catch(() => {}));
  }
}
