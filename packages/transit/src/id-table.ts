/**
 * A hash table from 64-bit keys, given as two 32-bit halves, to small non-negative integers: open addressing
 * over typed arrays, since bigint keys of a Map would cost several times as much per event.
 */

const SEED = (Math.random() * 0x1_0000_0000) | 0;

export class IdTable {
  #lows: Int32Array;
  #highs: Int32Array;
  /** The value plus one; zero marks a free slot. */
  #values: Int32Array;
  #mask: number;
  #size = 0;

  /** `entriesMax` entries go in without growing. */
  constructor(entriesMax: number) {
    const slots = 1 << Math.max(4, 33 - Math.clz32(Math.max(entriesMax, 1)));
    this.#mask = slots - 1;
    this.#lows = new Int32Array(slots);
    this.#highs = new Int32Array(slots);
    this.#values = new Int32Array(slots);
  }

  /** Returns the value of a key, or -1. */
  find(low: number, high: number): number {
    const mask = this.#mask;
    let slot = slotHash(low, high) & mask;
    for (;;) {
      const value = this.#values[slot] ?? 0;
      if (value === 0) return -1;
      if (this.#lows[slot] === low && this.#highs[slot] === high) return value - 1;
      slot = (slot + 1) & mask;
    }
  }

  /** Adds a key; returns false when it is there already. Both halves must be signed 32-bit integers. */
  insert(low: number, high: number, value: number): boolean {
    if (this.#size * 2 > this.#mask) this.#grow();
    const mask = this.#mask;
    let slot = slotHash(low, high) & mask;
    while (this.#values[slot] !== 0) {
      if (this.#lows[slot] === low && this.#highs[slot] === high) return false;
      slot = (slot + 1) & mask;
    }
    this.#lows[slot] = low;
    this.#highs[slot] = high;
    this.#values[slot] = value + 1;
    this.#size += 1;
    return true;
  }

  #grow(): void {
    const [lows, highs, values] = [this.#lows, this.#highs, this.#values];
    const slots = values.length * 2;
    this.#mask = slots - 1;
    this.#size = 0;
    this.#lows = new Int32Array(slots);
    this.#highs = new Int32Array(slots);
    this.#values = new Int32Array(slots);
    for (let slot = 0; slot < values.length; slot += 1) {
      const value = values[slot] ?? 0;
      if (value !== 0) this.insert(lows[slot] ?? 0, highs[slot] ?? 0, value - 1);
    }
  }
}

/** Seeded, because ids come from outside and must not be chosen to collide. */
function slotHash(low: number, high: number): number {
  return mix(mix(low ^ SEED) ^ high);
}

function mix(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
