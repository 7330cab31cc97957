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
  #mask = INITIAL_PLACES - 1;
  #count = 0;

  constructor(open: OpenSpanHeap) {
    this.#open = open;
  }

  /** The slot of an id, or -1. */
  get(idHigh: number, idLow: number): number {
    return (this.#slots[this.#placeOf(idHigh, idLow)] ?? 0) - 1;
  }

  /** Takes a slot that has been opened. */
  add(slot: number): void {
    const place = this.#placeOf(this.#open.idHigh[slot] ?? 0, this.#open.idLow[slot] ?? 0);
    const isNew = this.#slots[place] === 0;
    this.#slots[place] = slot + 1;
    if (!isNew) return;
    this.#count += 1;
    if (this.#count * 2 > this.#mask) this.#grow();
  }

  /** Lets go of a slot, unless a later span of its id is known already. The slot's id must be there still. */
  remove(slot: number): void {
    const slots = this.#slots;
    const mask = this.#mask;
    let gap = this.#placeOf(this.#open.idHigh[slot] ?? 0, this.#open.idLow[slot] ?? 0);
    if (slots[gap] !== slot + 1) return;
    this.#count -= 1;
    for (let place = (gap + 1) & mask; ; place = (place + 1) & mask) {
      const other = (slots[place] ?? 0) - 1;
      if (other === NONE) break;
      const home = homeOf(this.#open.idHigh[other] ?? 0, this.#open.idLow[other] ?? 0) & mask;
      if (((place - home) & mask) < ((place - gap) & mask)) continue;
      slots[gap] = other + 1;
      gap = place;
    }
    slots[gap] = 0;
  }

  /** Where an id stands, or the free place where it would. */
  #placeOf(idHigh: number, idLow: number): number {
    const slots = this.#slots;
    const ids = this.#open;
    const mask = this.#mask;
    let place = homeOf(idHigh, idLow) & mask;
    for (;;) {
      const slot = (slots[place] ?? 0) - 1;
      if (slot === NONE) return place;
      if (ids.idLow[slot] === idLow && ids.idHigh[slot] === idHigh) return place;
      place = (place + 1) & mask;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(old.length * 2);
    this.#mask = this.#slots.length - 1;
    for (const taken of old) {
      if (taken === 0) continue;
      const slot = taken - 1;
      const place = this.#placeOf(this.#open.idHigh[slot] ?? 0, this.#open.idLow[slot] ?? 0);
      this.#slots[place] = taken;
    }
  }
}

function homeOf(idHigh: number, idLow: number): number {
  const mixed = Math.imul(idLow ^ Math.imul(idHigh, 0x85eb_ca6b) ^ SEED, 0x9e37_79b1);
  return mixed ^ (mixed >>> 15);
}
