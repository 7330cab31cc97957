/**
 * Puts spans that may overlap in any way on lanes where they nest truly.
 *
 * A span goes on its parent's lane when the parent is the innermost open span there and contains it;
 * otherwise on the lowest lane that is empty. Ends leave in order of time over all lanes. Memory is what
 * is open now; a placement costs O(log open).
 */

import { keepCompiled } from '@tracelake/domain';
import { compareTimes, type LaneSpan, OpenSpanHeap } from './open-span-heap.ts';
import { OpenSpanIds } from './open-span-ids.ts';

const NONE = -1;

/** Told of each end, in order of time; what is told first must be written first. */
export type LaneEnd = (lane: number, timeHigh: number, timeLow: number) => void;

export class ConcurrentLanes {
  readonly #onEnd: LaneEnd;
  readonly #openMax: number;
  readonly #open = new OpenSpanHeap();
  readonly #ids = new OpenSpanIds(this.#open);
  /** The innermost open slot of each lane, or -1. */
  readonly #tops: number[] = [];
  readonly #freeLanes = new LowestFirst();
  #openSeenMax = 0;

  constructor(onEnd: LaneEnd, openMax: number = Number.POSITIVE_INFINITY) {
    this.#onEnd = onEnd;
    this.#openMax = openMax;
  }

  get openCount(): number {
    return this.#open.count;
  }

  /** The most spans that were open at once. */
  get openSeenMax(): number {
    return this.#openSeenMax;
  }

  get laneCount(): number {
    return this.#tops.length;
  }

  /**
   * The lane for a span, after telling of every end that comes before its begin; -1 when as many spans
   * are open as may be. Spans come in order of begin; a lane's first use has the number `laneCount` had.
   */
  place(span: LaneSpan): number {
    const nested = this.placeInParent(span);
    if (nested !== NONE) return nested;
    this.#closeAt(span.beginHigh, span.beginLow, NONE);
    if (this.#open.count >= this.#openMax) return NONE;
    const lane = this.#freeLanes.pop() ?? this.#tops.push(NONE) - 1;
    this.#push(lane, NONE, span);
    return lane;
  }

  /** The parent's lane if the span may go there; -1, with nothing placed, if not. */
  placeInParent(span: LaneSpan): number {
    this.#closeBefore(span.beginHigh, span.beginLow);
    const parent = this.#ids.get(span.parentHigh, span.parentLow);
    if (parent === NONE) return NONE;
    this.#closeAt(span.beginHigh, span.beginLow, parent);
    const lane = this.#open.lane[parent] ?? 0;
    const isTop = this.#tops[lane] === parent;
    const contains = this.#open.compareEnd(parent, span.endHigh, span.endLow) >= 0;
    if (!isTop || !contains || this.#open.count >= this.#openMax) return NONE;
    this.#push(lane, parent, span);
    return lane;
  }

  /** Tells of every end that is left. */
  closeAll(): void {
    while (this.#open.count > 0) this.#closeFirst();
  }

  #push(lane: number, below: number, span: LaneSpan): void {
    const slot = this.#open.open(span, lane, below);
    this.#tops[lane] = slot;
    this.#ids.add(slot);
    if (this.#open.count > this.#openSeenMax) this.#openSeenMax = this.#open.count;
  }

  #closeBefore(high: number, low: number): void {
    for (;;) {
      const first = this.#open.first();
      if (first === NONE || this.#open.compareEnd(first, high, low) >= 0) return;
      this.#closeFirst();
    }
  }

  /** Closes what ends at this very time, up to the slot that the next span wants to nest in. */
  #closeAt(high: number, low: number, keep: number): void {
    for (;;) {
      const first = this.#open.first();
      if (first === NONE || first === keep) return;
      if (this.#open.compareEnd(first, high, low) > 0) return;
      this.#closeFirst();
    }
  }

  #closeFirst(): void {
    const open = this.#open;
    const slot = open.first();
    const lane = open.lane[slot] ?? 0;
    const below = open.below[slot] ?? NONE;
    this.#tops[lane] = below;
    if (below === NONE) this.#freeLanes.push(lane);
    this.#ids.remove(slot);
    open.removeFirst();
    this.#onEnd(lane, open.endHigh[slot] ?? 0, open.endLow[slot] ?? 0);
  }
}

/** True when `inner` ends no later than the given end. */
export function endsWithin(inner: LaneSpan, endHigh: number, endLow: number): boolean {
  return compareTimes(inner.endHigh, inner.endLow, endHigh, endLow) <= 0;
}

/** A heap of small numbers, the lowest out first. */
class LowestFirst {
  readonly #heap: number[] = [];

  push(value: number): void {
    const heap = this.#heap;
    let at = heap.push(value) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] ?? 0;
      if (parent <= value) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = value;
  }

  pop(): number | undefined {
    const heap = this.#heap;
    const lowest = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return lowest;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if ((heap[child + 1] ?? Number.POSITIVE_INFINITY) < (heap[child] ?? 0)) child += 1;
      const smaller = heap[child] ?? 0;
      if (smaller >= last) break;
      heap[at] = smaller;
      at = child;
    }
    heap[at] = last;
    return lowest;
  }
}

keepCompiled(new ConcurrentLanes(() => undefined));
