/**
 * Deletes what nobody can read any more: objects of replaced partitions once no read lease is older than
 * their replacement, and files that a crashed or beaten writer left behind.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { schemaHashOf, type ViewRegistry } from '@tracelake/lakehouse';
import type { Logger } from '@tracelake/service-kit';
import {
  type Database,
  deleteExpiredLeases,
  listOrphans,
  type ObjectStore,
  type PartitionCatalog,
  retireSuperseded,
} from '@tracelake/storage';
import type { MaterializerMetrics } from './telemetry-metrics.ts';

export interface ObjectSweeperOptions {
  readonly database: Database;
  readonly catalog: PartitionCatalog;
  readonly objectStore: ObjectStore;
  readonly registry: ViewRegistry;
  readonly intervalMs: number;
  readonly orphanAgeMs: number;
  /** Only one replica needs to sweep; sweeping twice is harmless. */
  readonly isMine: () => boolean;
  readonly metrics: MaterializerMetrics;
  readonly logger: Logger;
}

const BATCH = 500;

/** Far more than a change of version takes, during which both versions of a schema are read. */
const SUPERSEDED_AGE_MS = 24 * 3_600_000;

/** Sweeps at its interval until disposed. */
export class ObjectSweeper implements AsyncDisposable {
  readonly #options: ObjectSweeperOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(options: ObjectSweeperOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await sleep(this.#options.intervalMs, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted || !this.#options.isMine()) continue;
      try {
        await sweepObjects(this.#options, signal);
      } catch (error) {
        if (!signal.aborted) this.#options.logger.warn('objects could not be swept', { error });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the sweeper stops'));
    await this.#running;
  }
}

/** One sweep. Resolves with how many objects of each kind are gone. */
export async function sweepObjects(
  options: Omit<ObjectSweeperOptions, 'intervalMs' | 'isMine'>,
  signal: AbortSignal,
): Promise<{ readonly retired: number; readonly orphans: number }> {
  await deleteExpiredLeases(options.database, signal);
  await retireOtherSchemas(options, signal);
  const retired = await sweepRetired(options, signal);
  const orphans = await sweepOrphans(options, signal);
  if (retired + orphans > 0) options.logger.info('objects swept', { retired, orphans });
  return { retired, orphans };
}

/** Partitions of earlier versions of a schema that those of this version stand in for. */
async function retireOtherSchemas(
  { database, registry, logger }: Pick<ObjectSweeperOptions, 'database' | 'registry' | 'logger'>,
  signal: AbortSignal,
): Promise<void> {
  for (const view of registry.list()) {
    const filter = {
      ...{ viewSet: view.name, schemaHash: schemaHashOf(view) },
      ...{ olderThanMs: SUPERSEDED_AGE_MS, limit: BATCH },
    };
    for (;;) {
      const partitionCount = await retireSuperseded(database, filter, signal);
      if (partitionCount > 0) {
        logger.info('partitions of another schema retired', { view: view.name, partitionCount });
      }
      if (partitionCount < BATCH) break;
    }
  }
}

async function sweepRetired(
  { catalog, objectStore, metrics }: Omit<ObjectSweeperOptions, 'intervalMs' | 'isMine'>,
  signal: AbortSignal,
): Promise<number> {
  let count = 0;
  for (;;) {
    const keys = await catalog.listRetirable({ limit: BATCH }, signal);
    for (const key of keys) {
      signal.throwIfAborted();
      await objectStore.delete(key);
    }
    if (keys.length > 0) await catalog.forgetRetired(keys, signal);
    metrics.objectsSwept.inc({ kind: 'retired' }, keys.length);
    count += keys.length;
    if (keys.length < BATCH) return count;
  }
}

async function sweepOrphans(
  options: Omit<ObjectSweeperOptions, 'intervalMs' | 'isMine'>,
  signal: AbortSignal,
): Promise<number> {
  const { database, objectStore, orphanAgeMs, metrics } = options;
  let count = 0;
  for await (const entry of listOrphans(database, objectStore, {
    olderThanMs: orphanAgeMs,
    signal,
  })) {
    await objectStore.delete(entry.key);
    count += 1;
  }
  metrics.objectsSwept.inc({ kind: 'orphan' }, count);
  return count;
}
