/**
 * Gives back what DuckDB's result chunks hold. The bindings free a chunk only when its JavaScript handle
 * is collected, and V8, which sees a handle of a few bytes, is in no hurry: a scan of 20 M rows would hold
 * hundreds of megabytes of chunks long done with. A collection of the young generation every few megabytes
 * costs about a millisecond each and keeps a scan's memory flat (it is faster, too: pages are reused). Handles
 * that outlived two of them have moved to the old generation, which is collected now and then as well: with a
 * heap of a few tens of megabytes that is some ten milliseconds (and as much in V8's helper threads) for each two
 * million rows; collected four times as often, 8 M spans took 12 % more CPU and 11 MB less memory.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Chunks of 2,048 rows between two collections: some 4 MB of a span scan. */
const CHUNKS_BETWEEN = 32;

/** Every so many collections one is of all generations. */
const COLLECTIONS_PER_MAJOR = 32;

type CollectGarbage = (options: { readonly type: 'minor' | 'major' }) => void;

let collectGarbage: CollectGarbage | undefined;
let chunksSince = 0;
let collectionCount = 0;

/** Counts one chunk read, over all readers of the process, and collects when enough have passed. */
export function countChunkRead(): void {
  chunksSince += 1;
  if (chunksSince < CHUNKS_BETWEEN) return;
  chunksSince = 0;
  collectionCount += 1;
  collectGarbage ??= obtainCollector();
  collectGarbage({ type: collectionCount % COLLECTIONS_PER_MAJOR === 0 ? 'major' : 'minor' });
}

function obtainCollector(): CollectGarbage {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as CollectGarbage;
}
