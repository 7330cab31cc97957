import { ExportError } from './export-error.ts';

/** How many exports may be under way; who comes later is told to come back. */
export class ExportLimiter {
  readonly #limit: number;
  #inFlight = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Takes a place until it is disposed of. Errors: `trace-export.busy`. */
  enter(): Disposable {
    if (this.#inFlight >= this.#limit) {
      throw new ExportError(
        'trace-export.busy',
        `${this.#limit} exports are under way, as many as are served at once; try again`,
        { retryable: true, details: { limit: this.#limit } },
      );
    }
    this.#inFlight += 1;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#inFlight -= 1;
        held = false;
      },
    };
  }
}
