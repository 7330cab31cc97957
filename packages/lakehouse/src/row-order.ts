/**
 * Puts rows in order. What arrives is nearly sorted (blocks come in order and so do events in a block), so the
 * sort is a natural merge sort: linear on sorted input, and stable.
 */

import type { Column, RowColumns } from './row-columns.ts';

/** A column to sort by; the first is the most significant. */
export type SortKey = BigInt64Array | Float64Array | Uint32Array;

/**
 * The rows' numbers in ascending order of the keys; undefined when they are in order already. `tieKeys` are asked
 * for once two rows are equal in all keys, which may be never.
 */
export function sortedOrder(
  keys: readonly SortKey[],
  rowCount: number,
  tieKeys?: () => readonly SortKey[],
): Uint32Array | undefined {
  const exact: KeyChain = { keys: keys.map((key) => comparable(key, rowCount)), tieKeys };
  const starts = findRuns(exact, rowCount);
  if (starts.length <= 1) return undefined;
  let from = Uint32Array.from({ length: rowCount }, (_, row) => row);
  let to = new Uint32Array(rowCount);
  let bounds = [...starts, rowCount];
  while (bounds.length > 2) {
    const merged = [0];
    for (let run = 0; run + 1 < bounds.length; run += 2) {
      const begin = bounds[run] ?? rowCount;
      const middle = bounds[run + 1] ?? rowCount;
      const end = bounds[run + 2] ?? middle;
      mergeRuns(exact, { from, to, begin, middle, end });
      merged.push(end);
    }
    bounds = merged;
    [from, to] = [to, from];
  }
  return from;
}

/** The rows in the given order; undefined leaves them as they are. */
export function reorderRows(rows: RowColumns, order: Uint32Array | undefined): RowColumns {
  if (order === undefined) return rows;
  return {
    rowCount: order.length,
    columns: rows.columns.map((column) => gatherColumn(column, order)),
  };
}

/**
 * Renumbers dictionaries by first use in row order and drops what no row uses, so that equal rows are equal
 * columns, however they came together.
 */
export function canonicalDictionaries(rows: RowColumns): RowColumns {
  const columns = rows.columns.map((column) =>
    column.type === 'string' ? canonicalDictionary(column, rows.rowCount) : column,
  );
  return { rowCount: rows.rowCount, columns };
}

interface KeyChain {
  keys: readonly SortKey[];
  tieKeys: (() => readonly SortKey[]) | undefined;
}

interface Merge {
  readonly from: Uint32Array;
  readonly to: Uint32Array;
  readonly begin: number;
  readonly middle: number;
  readonly end: number;
}

function mergeRuns(keys: KeyChain, { from, to, begin, middle, end }: Merge): void {
  let left = begin;
  let right = middle;
  for (let out = begin; out < end; out++) {
    const leftRow = from[left] ?? 0;
    const rightRow = from[right] ?? 0;
    const takesLeft = right >= end || (left < middle && compareRows(keys, leftRow, rightRow) <= 0);
    to[out] = takesLeft ? leftRow : rightRow;
    if (takesLeft) left++;
    else right++;
  }
}

/** Where each maximal ascending stretch begins. */
function findRuns(keys: KeyChain, rowCount: number): number[] {
  const starts = rowCount === 0 ? [] : [0];
  for (let row = 1; row < rowCount; row++) {
    if (compareRows(keys, row - 1, row) > 0) starts.push(row);
  }
  return starts;
}

function compareRows(chain: KeyChain, a: number, b: number): number {
  const { keys } = chain;
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index] as SortKey;
    const x = key[a] ?? 0;
    const y = key[b] ?? 0;
    if (x < y) return -1;
    if (x > y) return 1;
  }
  if (chain.tieKeys === undefined) return 0;
  chain.keys = [...keys, ...chain.tieKeys()];
  chain.tieKeys = undefined;
  return compareRows(chain, a, b);
}

function comparable(key: SortKey, rowCount: number): SortKey {
  return key instanceof BigInt64Array ? toDoubles(key, rowCount) : key;
}

/** Distances from the least value, which doubles hold exactly up to 2^53; past that the values themselves. */
function toDoubles(values: BigInt64Array, rowCount: number): SortKey {
  if (rowCount === 0) return values;
  let least = values[0] ?? 0n;
  let greatest = least;
  for (let row = 1; row < rowCount; row++) {
    const value = values[row] ?? 0n;
    if (value < least) least = value;
    else if (value > greatest) greatest = value;
  }
  if (greatest - least > BigInt(Number.MAX_SAFE_INTEGER)) return values;
  const doubles = new Float64Array(rowCount);
  for (let row = 0; row < rowCount; row++) doubles[row] = Number((values[row] ?? 0n) - least);
  return doubles;
}

function gatherColumn(column: Column, order: Uint32Array): Column {
  switch (column.type) {
    case 'i64':
    case 'timestamp':
      return { type: column.type, values: gather64(column.values, order) };
    case 'i32':
      return { type: 'i32', values: gather(column.values, new Int32Array(order.length), order) };
    case 'u32':
      return { type: 'u32', values: gather(column.values, new Uint32Array(order.length), order) };
    case 'f64':
      return { type: 'f64', values: gather(column.values, new Float64Array(order.length), order) };
    case 'bool':
      return { type: 'bool', values: gather(column.values, new Uint8Array(order.length), order) };
    case 'string': {
      const codes = gather(column.codes, new Uint32Array(order.length), order);
      return { type: 'string', codes, dictionary: column.dictionary };
    }
  }
}

type NumberArray = Int32Array | Uint32Array | Float64Array | Uint8Array;

function gather<Values extends NumberArray>(from: Values, to: Values, order: Uint32Array): Values {
  for (let row = 0; row < order.length; row++) to[row] = from[order[row] ?? 0] ?? 0;
  return to;
}

function gather64(from: BigInt64Array, order: Uint32Array): BigInt64Array {
  const to = new BigInt64Array(order.length);
  for (let row = 0; row < order.length; row++) to[row] = from[order[row] ?? 0] ?? 0n;
  return to;
}

function canonicalDictionary(
  column: Extract<Column, { type: 'string' }>,
  rowCount: number,
): Column {
  const renumbered = new Uint32Array(column.dictionary.length);
  const codes = new Uint32Array(rowCount);
  const dictionary: string[] = [];
  for (let row = 0; row < rowCount; row++) {
    const code = column.codes[row] ?? 0;
    let codePlusOne = renumbered[code] ?? 0;
    if (codePlusOne === 0) {
      codePlusOne = dictionary.push(column.dictionary[code] ?? '');
      renumbered[code] = codePlusOne;
    }
    codes[row] = codePlusOne - 1;
  }
  return { type: 'string', codes, dictionary };
}
