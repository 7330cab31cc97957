/**
 * Spans between their begin and the moment they are handed on: a ring of columns that grows as it must. A
 * span has a number that counts up; those whose end is not known hold back all that began after them.
 */

import { keepCompiled } from '@tracelake/domain';
import type { ScopeText } from '../scope-dictionary.ts';
import type { SpanBatch } from '../span-batch.ts';
import type { EventSlice } from './event-merge.ts';

/** A power of two. */
const INITIAL_ROWS = 4096;

interface WindowColumns {
  readonly begin: BigInt64Array;
  readonly end: BigInt64Array;
  readonly id: BigInt64Array;
  readonly parent: BigInt64Array;
  readonly depth: Uint32Array;
  readonly scope: Uint32Array;
  readonly open: Uint8Array;
  /** 1 until the end is known. */
  readonly waiting: Uint8Array;
  /** Begin, end, id and parent as halves: low at `2 * row`. */
  readonly words: readonly [Int32Array, Int32Array, Int32Array, Int32Array];
}

export class SpanWindow {
  readonly #scopes: readonly ScopeText[];
  #columns = columnsOf(INITIAL_ROWS);
  #mask = INITIAL_ROWS - 1;
  /** Numbers of the first span held, of the first that may still wait, and of the next to come. */
  #head = 0;
  #settled = 0;
  #tail = 0;

  constructor(scopes: readonly ScopeText[]) {
    this.#scopes = scopes;
  }

  get count(): number {
    return this.#tail - this.#head;
  }

  /** The number that the next span gets. */
  get next(): number {
    return this.#tail;
  }

  /** The begin of the first span held, undefined when there is none. */
  get firstBegin(): bigint | undefined {
    return this.count === 0 ? undefined : this.#columns.begin[this.#head & this.#mask];
  }

