/**
 * DuckDB writes delta pages of 32-bit columns with 64-bit arithmetic. Other readers refuse them where a
 * value, a delta or what a delta is packed as does not fit 32 bits (Arrow: "InitHeader EOF", "InitBlock
 * EOF"), so such a column must become a dictionary.
 */

import type { Column } from '@tracelake/lakehouse';

const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;

/**
 * The number of distinct values of a column that must not be delta-encoded, at most `rowGroupRows`; 0 for
 * a column that may be.
 */
export function dictionaryValuesNeeded(
  column: Column,
  rowCount: number,
  rowGroupRows: number,
): number {
  if (column.type !== 'u32' && column.type !== 'i32') return 0;
  if (fitsDeltaPages(column.values, rowCount)) return 0;
  const distinct = new Set<number>();
  for (let row = 0; row < rowCount && distinct.size < rowGroupRows; row++) {
    distinct.add(column.values[row] ?? 0);
  }
  return distinct.size;
}

function fitsDeltaPages(values: Int32Array | Uint32Array, rowCount: number): boolean {
  let smallestDelta = 0;
  let largestDelta = 0;
  let largest = 0;
  let previous = values[0] ?? 0;
  for (let row = 0; row < rowCount; row++) {
    const value = values[row] ?? 0;
    const delta = value - previous;
    if (delta < smallestDelta) smallestDelta = delta;
    if (delta > largestDelta) largestDelta = delta;
    if (value > largest) largest = value;
    previous = value;
  }
  // Deltas are packed as their distance from the smallest one of their block.
  const fitsPacked = largestDelta - smallestDelta <= 0xffff_ffff;
  return (
    largest <= INT32_MAX && smallestDelta >= INT32_MIN && largestDelta <= INT32_MAX && fitsPacked
  );
}
