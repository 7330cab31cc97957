/** Halves of 64-bit columns, so that hot loops make no bigint. All supported machines are little-endian. */

import type { SpanBatch } from '@tracelake/parquet';
import type { InternedScope, LaneSpan, SpanKey } from '@tracelake/perfetto';
import type { ScopeCache } from './scope-cache.ts';

const TWO_TO_32 = 4_294_967_296;
const SAFE_HIGH = 0x1f_ffff;

/** A batch with its 64-bit columns as words: low half of row `i` at `2 * i`, high half after it. */
export interface SpanWords {
  readonly batch: SpanBatch;
  readonly begin: Int32Array;
  readonly end: Int32Array;
  readonly id: Int32Array;
  readonly parent: Int32Array;
  readonly scopes: readonly InternedScope[];
}

export function spanWordsOf(batch: SpanBatch, scopes: ScopeCache): SpanWords {
  return {
    batch,
    begin: wordsOf(batch.begin),
    end: wordsOf(batch.end),
    id: wordsOf(batch.id),
    parent: wordsOf(batch.parent),
    scopes: scopes.scopesOf(batch.scopes),
  };
}

/** Puts a row into `span`, which serves for all rows. */
export function readSpan(
  { batch, begin, end, id, parent }: SpanWords,
  row: number,
  span: LaneSpan,
): void {
  span.beginHigh = begin[2 * row + 1] ?? 0;
  span.beginLow = (begin[2 * row] ?? 0) >>> 0;
  span.endHigh = end[2 * row + 1] ?? 0;
  span.endLow = (end[2 * row] ?? 0) >>> 0;
  span.id = keyOf(batch.id, id, row);
  span.parentId = keyOf(batch.parent, parent, row);
}

function wordsOf(column: BigInt64Array): Int32Array {
  return new Int32Array(column.buffer, column.byteOffset, column.length * 2);
}

/** A span id as a number where that is exact, which it is for ids that count up. */
function keyOf(column: BigInt64Array, words: Int32Array, row: number): SpanKey {
  const high = words[2 * row + 1] ?? 0;
  if (high >= -SAFE_HIGH && high <= SAFE_HIGH) {
    return high * TWO_TO_32 + ((words[2 * row] ?? 0) >>> 0);
  }
  return column[row] ?? 0;
}
