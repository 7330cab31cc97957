/** Spans of a thread in columns, and their order over all files of the thread, which is that of each file. */

import type { ScopeText } from './scope-dictionary.ts';

/** Up to 2,048 spans in columns. */
export interface SpanBatch {
  readonly rowCount: number;
  readonly id: BigInt64Array;
  readonly parent: BigInt64Array;
  readonly depth: Uint32Array;
  /** Unix nanoseconds, and `end` likewise. */
  readonly begin: BigInt64Array;
  readonly end: BigInt64Array;
  /** Index into `scopes`. */
  readonly scope: Uint32Array;
  /** 1 where the span never ended in the recording. */
  readonly open: Uint8Array;
  /** The same array for every batch of a file. */
  readonly scopes: readonly ScopeText[];
  /** What keeps the arrays alive; hold the batch while they are in use. */
  readonly retained: unknown;
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
    compareScopes(a.scopes[a.scope[i] ?? 0], b.scopes[b.scope[j] ?? 0])
  );
}

function compareScopes(a: ScopeText | undefined, b: ScopeText | undefined): number {
  if (a === undefined || b === undefined) return 0;
  return (
    compare(a.name, b.name) ||
    compare(a.target, b.target) ||
    compare(a.filename, b.filename) ||
    compare(a.line, b.line)
  );
}

function compare<T extends bigint | number | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
