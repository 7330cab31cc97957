/**
 * Rows of thread spans while they are built: one typed array a column, a row from the moment its span begins.
 * Hot: no object for a span.
 */

import { assert } from '@tracelake/domain';
import type { SpanScope } from '@tracelake/transit';
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
    this.id = grown(this.id, new BigInt64Array(capacity));
    this.parent = grown(this.parent, new BigInt64Array(capacity));
    this.begin = grown(this.begin, new BigInt64Array(capacity));
    this.end = grown(this.end, new BigInt64Array(capacity));
    this.depth = grown(this.depth, new Uint32Array(capacity));
    this.scope = grown(this.scope, new Uint32Array(capacity));
    this.state = grown(this.state, new Uint8Array(capacity));
    this.idHalves = halvesOf(this.id);
    this.parentHalves = halvesOf(this.parent);
    this.beginHalves = halvesOf(this.begin);
    this.endHalves = halvesOf(this.end);
  }

  /**
   * The rows whose end is known, sorted by `(begin, id)`. A client that counts its events again from the start may
   * give an id twice: such rows stand by everything else they have, so that files of any cut merge to one order.
   *
   * Rows mostly stand in order already, with few between them whose end is not known, so they are taken over in
   * whole stretches. Texts and numbers of a scope share one array of codes. The columns may lie on the memory of
   * these rows, so none may be added afterwards.
   */
  toColumns(scopes: readonly SpanScope[]): RowColumns {
    const stretches = this.#finishedStretches();
    const rowCount = stretches.reduce((count, { from, to }) => count + to - from, 0);
    const begin = joined(this.begin, stretches, () => new BigInt64Array(rowCount));
    const end = joined(this.end, stretches, () => new BigInt64Array(rowCount));
    const id = joined(this.id, stretches, () => new BigInt64Array(rowCount));
    const parent = joined(this.parent, stretches, () => new BigInt64Array(rowCount));
    const depth = joined(this.depth, stretches, () => new Uint32Array(rowCount));
    const scope = joined(this.scope, stretches, () => new Uint32Array(rowCount));
    const open = new Uint8Array(rowCount);
    const state = joined(this.state, stretches, () => new Uint8Array(rowCount));
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

  #finishedStretches(): Stretch[] {
    const { state, count } = this;
    const stretches: Stretch[] = [];
    let from = 0;
    for (let row = 0; row < count; row++) {
      if (state[row] !== SPAN_PENDING) continue;
      if (row > from) stretches.push({ from, to: row });
      from = row + 1;
    }
    if (count > from) stretches.push({ from, to: count });
    return stretches;
  }
}

/** Rows `[from, to)`. */
interface Stretch {
  readonly from: number;
  readonly to: number;
}

function grown<Values extends BigInt64Array | Uint32Array | Uint8Array>(
  from: Values,
  to: Values,
): Values {
  (to as Uint8Array).set(from as Uint8Array);
  // Frees megabytes now that would else wait for a collection of garbage.
  (from.buffer as ArrayBuffer).transfer(0);
  return to;
}

function joined<Values extends BigInt64Array | Uint32Array | Uint8Array>(
  from: Values,
  stretches: readonly Stretch[],
  make: () => Values,
): Values {
  const [only] = stretches;
  if (only !== undefined && stretches.length === 1) {
    return from.subarray(only.from, only.to) as Values;
  }
  const to = make();
  let row = 0;
  for (const stretch of stretches) {
    (to as Uint8Array).set((from as Uint8Array).subarray(stretch.from, stretch.to), row);
    row += stretch.to - stretch.from;
  }
  return to;
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
  const values = new Uint32Array(codes.length);
  for (let row = 0; row < values.length; row++) values[row] = byScope[codes[row] ?? 0] ?? 0;
  return { type: 'u32', values };
}
