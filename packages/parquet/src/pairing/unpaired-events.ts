/**
 * Events that wait for their other half, by span id: a table of open addressing over typed arrays. An id may
 * stand in it several times, and what came first is found first, because entries of one id never change their
 * order. Begins and ends of one id are never in it together: the second half takes the first out.
 */

import { randomInt } from 'node:crypto';
import { keepCompiled } from '@tracelake/domain';

/** Clients choose the ids, so where they stand is different in each process; it decides no result. */
const SEED = randomInt(2 ** 32 - 1) | 0;

/** A power of two; at most half of the slots are taken. */
const INITIAL_SLOTS = 1024;

/** An id that comes more often than this at a time is not for this table. */
const PROBES_MAX = 1024;

const FREE = 0;
const BEGIN = 1;
const END = 2;

const WAITS = 0;
/** What became of an event: its other half was here; `foundLow` and `foundHigh` are what that half was kept with. */
export const PAIRED = 1;
/** There is no room for it; the table is as it was. */
export const REFUSED = 2;

export class UnpairedEvents {
  /** Of the last pair. */
  foundLow = 0;
  foundHigh = 0;
  readonly #entriesMax: number;
  #count = 0;
  #endCount = 0;
  #mask = INITIAL_SLOTS - 1;
  #kind = new Uint8Array(INITIAL_SLOTS);
  /** The id and what is kept with it, low and high halves: four words a slot. */
  #words = new Int32Array(INITIAL_SLOTS * 4);

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  /** Ends that wait for a begin. */
  get endCount(): number {
    return this.#endCount;
  }

  addBegin(idLow: number, idHigh: number, low: number, high: number): number {
    return this.#add(BEGIN, idLow, idHigh, low, high);
  }

  addEnd(idLow: number, idHigh: number, low: number, high: number): number {
    return this.#add(END, idLow, idHigh, low, high);
  }

  #add(kind: number, idLow: number, idHigh: number, low: number, high: number): number {
    const words = this.#words;
    const kinds = this.#kind;
    const mask = this.#mask;
    let slot = homeOf(idLow, idHigh) & mask;
    for (let probes = 0; ; probes += 1) {
      const other = kinds[slot] ?? FREE;
      if (other === FREE) break;
      if (other !== kind && words[slot * 4] === idLow && words[slot * 4 + 1] === idHigh) {
        this.foundLow = words[slot * 4 + 2] ?? 0;
        this.foundHigh = words[slot * 4 + 3] ?? 0;
        this.#remove(slot);
        return PAIRED;
      }
      if (probes === PROBES_MAX) return REFUSED;
      slot = (slot + 1) & mask;
    }
    if (this.#count >= this.#entriesMax) return REFUSED;
    kinds[slot] = kind;
    words[slot * 4] = idLow;
    words[slot * 4 + 1] = idHigh;
    words[slot * 4 + 2] = low;
    words[slot * 4 + 3] = high;
    this.#count += 1;
    if (kind === END) this.#endCount += 1;
    if (this.#count * 2 > mask) this.#grow();
    return WAITS;
  }

  /** Closes the gap, so that no mark of a removed entry is left; those of one home keep their order. */
  #remove(at: number): void {
    const words = this.#words;
    const kinds = this.#kind;
    const mask = this.#mask;
    this.#count -= 1;
    if (kinds[at] === END) this.#endCount -= 1;
    let gap = at;
    for (let slot = (gap + 1) & mask; kinds[slot] !== FREE; slot = (slot + 1) & mask) {
      const home = homeOf(words[slot * 4] ?? 0, words[slot * 4 + 1] ?? 0) & mask;
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      kinds[gap] = kinds[slot] ?? FREE;
      words.copyWithin(gap * 4, slot * 4, slot * 4 + 4);
      gap = slot;
    }
    kinds[gap] = FREE;
  }

  #grow(): void {
    const words = this.#words;
    const kinds = this.#kind;
    const slots = kinds.length;
    const mask = slots * 2 - 1;
    const grownKinds = new Uint8Array(slots * 2);
    const grownWords = new Int32Array(slots * 8);
    // From behind a free slot, so that what stands in a row is met in its order.
    const start = kinds.indexOf(FREE) + 1;
    for (let step = 0; step < slots; step += 1) {
      const from = (start + step) & (slots - 1);
      if (kinds[from] === FREE) continue;
      let slot = homeOf(words[from * 4] ?? 0, words[from * 4 + 1] ?? 0) & mask;
      while (grownKinds[slot] !== FREE) slot = (slot + 1) & mask;
      grownKinds[slot] = kinds[from] ?? FREE;
      for (let word = 0; word < 4; word += 1) {
        grownWords[slot * 4 + word] = words[from * 4 + word] ?? 0;
      }
    }
    this.#kind = grownKinds;
    this.#words = grownWords;
    this.#mask = mask;
  }
}

keepCompiled(new UnpairedEvents(0));

function homeOf(idLow: number, idHigh: number): number {
  const mixed = Math.imul(idLow ^ Math.imul(idHigh, 0x85eb_ca6b) ^ SEED, 0x9e37_79b1);
  return mixed ^ (mixed >>> 15);
}
