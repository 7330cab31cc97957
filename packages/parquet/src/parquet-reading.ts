/**
 * Parquet to columns through DuckDB, pulled chunk by chunk: nothing is read ahead but one chunk, nothing is
 * kept, and whoever stops reading stops the scan. A reader is one DuckDB instance with one memory limit and
 * one spill directory; each stream has a connection of its own.
 */

import {
  type DuckDBConnection,
  type DuckDBDataChunk,
  DuckDBInstance,
  type DuckDBResult,
  type DuckDBValue,
} from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { errorMessage } from '@tracelake/domain';
import { countRowsRead, postponeMarking } from './native-memory.ts';
import { ParquetError } from './parquet-error.ts';

const MEMORY_LIMIT_BYTES = 256 * 1024 * 1024;

/** An interrupt that comes before its query has started is lost, so it is repeated. */
const INTERRUPT_INTERVAL_MS = 20;

export interface ParquetReaderOptions {
  /** What DuckDB may hold; beyond it sorts and joins spill. Default 256 MiB. */
  readonly memoryLimitBytes?: number;
  /** Where sorts and joins spill; default nowhere, and then they fail beyond the limit. */
  readonly tempDir?: string;
}

/**
 * Up to 2,048 rows. The arrays of a chunk live as long as the chunk object is held: keep it beside them.
 */
export class ColumnChunk {
  readonly rowCount: number;
  readonly #chunk: DuckDBDataChunk;

  constructor(chunk: DuckDBDataChunk) {
    this.#chunk = chunk;
    this.rowCount = chunk.rowCount;
  }

  /** A column of BIGINT or TIMESTAMP_NS without nulls. */
  int64(column: number): BigInt64Array {
    const bytes = this.#bytes(column, 8);
    return new BigInt64Array(bytes.buffer, bytes.byteOffset, this.rowCount);
  }

  /** A column of UINTEGER without nulls. */
  uint32(column: number): Uint32Array {
    const bytes = this.#bytes(column, 4);
    return new Uint32Array(bytes.buffer, bytes.byteOffset, this.rowCount);
  }

  /** A column of DOUBLE without nulls. */
  float64(column: number): Float64Array {
    const bytes = this.#bytes(column, 8);
    return new Float64Array(bytes.buffer, bytes.byteOffset, this.rowCount);
  }

  /** A column of BOOLEAN without nulls, as 0 and 1. */
  bool(column: number): Uint8Array {
    return this.#bytes(column, 1);
  }

  #bytes(column: number, width: number): Uint8Array {
    const vector = duckdb.data_chunk_get_vector(this.#chunk.chunk, column);
    return duckdb.vector_get_data(vector, this.rowCount * width);
  }
}

export interface QueryOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads Parquet files.
 *
 * Ownership: close it with `await using`, after its streams have ended or been left.
 */
export class ParquetReader implements AsyncDisposable {
  readonly #settings: Readonly<Record<string, string>>;
  /** Made for the first query: what is read without DuckDB does not pay for starting it. */
  #instance: Promise<DuckDBInstance> | undefined;
  readonly #closing = new AbortController();
  readonly #working = new Set<Promise<unknown>>();

