import type { DuckDBDataChunk } from '@duckdb/node-api';

/** How an answer is written; each method gives the bytes that are ready, often none, valid until the second call from then. */
export interface ResultEncoder {
  begin(): Uint8Array;
  /** Keeps nothing of the chunk's memory. */
  add(chunk: DuckDBDataChunk): Uint8Array;
  end(): Uint8Array;
}
