/**
 * Thread span events to spans: a fold over the blocks of a stream in stream order.
 *
 * Blocks form chains, which end where data is missing. A span's row is written when its end comes, wherever its
 * begin was; what is open at the end of a run goes on in the carry. When a chain ends its open spans end with
 * it, marked open, and the chain has a row of depth 0 that stands for the thread, unless it had no span at all.
 * An end without a begin is a span from the chain's begin. An end that is not the innermost span's closes the
 * nearest open span of its own scope; those above it stay open.
 */

import { relativeTicksToNs, type TickCalibration } from '@tracelake/domain';
import { type SpanScope, scopeHash } from '@tracelake/transit';
import { halvesOf } from './int64-halves.ts';
import { OpenSpanStack } from './open-span-stack.ts';
import type { RowColumns } from './row-columns.ts';
import { decodeSpanCarry, encodeSpanCarry, type OpenSpan, SPAN_DEPTH_MAX } from './span-carry.ts';
import { SPAN_CLOSED, SPAN_OPEN, SPAN_PENDING, SpanRows } from './span-rows.ts';
import { SpanScopeTable } from './span-scope-table.ts';
import { breaksChain, lastTicksOf } from './stream-order.ts';
import { clampToTimes } from './tick-conversion.ts';

/** Id of a row of depth 0, and so the parent of the spans of depth 1. */
const THREAD_ID = -1n;

/** The thread span events of a block, in the order they were recorded. */
export interface SpanEvents {
  readonly count: number;
  readonly eventIds: BigInt64Array;
  readonly times: BigInt64Array;
  /** 0 begin, 1 end. */
  readonly kind: Uint8Array;
  readonly scope: Uint32Array;
  readonly scopes: readonly SpanScope[];
}

export interface BlockTicks {
  /** Relative to the process's start. */
  readonly beginTicks: bigint;
  readonly endTicks: bigint;
}

interface Chain {
  readonly threadName: string;
  readonly beginTicks: bigint;
  endTicks: bigint;
  hasSpans: boolean;
}

/** 64-bit columns of a block's events as 32-bit halves. */
interface EventHalves {
  readonly ids: Int32Array;
  readonly times: Int32Array;
}

export class SpanFold {
  mismatchedEnds = 0;
  orphanEnds = 0;
  droppedSpans = 0;
  readonly #calibration: TickCalibration;
  readonly #rows = new SpanRows();
  readonly #scopes = new SpanScopeTable();
  readonly #stack = new OpenSpanStack();
  #tooDeepCount = 0;
  #chain: Chain | undefined;
  #chainBeginNs = 0n;

  constructor(calibration: TickCalibration, carryIn: Uint8Array | undefined) {
    this.#calibration = calibration;
    if (carryIn !== undefined) this.#restore(carryIn);
  }

