import { TransitDecodeError } from './transit-decode-error.ts';

/**
 * Bounds work and memory that grow faster than the input: many scopes or property sets may name one huge text,
 * and each would hash or print it anew.
 */
export class TextBudget {
  readonly #limit: number;
  #remaining: number;

  constructor(limit: number) {
    this.#limit = limit;
    this.#remaining = limit;
  }

  /** Throws `transit.too-large` once more than the limit was spent in all. */
  spend(amount: number): void {
    this.#remaining -= amount;
    if (this.#remaining >= 0) return;
    throw new TransitDecodeError(
      'transit.too-large',
      `cannot decode block: the texts its records refer to add up to more than ${this.#limit} characters`,
      { limit: this.#limit },
    );
  }
}
