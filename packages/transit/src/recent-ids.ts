/**
 * The values of 64-bit ids that were asked for lately, in front of an `IdTable`: most events of a block name one of
 * a few dependencies. Each id has one place, found without hashing, and the last one to come there holds it: ids
 * chosen to collide cost what the table costs.
 */

const PLACES = 512;

export class RecentIds {
  readonly #lows = new Int32Array(PLACES);
  readonly #highs = new Int32Array(PLACES);
  readonly #values = new Int32Array(PLACES).fill(-1);

  /** Returns the value of an id, or -1 when it is not among the recent ones. Halves are signed. */
  find(low: number, high: number): number {
    const place = placeOf(low);
    return this.#lows[place] === low && this.#highs[place] === high
      ? (this.#values[place] ?? -1)
      : -1;
  }

  put(low: number, high: number, value: number): void {
    const place = placeOf(low);
    this.#lows[place] = low;
    this.#highs[place] = high;
    this.#values[place] = value;
  }
}

/** Ids are pointers: their lowest bits are those of an alignment. */
function placeOf(low: number): number {
  return ((low >>> 3) ^ (low >>> 12)) & (PLACES - 1);
}
