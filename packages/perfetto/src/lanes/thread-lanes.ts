/**
 * Puts the spans of one thread on lane 0, the thread's own track, where they nest as they were called.
 * A span that overlaps the innermost open span without nesting in it (its thread ended spans out of
 * order) goes to a lane above 0, with its children.
 */

import { keepCompiled } from '@tracelake/domain';
import { ConcurrentLanes, endsWithin, type LaneEnd } from './concurrent-lanes.ts';
import { compareTimes, type LaneSpan } from './open-span-heap.ts';

const NONE = -1;
const INITIAL_DEPTH = 64;

export interface ThreadLaneSpan extends LaneSpan {
  /** Depth in the thread's call tree; an ancestor's is smaller. */
  depth: number;
}

export class ThreadLanes {
  readonly #onEnd: LaneEnd;
  readonly #extras: ConcurrentLanes;
  #endHigh = new Int32Array(INITIAL_DEPTH);
  #endLow = new Uint32Array(INITIAL_DEPTH);
  #depth = new Float64Array(INITIAL_DEPTH);
  #count = 0;

  constructor(onEnd: LaneEnd, openMax?: number) {
    this.#onEnd = onEnd;
    this.#extras = new ConcurrentLanes((lane, high, low) => onEnd(lane + 1, high, low), openMax);
  }

  get openCount(): number {
    return this.#count + this.#extras.openCount;
  }

  /** Lane 0 and those above it that were ever used. */
  get laneCount(): number {
    return 1 + this.#extras.laneCount;
  }

  /**
   * The lane for a span, after telling of the ends on that lane that come before its begin; -1 when as
   * many spans are open as may be. Spans come in order of (begin, id).
   */
  place(span: ThreadLaneSpan): number {
    this.#closeEnded(span);
    if (this.#extras.openCount > 0) {
      const lane = this.#extras.placeInParent(span);
      if (lane !== NONE) return lane + 1;
    }
    const top = this.#count - 1;
    if (top < 0 || endsWithin(span, this.#endHigh[top] ?? 0, this.#endLow[top] ?? 0)) {
      this.#push(span);
      return 0;
    }
    const lane = this.#extras.place(span);
    return lane === NONE ? NONE : lane + 1;
  }

  closeAll(): void {
    while (this.#count > 0) this.#closeTop();
    this.#extras.closeAll();
  }

  /** At equal times an end comes before the begin, unless the open span is an ancestor. */
  #closeEnded(span: ThreadLaneSpan): void {
    while (this.#count > 0) {
      const top = this.#count - 1;
      const high = this.#endHigh[top] ?? 0;
      const low = this.#endLow[top] ?? 0;
      const order = compareTimes(high, low, span.beginHigh, span.beginLow);
      if (order > 0) return;
      const isAncestor = (this.#depth[top] ?? 0) < span.depth && endsWithin(span, high, low);
      if (order === 0 && isAncestor) return;
      this.#closeTop();
    }
  }

  #closeTop(): void {
    const top = --this.#count;
    this.#onEnd(0, this.#endHigh[top] ?? 0, this.#endLow[top] ?? 0);
  }

  #push(span: ThreadLaneSpan): void {
    if (this.#count === this.#endHigh.length) this.#grow();
    this.#endHigh[this.#count] = span.endHigh;
    this.#endLow[this.#count] = span.endLow;
    this.#depth[this.#count] = span.depth;
    this.#count += 1;
  }

  #grow(): void {
    const size = this.#endHigh.length * 2;
    const endHigh = new Int32Array(size);
    endHigh.set(this.#endHigh);
    const endLow = new Uint32Array(size);
    endLow.set(this.#endLow);
    const depth = new Float64Array(size);
    depth.set(this.#depth);
    this.#endHigh = endHigh;
    this.#endLow = endLow;
    this.#depth = depth;
  }
}

keepCompiled(new ThreadLanes(() => undefined));
