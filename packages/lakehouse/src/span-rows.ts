/**
 * Rows of thread spans while they are built: one typed array a column, a row from the moment its span begins.
 * Hot: no object for a span.
 */

import { assert } from '@tracelake/domain';
import type { SpanScope } from '@tracelake/transit';
import { columnMemory } from './column-memory.ts';
import { differences, halvesOf } from './int64-halves.ts';
import type { Column, ColumnDefinition, RowColumns } from './row-columns.ts';
import { canonicalDictionaries, reorderRows, sortedOrder } from './row-order.ts';
import { compareSpanScopes } from './span-scope-order.ts';
import { clampToInt64 } from './tick-conversion.ts';

export const SPAN_COLUMNS: readonly ColumnDefinition[] = [
  { name: 'id', type: 'i64' },
  { name: 'parent', type: 'i64' },
  { name: 'depth', type: 'u32' },
  { name: 'hash', type: 'u32' },
  { name: 'begin', type: 'timestamp' },
  { name: 'end', type: 'timestamp' },
  { name: 'duration', type: 'i64' },
  { name: 'name', type: 'string' },
  { name: 'target', type: 'string' },
  { name: 'filename', type: 'string' },
  { name: 'line', type: 'u32' },
  { name: 'open', type: 'bool' },
];

/** What is known of a row: nothing yet of its end, its own end, or the end that its chain gave it. */
export const SPAN_PENDING = 0;
export const SPAN_CLOSED = 1;
export const SPAN_OPEN = 2;

/** Growable columns; call `reserve` before adding. */
export class SpanRows {
  count = 0;
  id = new BigInt64Array(0);
  parent = new BigInt64Array(0);
  begin = new BigInt64Array(0);
  end = new BigInt64Array(0);
  depth = new Uint32Array(0);
  /** Code into the fold's scopes. */
  scope = new Uint32Array(0);
  state = new Uint8Array(0);
  /** The same memory as the 64-bit columns. */
  idHalves = halvesOf(this.id);
  parentHalves = halvesOf(this.parent);
  beginHalves = halvesOf(this.begin);
  endHalves = halvesOf(this.end);

  /** Makes room for so many more rows. */
  reserve(more: number): void {
    const needed = this.count + more;
    if (needed <= this.state.length) return;
    const capacity = Math.max(needed, this.state.length * 2, 64);
    this.id = grown(this.id, columnMemory.bigInt64(capacity));
    this.parent = grown(this.parent, columnMemory.bigInt64(capacity));
    this.begin = grown(this.begin, columnMemory.bigInt64(capacity));
    this.end = grown(this.end, columnMemory.bigInt64(capacity));
    this.depth = grown(this.depth, columnMemory.uint32(capacity));
    this.scope = grown(this.scope, columnMemory.uint32(capacity));
    this.state = grown(this.state, columnMemory.uint8(capacity));
    this.idHalves = halvesOf(this.id);
    this.parentHalves = halvesOf(this.parent);
    this.beginHalves = halvesOf(this.begin);
    this.endHalves = halvesOf(this.end);
  }

  /** Moves the given rows, in ascending order, behind all others. The rest stay in the order they have. */
  putLast(last: readonly number[]): void {
    const { id, parent, begin, end, depth, scope, state } = this;
    for (const values of [id, parent, begin, end, depth, scope, state]) {
      putLast(values, last, this.count);
    }
  }

  /**
   * The first `rowCount` rows, whose end must be known, sorted by `(begin, id)`. A client that counts its events again
   * from the start may give an id twice: such rows stand by everything else they have, so that files of any cut merge
   * to one order.
   *
   * Texts and numbers of a scope share one array of codes. The columns may lie on the memory of these rows, so none
   * may be added afterwards.
   */
  toColumns(scopes: readonly SpanScope[], rowCount = this.count): RowColumns {
    const begin = this.begin.subarray(0, rowCount);
    const end = this.end.subarray(0, rowCount);
    const id = this.id.subarray(0, rowCount);
    const parent = this.parent.subarray(0, rowCount);
    const depth = this.depth.subarray(0, rowCount);
    const scope = this.scope.subarray(0, rowCount);
    const open = columnMemory.uint8(rowCount);
    const { state } = this;
    for (let row = 0; row < rowCount; row++) open[row] = state[row] === SPAN_OPEN ? 1 : 0;
    const texts = (pick: (scope: SpanScope) => string): Column => {
      return { type: 'string', codes: scope, dictionary: scopes.map(pick) };
    };
    const columns: Column[] = [
      { type: 'i64', values: id },
      { type: 'i64', values: parent },
      { type: 'u32', values: depth },
      scopeNumbers(scope, scopes, (one) => one.hash),
      { type: 'timestamp', values: begin },
      { type: 'timestamp', values: end },
      { type: 'i64', values: differences(end, begin, clampToInt64) },
      texts((one) => one.name),
      texts((one) => one.target),
      texts((one) => one.filename),
      scopeNumbers(scope, scopes, (one) => one.line),
      { type: 'bool', values: open },
    ];
    assert(columns.length === SPAN_COLUMNS.length, 'span columns are those of the schema');
    const order = sortedOrder([begin, id], rowCount, () => [
      end,
      depth,
      parent,
      Uint32Array.from(open),
      ranksOf(scope, scopes),
    ]);
    return canonicalDictionaries(reorderRows({ rowCount, columns }, order));
  }
}

function grown<Values extends BigInt64Array | Uint32Array | Uint8Array>(
  from: Values,
  to: Values,
): Values {
  (to as Uint8Array).set(from as Uint8Array);
  columnMemory.give(from.buffer);
  return to;
}

function putLast(
  values: BigInt64Array | Uint32Array | Uint8Array,
  last: readonly number[],
  count: number,
): void {
  const moved = last.map((row) => values[row]);
  let to = last[0] ?? count;
  for (const [index, row] of last.entries()) {
    const nextLast = last[index + 1] ?? count;
    values.copyWithin(to, row + 1, nextLast);
    to += nextLast - row - 1;
  }
  for (const [index, value] of moved.entries())
    (values as Uint8Array)[to + index] = value as number;
}

/** The place of each row's scope among all, by its texts and line. */
function ranksOf(codes: Uint32Array, scopes: readonly SpanScope[]): Uint32Array {
  const sorted = [...scopes.keys()].sort((a, b) => compareSpanScopes(scopes[a], scopes[b]));
  const rankOf = new Uint32Array(scopes.length);
  for (const [rank, code] of sorted.entries()) rankOf[code] = rank;
  return codes.map((code) => rankOf[code] ?? 0);
}

function scopeNumbers(
  codes: Uint32Array,
  scopes: readonly SpanScope[],
  pick: (scope: SpanScope) => number,
): Column {
  const byScope = Uint32Array.from(scopes, pick);
  const values = columnMemory.uint32(codes.length);
  for (let row = 0; row < values.length; row++) values[row] = byScope[codes[row] ?? 0] ?? 0;
  return { type: 'u32', values };
}
