/** A column of a chunk, byte by byte as it lies in DuckDB's memory. */

import type { DuckDBDataChunk } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { freeOwnMemory } from '@tracelake/domain';

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

/** The bytes of a column of fixed width, for the caller to keep: the binding copies what it reads. */
export function copyBytes(chunk: DuckDBDataChunk, column: number, width: number): Uint8Array {
  const vector = duckdb.data_chunk_get_vector(chunk.chunk, column);
  return duckdb.vector_get_data(vector, chunk.rowCount * width);
}

/** The same until {@link freeCopies}. */
export function readBytes(chunk: DuckDBDataChunk, column: number, width: number): Uint8Array {
  return noted(copyBytes(chunk, column, width));
}

/** The bytes that a pointer within bytes that were read leads to, until {@link freeCopies}. */
export function readPointed(bytes: ArrayBuffer, pointerAt: number, length: number): Uint8Array {
  return noted(duckdb.get_data_from_pointer(bytes, pointerAt, length));
}

let copies: Uint8Array[] = [];

function noted(copy: Uint8Array): Uint8Array {
  copies.push(copy);
  return copy;
}

/**
 * Gives back the memory of all that was read, 100 KB and more of a chunk, for the next one. Left to the collector, each
 * chunk would be copied to memory that is new to the process.
 */
export function freeCopies(): void {
  for (const copy of copies) freeOwnMemory(copy);
  copies = [];
}
