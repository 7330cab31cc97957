/** Spans in columns, and the order of a thread's spans over all of its files, which is that of each file. */

import { compareSpanScopes } from '@tracelake/lakehouse';
import type { ColumnChunk } from './parquet-reading.ts';
import type { ScopeDictionary, ScopeText } from './scope-dictionary.ts';

/** Spans in columns: up to 2,048 of one chunk, any number where they were paired in memory. */
export interface SpanBatch {
  readonly rowCount: number;
  readonly id: BigInt64Array;
  /** Of an async span 0 where the client sent none. */
  readonly parent: BigInt64Array;
  readonly depth: Uint32Array;
  /** Unix nanoseconds, and `end` likewise; an async span's end is never before its begin. */
  readonly begin: BigInt64Array;
  readonly end: BigInt64Array;
  /** Index into `scopes`. */
  readonly scope: Uint32Array;
  /** 1 where the span never ended in the recording. */
  readonly open: Uint8Array;
  /** The same array for every batch of a query; it may have grown since the last. */
  readonly scopes: readonly ScopeText[];
  /** What keeps the arrays alive; hold the batch while they are in use. */
  readonly retained: unknown;
}

/** Of a result with the columns id, parent, depth, begin, end, the scope's number and open. */
export function spanBatchOf(chunk: ColumnChunk, dictionary: ScopeDictionary): SpanBatch {
  return {
    rowCount: chunk.rowCount,
    id: chunk.int64(0),
    parent: chunk.int64(1),
    depth: chunk.uint32(2),
    begin: chunk.int64(3),
    end: chunk.int64(4),
    scope: dictionary.codesOf(chunk, 5),
    open: chunk.bool(6),
    scopes: dictionary.scopes,
    retained: chunk,
  };
}

/**
 * By (begin, id). A client that counts its events again from the start may give an id twice; such spans stand by
 * all else they have, so that the order is the same however they are cut into files.
 */
export function compareSpans(a: SpanBatch, i: number, b: SpanBatch, j: number): number {
  return (
    compare(a.begin[i] ?? 0n, b.begin[j] ?? 0n) ||
    compare(a.id[i] ?? 0n, b.id[j] ?? 0n) ||
    compare(a.end[i] ?? 0n, b.end[j] ?? 0n) ||
    compare(a.depth[i] ?? 0, b.depth[j] ?? 0) ||
    compare(a.parent[i] ?? 0n, b.parent[j] ?? 0n) ||
    compare(a.open[i] ?? 0, b.open[j] ?? 0) ||
    compareSpanScopes(a.scopes[a.scope[i] ?? 0], b.scopes[b.scope[j] ?? 0])
  );
}

function compare<T extends bigint | number>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
