/**
 * Open spans in typed arrays: each has a slot, and the heap orders slots by end time, the last opened
 * first among equals, so that on one lane a child always closes before its parent.
 */

const NONE = -1;
const INITIAL_SLOTS = 64;
const TWO_32 = 2 ** 32;

/** A span to place: times and ids as halves, a time's low half unsigned, all others signed. */
export interface LaneSpan {
  beginHigh: number;
  beginLow: number;
  /** Not before the begin. */
  endHigh: number;
  endLow: number;
  idHigh: number;
  idLow: number;
  parentHigh: number;
  parentLow: number;
}

/** Orders two times given as signed high and unsigned low halves. */
export function compareTimes(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  if (aHigh !== bHigh) return aHigh < bHigh ? -1 : 1;
  return aLow === bLow ? 0 : aLow < bLow ? -1 : 1;
}

export class OpenSpanHeap {
  endHigh = new Int32Array(INITIAL_SLOTS);
  endLow = new Uint32Array(INITIAL_SLOTS);
  lane = new Int32Array(INITIAL_SLOTS);
  /** The slot under this one on its lane, or -1. */
  below = new Int32Array(INITIAL_SLOTS);
  idHigh = new Int32Array(INITIAL_SLOTS);
  idLow = new Int32Array(INITIAL_SLOTS);
  #opened = new Float64Array(INITIAL_SLOTS);
  #heap = new Int32Array(INITIAL_SLOTS);
  /** By place in the heap: the end after the first begin, exact within 104 days of it, rounded beyond. */
  #keys = new Float64Array(INITIAL_SLOTS);
  #baseHigh = 0;
  #baseLow = 0;
  #count = 0;
  #slotsUsed = 0;
  #openedCount = 0;
  readonly #freeSlots: number[] = [];

  get count(): number {
    return this.#count;
  }

  /** The slot that ends first, or -1. */
  first(): number {
    return this.#count === 0 ? NONE : (this.#heap[0] ?? NONE);
  }

  /** Compares the end of a slot with a time: negative when the span ends earlier. */
  compareEnd(slot: number, high: number, low: number): number {
    return compareTimes(this.endHigh[slot] ?? 0, this.endLow[slot] ?? 0, high, low);
  }

  open(span: LaneSpan, lane: number, below: number): number {
    const slot = this.#freeSlots.pop() ?? this.#slotsUsed++;
    if (slot >= this.endHigh.length) this.#grow();
    this.endHigh[slot] = span.endHigh;
    this.endLow[slot] = span.endLow;
    this.lane[slot] = lane;
    this.below[slot] = below;
    this.idHigh[slot] = span.idHigh;
    this.idLow[slot] = span.idLow;
    if (this.#openedCount === 0) {
      this.#baseHigh = span.beginHigh;
      this.#baseLow = span.beginLow;
    }
    this.#opened[slot] = this.#openedCount++;
    const key = (span.endHigh - this.#baseHigh) * TWO_32 + (span.endLow - this.#baseLow);
    this.#count += 1;
    this.#siftUp(this.#count - 1, slot, key);
    return slot;
  }

  /** Removes the slot that ends first. Its columns stay readable until the next `open`. */
  removeFirst(): void {
    const heap = this.#heap;
    const keys = this.#keys;
    this.#freeSlots.push(heap[0] ?? NONE);
    const last = --this.#count;
    // The smaller children move up to the last level, then what was last finds its place from there.
    let at = 0;
    for (let child = 1; child < last; child = 2 * at + 1) {
      if (child + 1 < last && this.#comesBefore(child + 1, child)) child += 1;
      heap[at] = heap[child] ?? NONE;
      keys[at] = keys[child] ?? 0;
      at = child;
    }
    this.#siftUp(at, heap[last] ?? NONE, keys[last] ?? 0);
  }

  /** Of two places in the heap. */
  #comesBefore(a: number, b: number): boolean {
    const aKey = this.#keys[a] ?? 0;
    const bKey = this.#keys[b] ?? 0;
    return aKey === bKey
      ? this.#isSooner(this.#heap[a] ?? NONE, this.#heap[b] ?? NONE)
      : aKey < bKey;
  }

  /** Of two slots whose keys are equal: the ends decide where they were rounded, then who was opened last. */
  #isSooner(a: number, b: number): boolean {
    const order = this.compareEnd(a, this.endHigh[b] ?? 0, this.endLow[b] ?? 0);
    if (order !== 0) return order < 0;
    return (this.#opened[a] ?? 0) > (this.#opened[b] ?? 0);
  }

  #siftUp(from: number, slot: number, key: number): void {
    const heap = this.#heap;
    const keys = this.#keys;
    let at = from;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const upKey = keys[up] ?? 0;
      if (upKey < key || (upKey === key && !this.#isSooner(slot, heap[up] ?? NONE))) break;
      heap[at] = heap[up] ?? NONE;
      keys[at] = upKey;
      at = up;
    }
    heap[at] = slot;
    keys[at] = key;
  }

  #grow(): void {
    const size = this.endHigh.length * 2;
    this.endHigh = enlarge(this.endHigh, new Int32Array(size));
    this.endLow = enlarge(this.endLow, new Uint32Array(size));
    this.lane = enlarge(this.lane, new Int32Array(size));
    this.below = enlarge(this.below, new Int32Array(size));
    this.idHigh = enlarge(this.idHigh, new Int32Array(size));
    this.idLow = enlarge(this.idLow, new Int32Array(size));
    this.#opened = enlarge(this.#opened, new Float64Array(size));
    this.#heap = enlarge(this.#heap, new Int32Array(size));
    this.#keys = enlarge(this.#keys, new Float64Array(size));
  }
}

function enlarge<T extends Int32Array | Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
