/**
 * Open spans in typed arrays: each has a slot, and the heap orders slots by end time, the last opened
 * first among equals, so that on one lane a child always closes before its parent.
 */

const NONE = -1;
const INITIAL_SLOTS = 64;

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
    this.#opened[slot] = this.#openedCount++;
    this.#heap[this.#count] = slot;
    this.#siftUp(this.#count);
    this.#count += 1;
    return slot;
  }

  /** Removes the slot that ends first. Its columns stay readable until the next `open`. */
  removeFirst(): void {
    this.#freeSlots.push(this.first());
    this.#count -= 1;
    const heap = this.#heap;
    heap[0] = heap[this.#count] ?? NONE;
    this.#siftDown();
  }

  #comesBefore(a: number, b: number): boolean {
    const order = this.compareEnd(a, this.endHigh[b] ?? 0, this.endLow[b] ?? 0);
    if (order !== 0) return order < 0;
    return (this.#opened[a] ?? 0) > (this.#opened[b] ?? 0);
  }

  #siftUp(from: number): void {
    const heap = this.#heap;
    const slot = heap[from] ?? NONE;
    let at = from;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] ?? NONE;
      if (!this.#comesBefore(slot, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = slot;
  }

  #siftDown(): void {
    const heap = this.#heap;
    const slot = heap[0] ?? NONE;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#count) break;
      const right = child + 1;
      if (right < this.#count && this.#comesBefore(heap[right] ?? NONE, heap[child] ?? NONE)) {
        child = right;
      }
      const smaller = heap[child] ?? NONE;
      if (!this.#comesBefore(smaller, slot)) break;
      heap[at] = smaller;
      at = child;
    }
    heap[at] = slot;
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
  }
}

function enlarge<T extends Int32Array | Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
