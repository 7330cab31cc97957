/** Halves of 64-bit columns, so that hot loops make no bigint. All supported machines are little-endian. */

import type { SpanBatch } from '@tracelake/parquet';
import type { InternedScope, ThreadLaneSpan } from '@tracelake/perfetto';
import type { ScopeCache } from './scope-cache.ts';

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

/** A span for `readSpan` to fill. All have one shape, so that what places them is compiled once. */
export function emptySpan(): ThreadLaneSpan {
  return {
    beginHigh: 0,
    beginLow: 0,
    endHigh: 0,
    endLow: 0,
    idHigh: 0,
    idLow: 0,
    parentHigh: 0,
    parentLow: 0,
    depth: 0,
  };
}

/** Puts a row into `span`, which serves for all rows. */
export function readSpan(words: SpanWords, row: number, span: ThreadLaneSpan): void {
  const { batch, begin, end, id, parent } = words;
  span.beginHigh = begin[2 * row + 1] ?? 0;
  span.beginLow = (begin[2 * row] ?? 0) >>> 0;
  span.endHigh = end[2 * row + 1] ?? 0;
  span.endLow = (end[2 * row] ?? 0) >>> 0;
  span.idHigh = id[2 * row + 1] ?? 0;
  span.idLow = id[2 * row] ?? 0;
  span.parentHigh = parent[2 * row + 1] ?? 0;
  span.parentLow = parent[2 * row] ?? 0;
  span.depth = batch.depth[row] ?? 0;
}

function wordsOf(column: BigInt64Array): Int32Array {
  return new Int32Array(column.buffer, column.byteOffset, column.length * 2);
}
