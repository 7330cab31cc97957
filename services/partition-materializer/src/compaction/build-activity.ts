import { setTimeout as sleep } from 'node:timers/promises';

/** How many builds are under way, so that work of no hurry can let them go first. */
export class BuildActivity {
  readonly #waiters = new Set<() => void>();
  #count = 0;

  /** A build begins; disposing ends it, once. */
  enter(): Disposable {
    let isOver = false;
    this.#count++;
    return {
      [Symbol.dispose]: () => {
        if (isOver) return;
        isOver = true;
        if (--this.#count > 0) return;
        for (const wake of this.#waiters) wake();
      },
    };
  }

  /**
   * Waits until no build is under way, or until patience is at its end: a service that always builds gets to the rest
   * too. Throws the signal's reason.
   */
  async untilQuiet(patienceMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#count === 0 || patienceMs <= 0) return;
    const quiet = Promise.withResolvers<void>();
    this.#waiters.add(quiet.resolve);
    const waiting = new AbortController();
    const either = AbortSignal.any([signal, waiting.signal]);
    try {
      await Promise.race([quiet.promise, sleep(patienceMs, undefined, { signal: either })]);
    } catch {
      signal.throwIfAborted();
    } finally {
      this.#waiters.delete(quiet.resolve);
      waiting.abort();
    }
  }
}
