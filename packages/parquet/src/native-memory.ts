/**
 * Gives back what DuckDB's result chunks hold. The bindings free a chunk only when its JavaScript handle
 * is collected, and V8, which sees a handle of a few bytes, is in no hurry: a scan of 20 M rows would hold
 * hundreds of megabytes of chunks long done with. A collection of the young generation every few megabytes
 * costs about a millisecond each and keeps a scan's memory flat (it is faster, too: pages are reused). Handles
 * that outlived two of them have moved to the old generation, which is collected now and then as well: with a
 * heap of a few tens of megabytes that is some 60 ms of CPU (helper threads included) for each four million rows;
 * at each two million it was a tenth of the CPU of an export of async spans.
 *
 * V8 starts collections of the old generation of its own, too: by default as soon as the room left is less than the
 * young generation, which for a heap as small as a service's means after some 8 MB of new external memory, several
 * times a second here. Each marks the whole heap. So it is told to wait until nine tenths of the room are taken. That
 * is for the chunks of a trace as well, whoever read its rows.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Rows between two collections: some 4 MB of a span scan. */
const ROWS_BETWEEN = 65_536;

/** Every so many collections one is of all generations. */
const COLLECTIONS_PER_MAJOR = 64;

/** In percent of the room between the heap after a collection and its limit: when marking starts, and how. */
const MARKING_TRIGGERS = [
  '--incremental-marking-soft-trigger=90',
  '--incremental-marking-hard-trigger=95',
];

type CollectGarbage = (options: { readonly type: 'minor' | 'major' }) => void;

let collectGarbage: CollectGarbage | undefined;
let isPostponed = false;
let rowsSince = 0;
let collectionCount = 0;

/** Counts rows read, over all readers of the process, and collects when enough have passed. */
export function countRowsRead(rowCount: number): void {
  rowsSince += rowCount;
  if (rowsSince < ROWS_BETWEEN) return;
  rowsSince = 0;
  collectionCount += 1;
  collectGarbage ??= obtainCollector();
  collectGarbage({ type: collectionCount % COLLECTIONS_PER_MAJOR === 0 ? 'major' : 'minor' });
}

/** To be called before rows are read; once is enough. */
export function postponeMarking(): void {
  if (isPostponed) return;
  isPostponed = true;
  for (const flag of MARKING_TRIGGERS) setFlagsFromString(flag);
}

function obtainCollector(): CollectGarbage {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as CollectGarbage;
}
