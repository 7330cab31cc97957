/** Halves of 64-bit columns, so that hot loops make no bigint. All supported machines are little-endian. */

import type { SpanKey } from '@tracelake/perfetto';

const TWO_TO_32 = 4_294_967_296;
const SAFE_HIGH = 0x1f_ffff;

/** The column as words: low half of row `i` at `2 * i`, high half after it. */
export function wordsOf(column: BigInt64Array): Int32Array {
  return new Int32Array(column.buffer, column.byteOffset, column.length * 2);
}

/** A span id as a number where that is exact, which it is for ids that count up. */
export function keyOf(column: BigInt64Array, words: Int32Array, row: number): SpanKey {
  const high = words[2 * row + 1] ?? 0;
  if (high >= -SAFE_HIGH && high <= SAFE_HIGH) {
    return high * TWO_TO_32 + ((words[2 * row] ?? 0) >>> 0);
  }
  return column[row] ?? 0;
}
