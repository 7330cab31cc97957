/**
 * Puts rows in order. What arrives is nearly sorted (blocks come in order and so do events in a block), so the
 * sort is a natural merge sort: linear on sorted input, and stable.
 */

import { columnMemory } from './column-memory.ts';
import { compareHalves, distancesFrom, gatherInt64, halvesOf, rowOfLeast } from './int64-halves.ts';
import type { Column, RowColumns } from './row-columns.ts';
import { Utf8Texts } from './utf8-texts.ts';

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
  if (isAscending(keys[0], rowCount)) return undefined;
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
  const codes = new SharedCodes((shared) => gather(shared, new Uint32Array(order.length), order));
  return {
    rowCount: order.length,
    columns: rows.columns.map((column) => gatherColumn(column, order, codes)),
  };
}

/**
 * Renumbers dictionaries by first use in row order and drops what no row uses, so that equal rows are equal
 * columns, however they came together. Columns that share their codes go on sharing them.
 */
export function canonicalDictionaries(rows: RowColumns): RowColumns {
  const { rowCount } = rows;
  const renumbered = new SharedCodes((codes) => numberByFirstUse(codes, rowCount));
  const columns = rows.columns.map((column): Column => {
    // Texts in UTF-8 are as many as their rows: nothing would be dropped.
    if (column.type !== 'string' || column.dictionary instanceof Utf8Texts) return column;
    const { dictionary } = column;
    const { codes, used } = renumbered.of(column.codes);
    return { type: 'string', codes, dictionary: used.map((code) => dictionary[code] ?? '') };
  });
  return { rowCount, columns };
}

/** What is made of an array of codes, once for all columns that share it. */
class SharedCodes<Made> {
  readonly #make: (codes: Uint32Array) => Made;
  readonly #made = new Map<Uint32Array, Made>();

  constructor(make: (codes: Uint32Array) => Made) {
    this.#make = make;
  }

  of(codes: Uint32Array): Made {
    let made = this.#made.get(codes);
    if (made === undefined) {
      made = this.#make(codes);
      this.#made.set(codes, made);
    }
    return made;
  }
}

/** Whether each row's first key is greater than the one before: the quick answer for rows that came in order. */
function isAscending(key: SortKey | undefined, rowCount: number): boolean {
  if (!(key instanceof BigInt64Array)) return false;
  const halves = halvesOf(key);
  for (let row = 1; row < rowCount; row++)
    if (compareHalves(halves, row - 1, row) >= 0) return false;
  return true;
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
  const used = values.length === rowCount ? values : values.subarray(0, rowCount);
  return distancesFrom(used, rowOfLeast(used)) ?? values;
}

function gatherColumn(column: Column, order: Uint32Array, codes: SharedCodes<Uint32Array>): Column {
  switch (column.type) {
    case 'i64':
    case 'timestamp':
      return { type: column.type, values: gatherInt64(column.values, order) };
    case 'i32':
      return { type: 'i32', values: gather(column.values, new Int32Array(order.length), order) };
    case 'u32':
      return { type: 'u32', values: gather(column.values, new Uint32Array(order.length), order) };
    case 'f64':
      return { type: 'f64', values: gather(column.values, new Float64Array(order.length), order) };
    case 'bool':
      return { type: 'bool', values: gather(column.values, new Uint8Array(order.length), order) };
    case 'string':
      return { type: 'string', codes: codes.of(column.codes), dictionary: column.dictionary };
  }
}

type NumberArray = Int32Array | Uint32Array | Float64Array | Uint8Array;

function gather<Values extends NumberArray>(from: Values, to: Values, order: Uint32Array): Values {
  for (let row = 0; row < order.length; row++) to[row] = from[order[row] ?? 0] ?? 0;
  return to;
}

function numberByFirstUse(
  from: Uint32Array,
  rowCount: number,
): { readonly codes: Uint32Array; readonly used: readonly number[] } {
  const codes = columnMemory.uint32(rowCount);
  const used: number[] = [];
  let numbers = new Uint32Array(64);
  for (let row = 0; row < rowCount; row++) {
    const code = from[row] ?? 0;
    if (code >= numbers.length) numbers = grown(numbers, code);
    let numberPlusOne = numbers[code] ?? 0;
    if (numberPlusOne === 0) {
      numberPlusOne = used.push(code);
      numbers[code] = numberPlusOne;
    }
    codes[row] = numberPlusOne - 1;
  }
  return { codes, used };
}

function grown(from: Uint32Array, index: number): Uint32Array<ArrayBuffer> {
  const to = new Uint32Array(Math.max(from.length * 2, index + 1));
  to.set(from);
  return to;
}