  constructor(options: ParquetReaderOptions = {}) {
    const limit = options.memoryLimitBytes ?? MEMORY_LIMIT_BYTES;
    postponeMarking();
    this.#settings = {
      // One thread keeps the order of rows and leaves the other cores to other requests.
      threads: '1',
      memory_limit: `${Math.floor(limit / 1024)}KiB`,
      temp_directory: options.tempDir ?? '',
      // Files are read once: a cache of their bytes would only fill the memory.
      enable_external_file_cache: 'false',
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    };
  }

  /**
   * Runs a query and yields its chunks as they are asked for, with one fetched ahead while the caller works.
   *
   * Errors: `parquet.read-failed`, `parquet.aborted`. Leaving the loop early interrupts the query.
   */
  async *chunks(sql: string, options: QueryOptions = {}): AsyncGenerator<ColumnChunk, void, void> {
    const connection = await this.#connect(options);
    const stopWatching = this.#interruptOnAbort(connection, options);
    let pending: Promise<DuckDBDataChunk | null> | undefined;
    try {
      // A failure in the middle of a stream shows only in what it does to its transaction.
      await connection.run('BEGIN TRANSACTION READ ONLY');
      const result = await this.#run(() => connection.stream(sql), options);
      for (;;) {
        pending ??= this.#fetch(result, options);
        const chunk = await pending;
        if (chunk === null || chunk.rowCount === 0) {
          pending = undefined;
          await this.#confirmEnd(connection, options);
          return;
        }
        pending = this.#fetch(result, options);
        // Its failure is met at the next turn, or not at all when the caller has left.
        pending.catch(() => undefined);
        countRowsRead(chunk.rowCount);
        yield new ColumnChunk(chunk);
      }
    } finally {
      if (pending !== undefined) await settleInterrupted(connection, pending);
      stopWatching();
      connection.closeSync();
    }
  }

  /** Runs a query with a small result and returns its rows. Errors as `chunks`. */
  async rows(sql: string, options: QueryOptions = {}): Promise<DuckDBValue[][]> {
    const connection = await this.#connect(options);
    const stopWatching = this.#interruptOnAbort(connection, options);
    try {
      const reader = await this.#run(() => connection.runAndReadAll(sql), options);
      return reader.getRows();
    } finally {
      stopWatching();
      connection.closeSync();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#working);
    const instance = await this.#instance?.catch(() => undefined);
    instance?.closeSync();
  }

  async #connect(options: QueryOptions): Promise<DuckDBConnection> {
    this.#throwIfAborted(options.signal);
    this.#instance ??= DuckDBInstance.create(':memory:', this.#settings);
    const instance = await this.#instance;
    return await instance.connect();
  }

  /** DuckDB's API ends a stream that failed as it ends a whole one, and keeps the reason to itself. */
  async #confirmEnd(connection: DuckDBConnection, options: QueryOptions): Promise<void> {
    await this.#run(() => connection.run('SELECT 1'), options);
  }

  #fetch(result: DuckDBResult, options: QueryOptions): Promise<DuckDBDataChunk | null> {
    return this.#run(() => result.fetchChunk(), options);
  }

  /** From now until the returned function is called, an abort, or closing the reader, interrupts queries. */
  #interruptOnAbort(connection: DuckDBConnection, { signal }: QueryOptions): () => void {
    const closing = this.#closing.signal;
    return interruptOnAbort(connection, signal === undefined ? [closing] : [closing, signal]);
  }

  /** Waits for a step of a query. */
  async #run<T>(step: () => Promise<T>, options: QueryOptions): Promise<T> {
    this.#throwIfAborted(options.signal);
    const work = step();
    this.#working.add(work);
    try {
      const value = await work;
      // An interrupted fetch may also look like the end of the rows.
      this.#throwIfAborted(options.signal);
      return value;
    } catch (cause) {
      this.#throwIfAborted(options.signal, cause);
      throw new ParquetError(
        'parquet.read-failed',
        `cannot read Parquet files: ${errorMessage(cause)}`,
        { cause, retryable: true },
      );
    } finally {
      this.#working.delete(work);
    }
  }

  #throwIfAborted(signal: AbortSignal | undefined, cause?: unknown): void {
    if (!this.#closing.signal.aborted && signal?.aborted !== true) return;
    throw new ParquetError('parquet.aborted', 'reading Parquet files was given up', {
      cause: cause ?? signal?.reason,
    });
  }
}

/** A path as an SQL string. */
export function sqlString(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

const INT64_MAX = 2n ** 63n - 2n;

/** A time as TIMESTAMP_NS; a time that this type cannot hold becomes the nearest that it can. */
export function sqlTimestamp(timeNs: bigint): string {
  const held = timeNs > INT64_MAX ? INT64_MAX : timeNs < -INT64_MAX ? -INT64_MAX : timeNs;
  return `make_timestamp_ns(${held})`;
}

function interruptOnAbort(
  connection: DuckDBConnection,
  signals: readonly AbortSignal[],
): () => void {
  let timer: NodeJS.Timeout | undefined;
  const interrupt = () => {
    connection.interrupt();
    timer ??= setInterval(() => connection.interrupt(), INTERRUPT_INTERVAL_MS);
  };
  for (const signal of signals) signal.addEventListener('abort', interrupt);
  return () => {
    clearInterval(timer);
    for (const signal of signals) signal.removeEventListener('abort', interrupt);
  };
}

async function settleInterrupted(
  connection: DuckDBConnection,
  pending: Promise<unknown>,
): Promise<void> {
  connection.interrupt();
  const timer = setInterval(() => connection.interrupt(), INTERRUPT_INTERVAL_MS);
  await pending.catch(() => undefined);
  clearInterval(timer);
}
