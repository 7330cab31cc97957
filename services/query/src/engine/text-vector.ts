/**
 * Where the bytes of a text column lie. Each text that is no part of its `string_t` stands behind a pointer;
 * a call of the binding for each would cost more than all else. DuckDB lays the texts of a vector one after the
 * other, so those that touch are read together: no byte is read that is not a text's.
 */

import type { DuckDBDataChunk } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { readBytes, readValidity } from './column-memory.ts';
import { EngineError } from './engine-error.ts';

/** A `string_t`: length, then either the bytes themselves or a prefix and a pointer. */
const STRING_BYTES = 16;
const INLINE_BYTES_MAX = 12;
const POINTER_AT = 8;

/** A text begins within so much of its stretch, which 32 bits hold. */
const STRETCH_BYTES_MAX = 2 ** 30;

/** The texts of one chunk's column, in DuckDB's memory: gone with the chunk. Those of nulls are empty. */
export class TextVector {
  /** The `string_t`s, four words a row. */
  readonly words: Int32Array;
  /** By row: what `bytesOf` gives holds the text from here on. */
  readonly begins: Int32Array;
  readonly lengths: Int32Array;
  readonly #inline: Uint8Array;
  /** By row: which stretch of memory, or none for a text that is inline. */
  readonly #stretchOf: Int32Array;
  readonly #stretches: Uint8Array[] = [];

  constructor(chunk: DuckDBDataChunk, column: number) {
    const { rowCount } = chunk;
    this.#inline = readBytes(chunk, column, STRING_BYTES);
    this.begins = new Int32Array(rowCount);
    this.lengths = new Int32Array(rowCount);
    this.#stretchOf = new Int32Array(rowCount).fill(-1);
    const { buffer, byteOffset } = this.#inline;
    const words = new Int32Array(buffer, byteOffset, rowCount * 4);
    this.words = words;
    const { hasNulls, isValid } = readValidity(chunk, column);
    const far: number[] = [];
    const addresses = new Float64Array(rowCount);
    let inOrder = true;
    let last = 0;
    for (let row = 0; row < rowCount; row++) {
      if (hasNulls && !isValid(row)) continue;
      const length = words[row * 4] ?? 0;
      if (length < 0) throw new EngineError('query.result-too-large', 'a text has over 2 GiB');
      this.lengths[row] = length;
      if (length <= INLINE_BYTES_MAX) {
        this.begins[row] = row * STRING_BYTES + 4;
        continue;
      }
      const high = (words[row * 4 + 3] ?? 0) >>> 0;
      const address = ((words[row * 4 + 2] ?? 0) >>> 0) + high * 2 ** 32;
      addresses[row] = address;
      inOrder &&= address >= last;
      last = address;
      far.push(row);
    }
    if (!inOrder) far.sort((a, b) => (addresses[a] ?? 0) - (addresses[b] ?? 0));
    this.#readFar(far, addresses);
  }

  /** The array that holds the text of a row. */
  bytesOf(row: number): Uint8Array {
    return this.#stretches[this.#stretchOf[row] ?? -1] ?? this.#inline;
  }

  text(row: number): string {
    const bytes = this.bytesOf(row);
    const begin = this.begins[row] ?? 0;
    const { buffer, byteOffset, byteLength } = bytes;
    const end = begin + (this.lengths[row] ?? 0);
    return Buffer.from(buffer, byteOffset, byteLength).toString('utf8', begin, end);
  }

  /** `rows` in the order of their addresses. */
  #readFar(rows: readonly number[], addresses: Float64Array): void {
    let first = 0;
    while (first < rows.length) {
      const firstRow = rows[first] ?? 0;
      const begin = addresses[firstRow] ?? 0;
      let end = begin;
      let next = first;
      for (; next < rows.length; next++) {
        const row = rows[next] ?? 0;
        const address = addresses[row] ?? 0;
        // Bytes between two texts may be nobody's.
        if (next > first && (address > end || address - begin > STRETCH_BYTES_MAX)) break;
        end = Math.max(end, address + (this.lengths[row] ?? 0));
        this.begins[row] = address - begin;
        this.#stretchOf[row] = this.#stretches.length;
      }
      this.#stretches.push(this.#read(firstRow, end - begin));
      first = next;
    }
  }

  #read(row: number, length: number): Uint8Array {
    const { buffer, byteOffset } = this.#inline;
    const pointerAt = byteOffset + row * STRING_BYTES + POINTER_AT;
    return duckdb.get_data_from_pointer(buffer as ArrayBuffer, pointerAt, length);
  }
}