  /** Takes the next block of the stream. */
  addBlock(block: BlockTicks, threadName: string, events: SpanEvents): void {
    // A row for each begin, and one for the thread when a chain ends.
    this.#rows.reserve(beginsAmong(events) + 1);
    const chain = this.#chainFor(block, threadName);
    if (events.count === 0) return;
    chain.hasSpans = true;
    const codes = Uint32Array.from(events.scopes, (scope) => this.#scopes.codeOf(scope));
    const halves = { ids: halvesOf(events.eventIds), times: halvesOf(events.times) };
    for (let index = 0; index < events.count; index++) {
      const scope = codes[events.scope[index] ?? 0] ?? 0;
      if (events.kind[index] === 0) this.#begin(halves, index, scope);
      else this.#end(events, halves.times, index, scope);
    }
  }

  /** The rows of spans that ended. */
  toColumns(): RowColumns {
    const open = this.#openRows();
    const endedCount = this.#rows.count - open.length;
    // In place, since open spans are few: a second copy of all columns would be tens of megabytes.
    this.#rows.putLast(open);
    this.#stack.renumberRows(endedCount);
    return this.#rows.toColumns(this.#scopes.scopes, endedCount);
  }

  /** The rows there would be besides if the chain ended here; undefined when none. */
  tail(): RowColumns | undefined {
    if (this.#chain?.hasSpans !== true) return undefined;
    const rows = new SpanRows();
    rows.reserve(this.#stack.size + 1);
    for (const row of this.#openRows()) {
      copyRow(this.#rows, row, rows);
      this.#endOpen(rows, rows.count++);
    }
    this.#addThreadRow(this.#chain, rows);
    return rows.toColumns(this.#scopes.scopes);
  }

  /** Undefined while no block has been seen. */
  carry(): Uint8Array | undefined {
    const chain = this.#chain;
    if (chain === undefined) return undefined;
    const scopes = new SpanScopeTable();
    const open: OpenSpan[] = [];
    for (const row of this.#openRows()) {
      const scope = this.#scopes.scopes[this.#rows.scope[row] ?? 0];
      if (scope === undefined) continue;
      open.push({
        depth: this.#rows.depth[row] ?? 0,
        scope: scopes.codeOf(scope),
        id: this.#rows.id[row] ?? 0n,
        parent: this.#rows.parent[row] ?? 0n,
        beginNs: this.#rows.begin[row] ?? 0n,
      });
    }
    return encodeSpanCarry({
      threadName: chain.threadName,
      chainBeginTicks: chain.beginTicks,
      chainEndTicks: chain.endTicks,
      hasSpans: chain.hasSpans,
      tooDeepCount: this.#tooDeepCount,
      scopes: scopes.scopes,
      open,
    });
  }

  #begin({ ids, times }: EventHalves, index: number, scope: number): void {
    const stack = this.#stack;
    if (stack.size >= SPAN_DEPTH_MAX) {
      this.#tooDeepCount++;
      this.droppedSpans++;
      return;
    }
    const rows = this.#rows;
    const parentRow = stack.topRow();
    const row = rows.count++;
    const { idHalves, parentHalves, beginHalves } = rows;
    idHalves[row * 2] = ids[index * 2] ?? 0;
    idHalves[row * 2 + 1] = ids[index * 2 + 1] ?? 0;
    // In halves -1, the id of a row of depth 0, is twice -1.
    parentHalves[row * 2] = parentRow < 0 ? -1 : (idHalves[parentRow * 2] ?? 0);
    parentHalves[row * 2 + 1] = parentRow < 0 ? -1 : (idHalves[parentRow * 2 + 1] ?? 0);
    beginHalves[row * 2] = times[index * 2] ?? 0;
    beginHalves[row * 2 + 1] = times[index * 2 + 1] ?? 0;
    rows.depth[row] = stack.size + 1;
    rows.scope[row] = scope;
    rows.state[row] = SPAN_PENDING;
    stack.push(row, scope);
  }

  #end(events: SpanEvents, times: Int32Array, index: number, scope: number): void {
    if (this.#tooDeepCount > 0) {
      this.#tooDeepCount--;
      return;
    }
    const stack = this.#stack;
    const slot = stack.innermostOf(scope);
    if (slot < 0) {
      this.#addOrphan(events, index, scope);
      return;
    }
    const rows = this.#rows;
    const row = stack.rowAt(slot);
    rows.endHalves[row * 2] = times[index * 2] ?? 0;
    rows.endHalves[row * 2 + 1] = times[index * 2 + 1] ?? 0;
    rows.state[row] = SPAN_CLOSED;
    if (slot !== stack.size - 1) this.mismatchedEnds++;
    stack.remove(slot);
  }

  #addOrphan(events: SpanEvents, index: number, scope: number): void {
    this.orphanEnds++;
    const endNs = events.times[index] ?? 0n;
    // The rows reserved for the block are those of its begins, each of which still has to find its own.
    this.#rows.reserve(events.count - index);
    addRow(this.#rows, {
      id: events.eventIds[index] ?? 0n,
      parent: THREAD_ID,
      depth: 1,
      scope,
      beginNs: endNs < this.#chainBeginNs ? endNs : this.#chainBeginNs,
      endNs,
      state: SPAN_OPEN,
    });
  }

  /** The chain that the block belongs to: the one before it, made longer, or a new one. */
  #chainFor(block: BlockTicks, threadName: string): Chain {
    const chain = this.#chain;
    if (chain !== undefined && !breaksChain(chain.endTicks, block)) {
      const lastTicks = lastTicksOf(block);
      if (lastTicks > chain.endTicks) chain.endTicks = lastTicks;
      return chain;
    }
    if (chain !== undefined) this.#endChain(chain);
    const { beginTicks } = block;
    return this.#startChain({
      threadName,
      beginTicks,
      endTicks: lastTicksOf(block),
      hasSpans: false,
    });
  }

  #startChain(chain: Chain): Chain {
    this.#chain = chain;
    this.#chainBeginNs = this.#timeOf(chain.beginTicks);
    return chain;
  }

  #endChain(chain: Chain): void {
    if (!chain.hasSpans) return;
    for (const row of this.#openRows()) this.#endOpen(this.#rows, row);
    this.#addThreadRow(chain, this.#rows);
    this.#stack.clear();
    this.#tooDeepCount = 0;
  }

  /** An open span ends with its chain, or at its own begin when that lies past the end of the chain. */
  #endOpen(rows: SpanRows, row: number): void {
    const chainEndNs = this.#timeOf(this.#chain?.endTicks ?? 0n);
    const beginNs = rows.begin[row] ?? 0n;
    rows.end[row] = beginNs > chainEndNs ? beginNs : chainEndNs;
    rows.state[row] = SPAN_OPEN;
  }

  #addThreadRow({ threadName, endTicks }: Chain, rows: SpanRows): void {
    const hash = scopeHash(threadName, '', '', 0);
    const scope = { name: threadName, target: '', filename: '', line: 0, hash };
    addRow(rows, {
      id: THREAD_ID,
      parent: 0n,
      depth: 0,
      scope: this.#scopes.codeOf(scope),
      beginNs: this.#chainBeginNs,
      endNs: this.#timeOf(endTicks),
      state: SPAN_CLOSED,
    });
  }

  /** Rows of open spans, outermost first. */
  #openRows(): number[] {
    const rows: number[] = [];
    for (let slot = 0; slot < this.#stack.size; slot++) {
      const row = this.#stack.rowAt(slot);
      if (row >= 0) rows.push(row);
    }
    return rows;
  }

  #restore(carryIn: Uint8Array): void {
    const carry = decodeSpanCarry(carryIn);
    const { threadName, hasSpans } = carry;
    this.#tooDeepCount = carry.tooDeepCount;
    this.#startChain({
      threadName,
      beginTicks: carry.chainBeginTicks,
      endTicks: carry.chainEndTicks,
      hasSpans,
    });
    const codes = carry.scopes.map((scope) => this.#scopes.codeOf(scope));
    this.#rows.reserve(carry.open.length);
    for (const { id, parent, depth, beginNs, scope: carried } of carry.open) {
      const scope = codes[carried] ?? 0;
      const row = addRow(this.#rows, {
        ...{ id, parent, depth, scope, beginNs },
        endNs: 0n,
        state: SPAN_PENDING,
      });
      this.#stack.skipTo(depth - 1);
      this.#stack.push(row, scope);
    }
  }

  #timeOf(relativeTicks: bigint): bigint {
    return clampToTimes(relativeTicksToNs(this.#calibration, relativeTicks));
  }
}

function beginsAmong({ count, kind }: SpanEvents): number {
  let begins = 0;
  for (let index = 0; index < count; index++) if (kind[index] === 0) begins++;
  return begins;
}

interface SpanRow {
  readonly id: bigint;
  readonly parent: bigint;
  readonly depth: number;
  readonly scope: number;
  readonly beginNs: bigint;
  readonly endNs: bigint;
  readonly state: number;
}

/** For the few rows that are not in the hot loop. Room must have been reserved. */
function addRow(rows: SpanRows, row: SpanRow): number {
  const index = rows.count++;
  rows.id[index] = row.id;
  rows.parent[index] = row.parent;
  rows.depth[index] = row.depth;
  rows.scope[index] = row.scope;
  rows.begin[index] = row.beginNs;
  rows.end[index] = row.endNs;
  rows.state[index] = row.state;
  return index;
}

function copyRow(from: SpanRows, row: number, to: SpanRows): void {
  const index = to.count;
  to.id[index] = from.id[row] ?? 0n;
  to.parent[index] = from.parent[row] ?? 0n;
  to.depth[index] = from.depth[row] ?? 0;
  to.scope[index] = from.scope[row] ?? 0;
  to.begin[index] = from.begin[row] ?? 0n;
}
