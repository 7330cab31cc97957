/**
 * Gives back what DuckDB's result chunks hold. The bindings free a chunk only when its JavaScript handle
 * is collected, and V8, which sees a handle of a few bytes, is in no hurry: a scan of 20 M rows would hold
 * hundreds of megabytes of chunks long done with. A collection of the young generation every few megabytes
 * costs about a millisecond each and keeps a scan's memory flat (it is faster, too: pages are reused).
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Chunks of 2,048 rows between two collections: some 8 MB of a span scan. */
const CHUNKS_BETWEEN = 64;

type CollectGarbage = (options: { readonly type: 'minor' }) => void;

let collectGarbage: CollectGarbage | undefined;
let chunksSince = 0;

/** Counts one chunk read, over all readers of the process, and collects when enough have passed. */
export function countChunkRead(): void {
  chunksSince += 1;
  if (chunksSince < CHUNKS_BETWEEN) return;
  chunksSince = 0;
  collectGarbage ??= obtainCollector();
  collectGarbage({ type: 'minor' });
}

function obtainCollector(): CollectGarbage {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as CollectGarbage;
}
