/**
 * Slots of open spans by span id: a table of open addressing that keeps no id itself, the slots have them. Of
 * several open spans with one id the last opened is found.
 */

import { randomInt } from 'node:crypto';
import type { OpenSpanHeap } from './open-span-heap.ts';

const NONE = -1;

/** A power of two; at most half of the places are taken. */
const INITIAL_PLACES = 128;

/** Clients choose the ids, so where they stand is different in each process; it decides no result. */
const SEED = randomInt(2 ** 32 - 1) | 0;

export class OpenSpanIds {
  readonly #open: OpenSpanHeap;
  /** Slot plus one; 0 is free. */
  #slots = new Int32Array(INITIAL_PLACES);
  /** The mixed id at each place that is taken. */
  #mixed = new Int32Array(INITIAL_PLACES);
  #mask = INITIAL_PLACES - 1;
  #count = 0;

  constructor(open: OpenSpanHeap) {
    this.#open = open;
  }

  /** The slot of an id, or -1. */
  get(idHigh: number, idLow: number): number {
    return (this.#slots[this.#placeOf(idHigh, idLow, mixOf(idHigh, idLow))] ?? 0) - 1;
  }

  /** Takes a slot that has been opened. */
  add(slot: number): void {
    const idHigh = this.#open.idHigh[slot] ?? 0;
    const idLow = this.#open.idLow[slot] ?? 0;
    const mixed = mixOf(idHigh, idLow);
    const place = this.#placeOf(idHigh, idLow, mixed);
    const isNew = this.#slots[place] === 0;
    this.#slots[place] = slot + 1;
    this.#mixed[place] = mixed;
    if (!isNew) return;
    this.#count += 1;
    if (this.#count * 2 > this.#mask) this.#grow();
  }

  /** Lets go of a slot, unless a later span of its id is known already. The slot's id must be there still. */
  remove(slot: number): void {
    const slots = this.#slots;
    const mixed = this.#mixed;
    const mask = this.#mask;
    const idHigh = this.#open.idHigh[slot] ?? 0;
    const idLow = this.#open.idLow[slot] ?? 0;
    let gap = this.#placeOf(idHigh, idLow, mixOf(idHigh, idLow));
    if (slots[gap] !== slot + 1) return;
    this.#count -= 1;
    for (let place = (gap + 1) & mask; slots[place] !== 0; place = (place + 1) & mask) {
      const home = (mixed[place] ?? 0) & mask;
      if (((place - home) & mask) < ((place - gap) & mask)) continue;
      slots[gap] = slots[place] ?? 0;
      mixed[gap] = mixed[place] ?? 0;
      gap = place;
    }
    slots[gap] = 0;
  }

  /** Where an id stands, or the free place where it would. */
  #placeOf(idHigh: number, idLow: number, mixed: number): number {
    const slots = this.#slots;
    const ids = this.#open;
    const mask = this.#mask;
    let place = mixed & mask;
    for (;;) {
      const slot = (slots[place] ?? 0) - 1;
      if (slot === NONE) return place;
      if (this.#mixed[place] === mixed && ids.idLow[slot] === idLow && ids.idHigh[slot] === idHigh)
        return place;
      place = (place + 1) & mask;
    }
  }

  #grow(): void {
    const old = this.#slots;
    const oldMixed = this.#mixed;
    const mask = old.length * 2 - 1;
    const slots = new Int32Array(old.length * 2);
    const mixed = new Int32Array(old.length * 2);
    for (let from = 0; from < old.length; from += 1) {
      if (old[from] === 0) continue;
      let place = (oldMixed[from] ?? 0) & mask;
      while (slots[place] !== 0) place = (place + 1) & mask;
      slots[place] = old[from] ?? 0;
      mixed[place] = oldMixed[from] ?? 0;
    }
    this.#slots = slots;
    this.#mixed = mixed;
    this.#mask = mask;
  }
}

function mixOf(idHigh: number, idLow: number): number {
  const mixed = Math.imul(idLow ^ Math.imul(idHigh, 0x85eb_ca6b) ^ SEED, 0x9e37_79b1);
  return mixed ^ (mixed >>> 15);
}
