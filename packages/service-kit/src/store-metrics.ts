/** What is left of the stores: connections of the pool, and space where objects are files. */

import { statfs } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Database } from '@tracelake/storage';
import type { Gauge, Metrics } from './metrics.ts';

export interface MeasuredStores {
  readonly db: Pick<Database, 'usage'>;
  readonly objectStoreUrl: string;
}

/** Measures at each scrape. A bucket has no end of its space, so only a directory store shows any. */
export function measureStores(metrics: Metrics, { db, objectStoreUrl }: MeasuredStores): void {
  metrics.gauge({
    name: 'tracelake_database_connections_in_use',
    help: 'Database connections that statements run on, of the pool of this process',
    collect: () => db.usage.inUse,
  });
  metrics.gauge({
    name: 'tracelake_database_connections_max',
    help: 'Database connections that this process may have',
    collect: () => db.usage.max,
  });
  metrics.gauge({
    name: 'tracelake_database_connection_waiters',
    help: 'Callers that wait for a database connection',
    collect: () => db.usage.waiting,
  });
  if (!objectStoreUrl.startsWith('file:')) return;
  const directory = fileURLToPath(objectStoreUrl);
  metrics.gauge({
    name: 'tracelake_store_free_bytes',
    help: 'Bytes that this process may still write to the file system of the directory store',
    collectAll: (gauge) => setOfFileSystem(gauge, directory, 'bavail'),
  });
  metrics.gauge({
    name: 'tracelake_store_size_bytes',
    help: 'Size of the file system of the directory store',
    collectAll: (gauge) => setOfFileSystem(gauge, directory, 'blocks'),
  });
}

/** A directory that cannot be asked has no figure, and the readiness of the store tells of it. */
async function setOfFileSystem(
  gauge: Gauge,
  directory: string,
  blocks: 'bavail' | 'blocks',
): Promise<void> {
  try {
    const stats = await statfs(directory);
    gauge.set(stats[blocks] * stats.bsize);
  } catch {
    gauge.remove();
  }
}
