import { EngineError } from './engine-error.ts';

/** An interrupt that comes before its query has started is lost, so it is repeated. */
const INTERRUPT_INTERVAL_MS = 20;

/** A second, for the engine to notice one before the process ends itself. */
const INTERRUPTS_MAX = 1000 / INTERRUPT_INTERVAL_MS;

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
    const { promise: expired, reject } = Promise.withResolvers<never>();
    let interrupts = 0;
    const interrupt = () => {
      if (interrupts++ === INTERRUPTS_MAX) {
        reject(this.#exceeded());
        return;
      }
      this.#interrupt();
      timer = setTimeout(interrupt, INTERRUPT_INTERVAL_MS);
    };
    let timer = setTimeout(interrupt, Math.max(1, this.#limitMs - this.#usedMs));
    try {
      const result = await Promise.race([work(), expired]);
      this.#usedMs += performance.now() - startMs;
      if (this.#usedMs > this.#limitMs) throw this.#exceeded();
      return result;
    } catch (error) {
      if (this.#usedMs + performance.now() - startMs > this.#limitMs) throw this.#exceeded(error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
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