  /** Takes a begin event, which has no end yet. */
  append(events: EventSlice, row: number): void {
    if (this.#tail - this.#head > this.#mask) this.#grow();
    const columns = this.#columns;
    const at = this.#tail & this.#mask;
    const [begin, , id, parent] = columns.words;
    begin[2 * at] = events.time[2 * row] ?? 0;
    begin[2 * at + 1] = events.time[2 * row + 1] ?? 0;
    id[2 * at] = events.id[2 * row] ?? 0;
    id[2 * at + 1] = events.id[2 * row + 1] ?? 0;
    parent[2 * at] = events.parent[2 * row] ?? 0;
    parent[2 * at + 1] = events.parent[2 * row + 1] ?? 0;
    columns.depth[at] = events.depth[row] ?? 0;
    columns.scope[at] = events.scope[row] ?? 0;
    columns.open[at] = 0;
    columns.waiting[at] = 1;
    this.#tail += 1;
  }

  idLow(number: number): number {
    return this.#columns.words[2][2 * (number & this.#mask)] ?? 0;
  }

  idHigh(number: number): number {
    return this.#columns.words[2][2 * (number & this.#mask) + 1] ?? 0;
  }

  /** Gives a span its end, or its begin if the end lies before it. `wrapped`: its number modulo 2^32. */
  settle(wrapped: number, endLow: number, endHigh: number): void {
    const at = wrapped & this.#mask;
    const [begin, end] = this.#columns.words;
    const beginLow = begin[2 * at] ?? 0;
    const beginHigh = begin[2 * at + 1] ?? 0;
    const isBefore =
      endHigh < beginHigh || (endHigh === beginHigh && endLow >>> 0 < beginLow >>> 0);
    end[2 * at] = isBefore ? beginLow : endLow;
    end[2 * at + 1] = isBefore ? beginHigh : endHigh;
    this.#columns.waiting[at] = 0;
  }

  /** Marks all that wait as open, with an end of their own. */
  settleRest(openEndNs: bigint): void {
    const { begin, end, open, waiting } = this.#columns;
    for (let number = this.#settled; number < this.#tail; number += 1) {
      const at = number & this.#mask;
      if (waiting[at] === 0) continue;
      const beginNs = begin[at] ?? 0n;
      end[at] = openEndNs < beginNs ? beginNs : openEndNs;
      open[at] = 1;
      waiting[at] = 0;
    }
  }

  /**
   * Puts spans from `first` on, which all begin together, in order of depth and id. False, and their order is
   * any, when two of them have both in common.
   */
  sortFrom(first: number): boolean {
    let isSorted = true;
    for (let number = first + 1; number < this.#tail && isSorted; number += 1) {
      isSorted = this.#compare(number - 1, number) < 0;
    }
    if (isSorted) return true;
    const order = Array.from({ length: this.#tail - first }, (_, i) => first + i);
    order.sort((a, b) => this.#compare(a, b));
    for (let i = 1; i < order.length; i += 1) {
      if (this.#compare(order[i - 1] ?? 0, order[i] ?? 0) === 0) return false;
    }
    const { id, parent, depth, scope } = this.#columns;
    for (const column of [id, parent]) this.#rearrange(column, order, first);
    for (const column of [depth, scope]) this.#rearrange(column, order, first);
    return true;
  }

  /**
   * The first spans whose ends are known and that end at `leastEndNs` or later, in whole groups of those that
   * begin together. The columns are the window's own, valid until it is used again.
   */
  *takeSettled(leastEndNs: bigint): Generator<SpanBatch, void, void> {
    const { begin, waiting } = this.#columns;
    const mask = this.#mask;
    let to = this.#settled;
    while (to < this.#tail && waiting[to & mask] === 0) to += 1;
    this.#settled = to;
    if (to < this.#tail) {
      while (to > this.#head && begin[(to - 1) & mask] === begin[to & mask]) to -= 1;
    }
    while (this.#head < to) {
      const from = this.#head & mask;
      const count = Math.min(to - this.#head, mask + 1 - from);
      const kept = this.#keepEndingFrom(from, from + count, leastEndNs);
      if (kept > 0) yield this.#batch(from, from + kept);
      this.#head += count;
    }
  }

  /** Moves the rows that end late enough to the front; returns how many. */
  #keepEndingFrom(from: number, to: number, leastEndNs: bigint): number {
    const { begin, end, id, parent, depth, scope, open } = this.#columns;
    let kept = from;
    for (let row = from; row < to; row += 1) {
      if ((end[row] ?? 0n) < leastEndNs) continue;
      if (kept !== row) {
        for (const column of [begin, end, id, parent]) column.copyWithin(kept, row, row + 1);
        for (const column of [depth, scope, open]) column.copyWithin(kept, row, row + 1);
      }
      kept += 1;
    }
    return kept - from;
  }

  #batch(from: number, to: number): SpanBatch {
    const columns = this.#columns;
    return {
      rowCount: to - from,
      id: columns.id.subarray(from, to),
      parent: columns.parent.subarray(from, to),
      depth: columns.depth.subarray(from, to),
      begin: columns.begin.subarray(from, to),
      end: columns.end.subarray(from, to),
      scope: columns.scope.subarray(from, to),
      open: columns.open.subarray(from, to),
      scopes: this.#scopes,
      retained: undefined,
    };
  }

  #rearrange<T extends bigint | number>(
    column: { [at: number]: T },
    order: readonly number[],
    first: number,
  ): void {
    const values = order.map((number) => column[number & this.#mask] as T);
    for (const [i, value] of values.entries()) column[(first + i) & this.#mask] = value;
  }

  #compare(a: number, b: number): number {
    const { depth, id } = this.#columns;
    const i = a & this.#mask;
    const j = b & this.#mask;
    const order = (depth[i] ?? 0) - (depth[j] ?? 0);
    if (order !== 0) return order;
    const x = id[i] ?? 0n;
    const y = id[j] ?? 0n;
    return x < y ? -1 : x > y ? 1 : 0;
  }

  #grow(): void {
    const old = this.#columns;
    const oldMask = this.#mask;
    const grown = columnsOf((oldMask + 1) * 2);
    const mask = oldMask * 2 + 1;
    // The ring is full: two stretches, each of which stays in one piece.
    for (let number = this.#head; number < this.#tail; ) {
      const from = number & oldMask;
      const count = Math.min(this.#tail - number, oldMask + 1 - from);
      const at = number & mask;
      for (const name of ['begin', 'end', 'id', 'parent'] as const) {
        grown[name].set(old[name].subarray(from, from + count), at);
      }
      for (const name of ['depth', 'scope', 'open', 'waiting'] as const) {
        grown[name].set(old[name].subarray(from, from + count), at);
      }
      number += count;
    }
    this.#columns = grown;
    this.#mask = mask;
  }
}

keepCompiled(new SpanWindow([]));

function columnsOf(rows: number): WindowColumns {
  const begin = new BigInt64Array(rows);
  const end = new BigInt64Array(rows);
  const id = new BigInt64Array(rows);
  const parent = new BigInt64Array(rows);
  return {
    begin,
    end,
    id,
    parent,
    depth: new Uint32Array(rows),
    scope: new Uint32Array(rows),
    open: new Uint8Array(rows),
    waiting: new Uint8Array(rows),
    words: [
      new Int32Array(begin.buffer),
      new Int32Array(end.buffer),
      new Int32Array(id.buffer),
      new Int32Array(parent.buffer),
    ],
  };
}
