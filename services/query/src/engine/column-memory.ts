/** A column of a chunk as it lies in DuckDB's memory. */

import type { DuckDBDataChunk } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';

/** Which rows of a chunk's column hold a value. */
export interface Validity {
  readonly hasNulls: boolean;
  isValid(row: number): boolean;
}

export function readValidity(chunk: DuckDBDataChunk, column: number): Validity {
  const vector = duckdb.data_chunk_get_vector(chunk.chunk, column);
  const byteCount = Math.ceil(chunk.rowCount / 64) * 8;
  const bits = duckdb.vector_get_validity(vector, byteCount) as Uint8Array | null;
  if (bits === null) return { hasNulls: false, isValid: () => true };
  return { hasNulls: true, isValid: (row) => (((bits[row >> 3] ?? 0) >> (row & 7)) & 1) === 1 };
}

/**
 * The bytes of a column of fixed width, in DuckDB's memory: gone with the chunk.
 */
export function readBytes(chunk: DuckDBDataChunk, column: number, width: number): Uint8Array {
  const vector = duckdb.data_chunk_get_vector(chunk.chunk, column);
  return duckdb.vector_get_data(vector, chunk.rowCount * width);
}
