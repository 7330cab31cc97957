/**
 * Rows to Parquet through DuckDB: zstd, data page version 2 (dictionary pages, delta encoding for times
 * and ids), nanosecond timestamps without a zone. The same rows give the same bytes.
 */

import { open, rename, rm } from 'node:fs/promises';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { ensureExists, errorMessage } from '@tracelake/domain';
import type { ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { ParquetError } from './parquet-error.ts';
import { ROW_SOURCE_FUNCTION, RowSource, registerRowSources } from './row-source.ts';

/** Rows of a row group unless said otherwise: what a reader holds of one file at a time. */
export const ROW_GROUP_ROWS = 32_768;

const MEMORY_LIMIT_BYTES = 512 * 1024 * 1024;

export interface ParquetWriterOptions {
  /** What DuckDB may hold for all files in work together; default 512 MiB. */
  readonly memoryLimitBytes?: number;
  /** Where DuckDB may spill; default nowhere. */
  readonly tempDir?: string;
}

export interface ParquetFileRequest {
  /** Where the file goes; it appears there whole and fsynced, or not at all. */
  readonly path: string;
  readonly columns: readonly ColumnDefinition[];
  /** At least one row. Not kept after the call; must not change during it. */
  readonly rows: RowColumns;
  /** Rounded down to whole vectors of 2,048, and lowered where the text of the rows is large. */
  readonly rowGroupRows?: number;
  /** Key-value metadata of the file, in the order of its keys; `time zone: UTC` is always added. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes Parquet files, any number at a time, within one memory limit.
 *
 * Ownership: close it with `await using`; writes in progress are then interrupted.
 */
export class ParquetWriter implements AsyncDisposable {
  readonly #instance: DuckDBInstance;
  readonly #sources = new Map<bigint, { source: RowSource; signal: AbortSignal | undefined }>();
  readonly #connections = new Set<DuckDBConnection>();
  #nextSourceId = 1n;

  private constructor(instance: DuckDBInstance) {
    this.#instance = instance;
  }

  static async open(options: ParquetWriterOptions = {}): Promise<ParquetWriter> {
    const limit = options.memoryLimitBytes ?? MEMORY_LIMIT_BYTES;
    const instance = await DuckDBInstance.create(':memory:', {
      // One thread a file: more neither speeds up the COPY nor keeps its order by promise.
      threads: '1',
      preserve_insertion_order: 'true',
      memory_limit: `${Math.floor(limit / 1024)}KiB`,
      temp_directory: options.tempDir ?? '',
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    });
    const writer = new ParquetWriter(instance);
    const connection = await instance.connect();
    registerRowSources(connection, (id) => ensureExists(writer.#sources.get(id), 'row source'));
    connection.closeSync();
    return writer;
  }

  /**
   * Writes one file.
   *
   * Errors: `parquet.bad-rows` (rows that do not fit the columns, or none), `parquet.write-failed`
   * (retryable: disk, memory), `parquet.aborted`. Whatever the error, no file is left.
   */
  async write(request: ParquetFileRequest): Promise<{ readonly sizeBytes: number }> {
    throwIfAborted(request);
    if (request.rows.rowCount === 0) {
      throw new ParquetError('parquet.bad-rows', 'cannot write rows: there are none');
    }
    const source = new RowSource(request.columns, request.rows);
    const partialPath = `${request.path}.partial`;
    try {
      await this.#copy(source, partialPath, request);
      throwIfAborted(request);
      const sizeBytes = await fsyncFile(partialPath);
      await rename(partialPath, request.path);
      return { sizeBytes };
    } catch (cause) {
      await rm(partialPath, { force: true });
      throwIfAborted(request, cause);
      if (cause instanceof ParquetError) throw cause;
      throw new ParquetError(
        'parquet.write-failed',
        `cannot write a Parquet file: ${errorMessage(cause)}`,
        { cause, retryable: true, details: { path: request.path, rowCount: source.rowCount } },
      );
    }
  }

  async #copy(source: RowSource, path: string, request: ParquetFileRequest): Promise<void> {
    const id = this.#nextSourceId++;
    const connection = await this.#instance.connect();
    const interrupt = () => connection.interrupt();
    this.#sources.set(id, { source, signal: request.signal });
    this.#connections.add(connection);
    request.signal?.addEventListener('abort', interrupt);
    try {
      const rowGroupRows = source.rowGroupRows(request.rowGroupRows ?? ROW_GROUP_ROWS);
      await connection.run(
        `COPY (FROM ${ROW_SOURCE_FUNCTION}(${id})) TO ${sqlText(path)} (FORMAT parquet, ` +
          `COMPRESSION zstd, PARQUET_VERSION v2, ROW_GROUP_SIZE ${rowGroupRows}, ` +
          `DICTIONARY_SIZE_LIMIT ${source.dictionarySizeLimit(rowGroupRows)}, ` +
          `USE_TMP_FILE false, KV_METADATA {${metadataFields(request.metadata)}})`,
      );
    } finally {
      request.signal?.removeEventListener('abort', interrupt);
      this.#connections.delete(connection);
      this.#sources.delete(id);
      connection.closeSync();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.interrupt();
    this.#instance.closeSync();
  }
}

/** Writes one file with a writer of its own; see {@link ParquetWriter.write}. */
export async function writeParquet(
  request: ParquetFileRequest,
  options: ParquetWriterOptions = {},
): Promise<{ readonly sizeBytes: number }> {
  await using writer = await ParquetWriter.open(options);
  return await writer.write(request);
}

function throwIfAborted(request: ParquetFileRequest, cause?: unknown): void {
  if (request.signal?.aborted !== true) return;
  throw new ParquetError('parquet.aborted', 'writing a Parquet file was aborted', {
    cause: cause ?? request.signal.reason,
    details: { path: request.path },
  });
}

/** DuckDB creates and fills the file; only an fsync of its own makes it safe to publish. */
async function fsyncFile(path: string): Promise<number> {
  await using file = await open(path, 'r+');
  await file.sync();
  return (await file.stat()).size;
}

/** Timestamps carry no zone (DuckDB reads the zoned kind as microseconds), so each file says it. */
function metadataFields(metadata: Readonly<Record<string, string>>): string {
  return Object.entries({ 'time zone': 'UTC', ...metadata })
    .sort(([first], [second]) => (first < second ? -1 : 1))
    .map(([key, value]) => `${sqlText(key)}: ${sqlText(value)}`)
    .join(', ');
}

function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
