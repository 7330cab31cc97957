import { setTimeout as delay } from 'node:timers/promises';
import { EngineError } from './engine-error.ts';

/** An interrupt that comes before its query has started is lost, so it is repeated. */
const INTERRUPT_INTERVAL_MS = 20;

/** What the engine gets to notice an interrupt before the process ends itself. */
const GRACE_MS = 1000;

/** Counts the time that the engine works, and ends the work that takes too long. */
export class WorkClock {
  readonly #limitMs: number;
  readonly #interrupt: () => void;
  #usedMs = 0;

  constructor(limitMs: number, interrupt: () => void) {
    this.#limitMs = limitMs;
    this.#interrupt = interrupt;
  }

  /** Throws `query.time-limit`, whether the work noticed the interrupt, took it for its end, or neither. */
  async measure<T>(work: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const done = new AbortController();
    try {
      const result = await Promise.race([work(), this.#expire(done.signal)]);
      this.#usedMs += performance.now() - startMs;
      if (this.#usedMs > this.#limitMs) throw this.#exceeded();
      return result;
    } catch (error) {
      if (this.#usedMs + performance.now() - startMs > this.#limitMs) throw this.#exceeded(error);
      throw error;
    } finally {
      done.abort();
    }
  }

  async #expire(done: AbortSignal): Promise<never> {
    try {
      await delay(Math.max(1, this.#limitMs - this.#usedMs), undefined, { signal: done });
      for (let waitedMs = 0; waitedMs < GRACE_MS; waitedMs += INTERRUPT_INTERVAL_MS) {
        this.#interrupt();
        await delay(INTERRUPT_INTERVAL_MS, undefined, { signal: done });
      }
    } catch {
      // The work ended first: nobody waits for this promise any more.
      return await new Promise<never>(() => undefined);
    }
    throw this.#exceeded();
  }

  #exceeded(cause?: unknown): EngineError {
    const seconds = this.#limitMs / 1000;
    return new EngineError(
      'query.time-limit',
      `the query worked for more than the ${seconds} s that are allowed`,
      { cause },
    );
  }
}
