/**
 * Where the bytes of a text column lie. Each text that is no part of its `string_t` stands behind a pointer;
 * a call of the binding for each would cost more than all else. DuckDB lays the texts of a vector one after the
 * other, so those that touch are read together: no byte is read that is not a text's.
 */

import type { DuckDBDataChunk } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { readBytes, readValidity, type Validity } from './column-memory.ts';
import { EngineError } from './engine-error.ts';

/** A `string_t`: length, then either the bytes themselves or a prefix and a pointer. */
const STRING_BYTES = 16;
const INLINE_BYTES_MAX = 12;
const POINTER_AT = 8;

/** A text begins within so much of its stretch, which 32 bits hold. */
const STRETCH_BYTES_MAX = 2 ** 30;

/** Texts that touch or overlap, and rows that follow each other. */
interface Run {
  /** Whose text begins the run. */
  readonly firstRow: number;
  readonly begin: number;
  end: number;
  /** Where it is read, and the address that this begins at. */
  place: number;
  placeBegin: number;
}

/** Rows of a chunk, as DuckDB makes them; a longer one makes what is held longer. */
const CHUNK_ROWS = 2048;

/** The texts of a column, a chunk at a time, in DuckDB's memory: gone with the chunk. Those of nulls are empty. */
export class TextVector {
  /** The `string_t`s, four words a row. */
  words: Int32Array = new Int32Array(0);
  /** By row: what `bytesOf` gives holds the text from here on. */
  begins = new Int32Array(CHUNK_ROWS);
  lengths = new Int32Array(CHUNK_ROWS);
  readonly #column: number;
  /** First the `string_t`s, for texts that are inline; then stretches of memory. */
  #places: DataView[] = [];
  /** By row: which of them. */
  #placeOf = new Uint32Array(CHUNK_ROWS);
  /** By row, of texts that are not inline; the rows of these, and the run that each is in. */
  #addresses = new Float64Array(CHUNK_ROWS);
  #far = new Int32Array(CHUNK_ROWS);
  #runOf = new Int32Array(CHUNK_ROWS);

  constructor(column: number) {
    this.#column = column;
  }

  /** Goes over to another chunk. */
  read(chunk: DuckDBDataChunk): void {
    const { rowCount } = chunk;
    this.#makeRoom(rowCount);
    const { buffer, byteOffset, byteLength } = readBytes(chunk, this.#column, STRING_BYTES);
    this.#places = [new DataView(buffer, byteOffset, byteLength)];
    this.words = new Int32Array(buffer, byteOffset, rowCount * 4);
    const farCount = this.#readWords(rowCount, readValidity(chunk, this.#column));
    this.#readFar(this.#far.subarray(0, farCount));
  }

  /** What holds the text of a row. */
  bytesOf(row: number): DataView {
    return this.#places[this.#placeOf[row] ?? 0] as DataView;
  }

  text(row: number): string {
    const { buffer, byteOffset, byteLength } = this.bytesOf(row);
    const begin = this.begins[row] ?? 0;
    const end = begin + (this.lengths[row] ?? 0);
    return Buffer.from(buffer, byteOffset, byteLength).toString('utf8', begin, end);
  }

  #makeRoom(rowCount: number): void {
    if (rowCount <= this.begins.length) return;
    this.begins = new Int32Array(rowCount);
    this.lengths = new Int32Array(rowCount);
    this.#placeOf = new Uint32Array(rowCount);
    this.#addresses = new Float64Array(rowCount);
    this.#far = new Int32Array(rowCount);
    this.#runOf = new Int32Array(rowCount);
  }

  /** Gives the number of texts that are not inline. */
  #readWords(rowCount: number, { hasNulls, isValid }: Validity): number {
    const { words, begins, lengths } = this;
    const placeOf = this.#placeOf;
    let farCount = 0;
    for (let row = 0; row < rowCount; row++) {
      const length = hasNulls && !isValid(row) ? 0 : (words[row * 4] ?? 0);
      if (length < 0) throw new EngineError('query.result-too-large', 'a text has over 2 GiB');
      lengths[row] = length;
      if (length <= INLINE_BYTES_MAX) {
        begins[row] = row * STRING_BYTES + 4;
        placeOf[row] = 0;
        continue;
      }
      const high = (words[row * 4 + 3] ?? 0) >>> 0;
      this.#addresses[row] = ((words[row * 4 + 2] ?? 0) >>> 0) + high * 2 ** 32;
      this.#far[farCount++] = row;
    }
    return farCount;
  }

  #readFar(rows: Int32Array): void {
    const runs = this.#findRuns(rows);
    this.#placeRuns(runs);
    for (const row of rows) {
      const run = runs[this.#runOf[row] ?? 0] as Run;
      this.begins[row] = (this.#addresses[row] ?? 0) - run.placeBegin;
      this.#placeOf[row] = run.place;
    }
  }

  /** Most texts follow the one of the row before: far fewer runs than rows are to be sorted. */
  #findRuns(rows: Int32Array): Run[] {
    const runs: Run[] = [];
    let run: Run | undefined;
    for (const row of rows) {
      const begin = this.#addresses[row] ?? 0;
      const end = begin + (this.lengths[row] ?? 0);
      const isApart = run === undefined || begin < run.begin || begin > run.end;
      if (run === undefined || isApart || begin - run.begin > STRETCH_BYTES_MAX) {
        run = { firstRow: row, begin, end, place: 0, placeBegin: 0 };
        runs.push(run);
      } else if (end > run.end) run.end = end;
      this.#runOf[row] = runs.length - 1;
    }
    return runs;
  }

  /** Reads runs that touch as one stretch. Bytes between two that do not may be nobody's. */
  #placeRuns(runs: readonly Run[]): void {
    const sorted = runs.toSorted((a, b) => a.begin - b.begin);
    let first = 0;
    while (first < sorted.length) {
      const { firstRow, begin, end: firstEnd } = sorted[first] as Run;
      let end = firstEnd;
      let next = first;
      for (; next < sorted.length; next++) {
        const run = sorted[next] as Run;
        if (next > first && (run.begin > end || run.end - begin > STRETCH_BYTES_MAX)) break;
        end = Math.max(end, run.end);
        run.place = this.#places.length;
        run.placeBegin = begin;
      }
      this.#places.push(this.#readStretch(firstRow, end - begin));
      first = next;
    }
  }

  #readStretch(row: number, length: number): DataView {
    const { buffer, byteOffset } = this.words;
    const pointerAt = byteOffset + row * STRING_BYTES + POINTER_AT;
    const bytes = duckdb.get_data_from_pointer(buffer as ArrayBuffer, pointerAt, length);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}
