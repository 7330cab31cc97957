/**
 * Where the bytes of a text column lie. Each text that is no part of its `string_t` stands behind a pointer;
 * a call of the binding for each would cost more than all else. DuckDB lays the texts of a vector one after the
 * other, so those that touch are read together: no byte is read that is not a text's.
 */

import type { DuckDBDataChunk } from '@duckdb/node-api';
import { readBytes, readPointed, readValidity, type Validity } from './column-memory.ts';
import { EngineError } from './engine-error.ts';

/** A `string_t`: length, then either the bytes themselves or a prefix and a pointer. */
const STRING_BYTES = 16;
const INLINE_BYTES_MAX = 12;
const POINTER_AT = 8;

/** A text begins within so much of its stretch, which 32 bits hold. */
const STRETCH_BYTES_MAX = 2 ** 30;

/** Texts of rows that follow each other, each of which touches or overlaps those before it. */
interface Run {
  /** Whose text begins the run. */
  readonly firstRow: number;
  readonly begin: number;
  end: number;
  /** What holds the run, from `at` on. */
  place: DataView;
  at: number;
}

const NOWHERE = new DataView(new ArrayBuffer(0));

/** Rows of a chunk, as DuckDB makes them; a longer one makes what is held longer. */
const CHUNK_ROWS = 2048;

/** The texts of a column, a chunk at a time, until `freeCopies`. Those of nulls are empty. */
export class TextVector {
  /** The `string_t`s, four words a row. */
  words: Int32Array = new Int32Array(0);
  lengths = new Int32Array(CHUNK_ROWS);
  readonly #column: number;
  /** The first is that of all inline texts: the `string_t`s themselves. */
  #runs: Run[] = [];
  /** By row: which of them, and how far into it. */
  #runOf = new Int32Array(CHUNK_ROWS);
  #offsets = new Int32Array(CHUNK_ROWS);

  constructor(column: number) {
    this.#column = column;
  }

  /** Goes over to another chunk. */
  read(chunk: DuckDBDataChunk): void {
    const { rowCount } = chunk;
    if (rowCount > this.lengths.length) this.#makeRoom(rowCount);
    const { buffer, byteOffset, byteLength } = readBytes(chunk, this.#column, STRING_BYTES);
    this.words = new Int32Array(buffer, byteOffset, rowCount * 4);
    const place = new DataView(buffer, byteOffset, byteLength);
    this.#runs = [{ firstRow: 0, begin: 0, end: 0, place, at: 0 }];
    this.#findRuns(rowCount, readValidity(chunk, this.#column));
    this.#placeRuns();
  }

  /** What holds the text of a row. */
  bytesOf(row: number): DataView {
    return this.#run(row).place;
  }

  /** Where in it the text begins. */
  beginOf(row: number): number {
    return (this.#run(row).at + (this.#offsets[row] ?? 0)) | 0;
  }

  text(row: number): string {
    const { buffer, byteOffset, byteLength } = this.bytesOf(row);
    const begin = this.beginOf(row);
    const end = begin + (this.lengths[row] ?? 0);
    return Buffer.from(buffer, byteOffset, byteLength).toString('utf8', begin, end);
  }

  #run(row: number): Run {
    return this.#runs[this.#runOf[row] ?? 0] as Run;
  }

  #makeRoom(rowCount: number): void {
    this.lengths = new Int32Array(rowCount);
    this.#runOf = new Int32Array(rowCount);
    this.#offsets = new Int32Array(rowCount);
  }

  /** Most texts follow the one of the row before: far fewer runs than rows are to be sorted. */
  #findRuns(rowCount: number, { hasNulls, isValid }: Validity): void {
    const { words, lengths } = this;
    const runs = this.#runs;
    const runOf = this.#runOf;
    const offsets = this.#offsets;
    let run: Run | undefined;
    for (let row = 0; row < rowCount; row++) {
      const length = hasNulls && !isValid(row) ? 0 : (words[row * 4] ?? 0);
      if (length < 0) throw new EngineError('query.result-too-large', 'a text has over 2 GiB');
      lengths[row] = length;
      if (length <= INLINE_BYTES_MAX) {
        runOf[row] = 0;
        offsets[row] = row * STRING_BYTES + 4;
        continue;
      }
      const high = (words[row * 4 + 3] ?? 0) >>> 0;
      const begin = ((words[row * 4 + 2] ?? 0) >>> 0) + high * 2 ** 32;
      const end = begin + length;
      const isApart = run === undefined || begin < run.begin || begin > run.end;
      if (run === undefined || isApart || begin - run.begin > STRETCH_BYTES_MAX) {
        run = { firstRow: row, begin, end, place: NOWHERE, at: 0 };
        runs.push(run);
      } else if (end > run.end) run.end = end;
      runOf[row] = runs.length - 1;
      offsets[row] = begin - run.begin;
    }
  }

  /** Reads runs that touch as one stretch. Bytes between two that do not may be nobody's. */
  #placeRuns(): void {
    const sorted = this.#runs.slice(1).sort((a, b) => a.begin - b.begin);
    let first = 0;
    while (first < sorted.length) {
      const { firstRow, begin, end: firstEnd } = sorted[first] as Run;
      let end = firstEnd;
      let next = first + 1;
      for (; next < sorted.length; next++) {
        const run = sorted[next] as Run;
        if (run.begin > end || run.end - begin > STRETCH_BYTES_MAX) break;
        end = Math.max(end, run.end);
      }
      const place = this.#readStretch(firstRow, end - begin);
      for (; first < next; first++) {
        const run = sorted[first] as Run;
        run.place = place;
        run.at = (run.begin - begin) | 0;
      }
    }
  }

  #readStretch(row: number, length: number): DataView {
    const { buffer, byteOffset } = this.words;
    const pointerAt = byteOffset + row * STRING_BYTES + POINTER_AT;
    const bytes = readPointed(buffer as ArrayBuffer, pointerAt, length);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}
