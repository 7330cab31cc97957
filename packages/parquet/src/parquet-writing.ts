/**
 * Rows to Parquet files: zstd, version 2 data pages, dictionaries for texts and small numbers, delta encoding
 * for times and ids, nanosecond timestamps without a zone. The same rows give the same bytes.
 *
 * A row group is encoded, compressed and written before the next, on the thread of the caller: 3 to 5 ms at
 * a time for rows of spans. Measured by the materializer's `bench/build-instance.bench.ts`.
 */

import { closeSync, openSync, writevSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errorMessage } from '@tracelake/domain';
import type { ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { checkRows } from './encoding/row-checks.ts';
import { RowGroupEncoder } from './encoding/row-group-encoding.ts';
import { ParquetError } from './parquet-error.ts';

/** Rows of a row group unless said otherwise: what a reader holds of one file at a time. */
export const ROW_GROUP_ROWS = 32_768;

export interface ParquetFileRequest {
  /** Where the file goes; it appears there whole or not at all. Whoever keeps it makes it durable. */
  readonly path: string;
  readonly columns: readonly ColumnDefinition[];
  /** At least one row. Not kept after the call; must not change during it. */
  readonly rows: RowColumns;
  /** Lowered where the text of the rows is large. */
  readonly rowGroupRows?: number;
  /** Key-value metadata of the file, in the order of its keys; `time zone: UTC` is always added. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes one file; any number may be written at a time, each holding the pages of one row group.
 *
 * Errors: `parquet.bad-rows` (rows that do not fit the columns, or none), `parquet.write-failed` (retryable:
 * the disk), `parquet.aborted`. Whatever the error, no file is left.
 */
export async function writeParquet(
  request: ParquetFileRequest,
): Promise<{ readonly sizeBytes: number }> {
  throwIfAborted(request);
  checkRows(request.columns, request.rows);
  const partialPath = `${request.path}.partial`;
  try {
    const sizeBytes = await writeFile(partialPath, request);
    throwIfAborted(request);
    await rename(partialPath, request.path);
    return { sizeBytes };
  } catch (cause) {
    await rm(partialPath, { force: true });
    throwIfAborted(request, cause);
    if (cause instanceof ParquetError) throw cause;
    throw new ParquetError(
      'parquet.write-failed',
      `cannot write a Parquet file: ${errorMessage(cause)}`,
      {
        cause,
        retryable: true,
        details: { path: request.path, rowCount: request.rows.rowCount },
      },
    );
  }
}

async function writeFile(path: string, request: ParquetFileRequest): Promise<number> {
  const { columns, rows, metadata } = request;
  const encoder = new RowGroupEncoder({
    columns,
    rows,
    rowGroupRows: request.rowGroupRows ?? ROW_GROUP_ROWS,
    // Timestamps carry no zone, so each file says it.
    metadata: { 'time zone': 'UTC', ...metadata },
  });
  const file = openSync(path, 'w');
  try {
    let sizeBytes = 0;
    for (const parts of encoder.encode()) {
      throwIfAborted(request);
      sizeBytes += writeAll(file, parts);
      // An abort, and whatever else the thread has to do, gets its turn.
      await nextTurn();
    }
    return sizeBytes;
  } finally {
    closeSync(file);
  }
}

/**
 * From the thread that encodes: to wake another thread for it, and to be woken by that, takes longer than to copy some
 * hundred kilobytes to the page cache, and meanwhile a core stands still.
 */
function writeAll(file: number, parts: readonly Uint8Array[]): number {
  let wantedBytes = 0;
  for (const part of parts) wantedBytes += part.length;
  const bytesWritten = writevSync(file, parts);
  if (bytesWritten !== wantedBytes) {
    throw new Error(`only ${bytesWritten} of ${wantedBytes} bytes were written`);
  }
  return bytesWritten;
}

function throwIfAborted(request: ParquetFileRequest, cause?: unknown): void {
  if (request.signal?.aborted !== true) return;
  throw new ParquetError('parquet.aborted', 'writing a Parquet file was aborted', {
    cause: cause ?? request.signal.reason,
    details: { path: request.path },
  });
}
