/**
 * Rows of thread spans while they are built: one typed array a column, a row from the moment its span begins.
 * Hot: no object for a span.
 */

import { assert, TextDictionary } from '@tracelake/domain';
import type { SpanScope } from '@tracelake/transit';
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
  }

  /**
   * The rows whose end is known, sorted by `(begin, id)`. A client that counts its events again from the start may
   * give an id twice: such rows stand by everything else they have, so that files of any cut merge to one order.
   */
  toColumns(scopes: readonly SpanScope[]): RowColumns {
    const rows = this.#finishedRows();
    const begin = gather(this.begin, rows, new BigInt64Array(rows.length));
    const end = gather(this.end, rows, new BigInt64Array(rows.length));
    const id = gather(this.id, rows, new BigInt64Array(rows.length));
    const scope = gather(this.scope, rows, new Uint32Array(rows.length));
    const duration = new BigInt64Array(rows.length);
    for (let row = 0; row < rows.length; row++)
      duration[row] = clampToInt64((end[row] ?? 0n) - (begin[row] ?? 0n));
    const columns: Column[] = [
      { type: 'i64', values: id },
      { type: 'i64', values: gather(this.parent, rows, new BigInt64Array(rows.length)) },
      { type: 'u32', values: gather(this.depth, rows, new Uint32Array(rows.length)) },
      scopeNumbers(scope, scopes, (one) => one.hash),
      { type: 'timestamp', values: begin },
      { type: 'timestamp', values: end },
      { type: 'i64', values: duration },
      scopeTexts(scope, scopes, (one) => one.name),
      scopeTexts(scope, scopes, (one) => one.target),
      scopeTexts(scope, scopes, (one) => one.filename),
      scopeNumbers(scope, scopes, (one) => one.line),
      {
        type: 'bool',
        values: Uint8Array.from(rows, (row) => Number(this.state[row] === SPAN_OPEN)),
      },
    ];
    assert(columns.length === SPAN_COLUMNS.length, 'span columns are those of the schema');
    const order = sortedOrder([begin, id], rows.length, () => [
      end,
      gather(this.depth, rows, new Uint32Array(rows.length)),
      gather(this.parent, rows, new BigInt64Array(rows.length)),
      Uint32Array.from(rows, (row) => this.state[row] ?? 0),
      ranksOf(scope, scopes),
    ]);
    return canonicalDictionaries(reorderRows({ rowCount: rows.length, columns }, order));
  }

  #finishedRows(): Uint32Array {
    const rows = new Uint32Array(this.count);
    let finished = 0;
    for (let row = 0; row < this.count; row++)
      if (this.state[row] !== SPAN_PENDING) rows[finished++] = row;
    return rows.subarray(0, finished);
  }
}

function grown<Values extends BigInt64Array | Uint32Array | Uint8Array>(
  from: Values,
  to: Values,
): Values {
  (to as Uint8Array).set(from as Uint8Array);
  return to;
}

function gather<Values extends BigInt64Array | Uint32Array>(
  from: Values,
  rows: Uint32Array,
  to: Values,
): Values {
  for (let index = 0; index < rows.length; index++) to[index] = from[rows[index] ?? 0] ?? 0;
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
  return { type: 'u32', values: codes.map((code) => byScope[code] ?? 0) };
}

function scopeTexts(
  codes: Uint32Array,
  scopes: readonly SpanScope[],
  pick: (scope: SpanScope) => string,
): Column {
  const dictionary = new TextDictionary();
  const byScope = dictionary.codesOf(scopes.map(pick));
  const values = codes.map((code) => byScope[code] ?? 0);
  return { type: 'string', codes: values, dictionary: dictionary.texts };
}
