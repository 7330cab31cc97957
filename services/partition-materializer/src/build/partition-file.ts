/** Rows to a Parquet object under a key of its own: nobody sees it before the catalog names it. */

import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RowColumns, ViewSet } from '@tracelake/lakehouse';
import { objectKeys } from '@tracelake/storage';
import type { BuildDependencies } from './build-dependencies.ts';

export interface PartitionFileRequest {
  readonly view: ViewSet;
  readonly instance: string;
  readonly schemaHash: string;
  readonly sourceHash: string;
  readonly partitionId: string;
  readonly beginInsertUs: bigint;
  readonly rows: RowColumns;
  readonly signal: AbortSignal;
}

export interface PartitionFile {
  /** Null when there are no rows, and so no file. */
  readonly objectKey: string | null;
  readonly sizeBytes: number;
}

/**
 * Writes and publishes the file. Bytes are deterministic, the key is not: a sweeper can never delete
 * what a racing writer is about to register.
 */
export async function publishPartitionFile(
  request: PartitionFileRequest,
  deps: BuildDependencies,
): Promise<PartitionFile> {
  const { view, instance, rows, signal } = request;
  if (rows.rowCount === 0) return { objectKey: null, sizeBytes: 0 };
  const attempt = randomUUID();
  const path = join(deps.tempDir, `${attempt}.parquet`);
  try {
    const { sizeBytes } = await deps.parquet.write({
      path,
      columns: view.columns,
      rows,
      rowGroupRows: deps.settings.rowGroupRows,
      metadata: {
        view: view.name,
        instance,
        'schema hash': request.schemaHash,
        'source hash': request.sourceHash,
      },
      signal,
    });
    const objectKey = objectKeys.partition({
      viewSet: view.name,
      instance,
      day: utcDayOf(request.beginInsertUs),
      partitionId: request.partitionId,
      attempt,
    });
    await deps.objectStore.putIfAbsent(objectKey, { path }, signal);
    deps.metrics.rowsWritten.inc({ view: view.name }, rows.rowCount);
    deps.metrics.bytesWritten.inc({ view: view.name }, sizeBytes);
    return { objectKey, sizeBytes };
  } finally {
    await rm(path, { force: true });
  }
}

/** Best effort: what is left is an orphan, which the sweeper finds. */
export async function discardPartitionFiles(
  keys: readonly (string | null)[],
  { objectStore, logger }: BuildDependencies,
): Promise<void> {
  for (const key of keys) {
    if (key === null) continue;
    try {
      await objectStore.delete(key);
    } catch (error) {
      logger.warn('an unused partition file is left to the sweeper', { key, error });
    }
  }
}

function utcDayOf(timeUs: bigint): string {
  return new Date(Number(timeUs / 1000n)).toISOString().slice(0, 10);
}
