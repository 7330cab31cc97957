/** The columns of a result, and how their values are taken out of DuckDB's vectors. */

import {
  type DuckDBDataChunk,
  DuckDBEnumType,
  type DuckDBResult,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
} from '@duckdb/node-api';
import { readBytes, readValidity } from './column-memory.ts';
import { TextVector } from './text-vector.ts';

export interface ResultColumn {
  readonly name: string;
  readonly index: number;
  readonly type: DuckDBType;
}

/** Names are made unique: `a`, `a:1`, … */
export function resultColumns(result: DuckDBResult): ResultColumn[] {
  const types = result.columnTypes();
  return result
    .deduplicatedColumnNames()
    .map((name, index) => ({ name, index, type: types[index] as DuckDBType }));
}

/** Any column, a JavaScript value each: slow, for types that are rare. */
export function readValues(chunk: DuckDBDataChunk, column: number): readonly DuckDBValue[] {
  return chunk.getColumnValues(column);
}

/** A text column of one chunk: distinct values, and for each row which. The code of a null is -1. */
export interface TextChunk {
  readonly values: readonly string[];
  readonly codes: Int32Array;
}

export function isText(type: DuckDBType): boolean {
  return type.typeId === DuckDBTypeId.VARCHAR || type.typeId === DuckDBTypeId.ENUM;
}

export function readText(chunk: DuckDBDataChunk, column: ResultColumn): TextChunk {
  return column.type instanceof DuckDBEnumType
    ? readEnum(chunk, column.index, column.type)
    : readVarchar(chunk, column.index);
}

/** Twice the rows of a chunk, a power of two. */
const SLOTS = 4096;
const slots = new Int32Array(SLOTS);

/** Equal texts of a dictionary page share one address, short ones their bytes: each is decoded once a chunk. */
function readVarchar(chunk: DuckDBDataChunk, column: number): TextChunk {
  const { rowCount } = chunk;
  const texts = new TextVector(column);
  texts.read(chunk);
  const { words } = texts;
  const { hasNulls, isValid } = readValidity(chunk, column);
  const codes = new Int32Array(rowCount);
  const values: string[] = [];
  const firstRows: number[] = [];
  slots.fill(0);
  for (let row = 0; row < rowCount; row++) {
    if (hasNulls && !isValid(row)) {
      codes[row] = -1;
      continue;
    }
    const at = row * 4;
    let slot = hash(words, at);
    for (;;) {
      const entry = slots[slot] ?? 0;
      if (entry === 0) {
        codes[row] = values.length;
        values.push(texts.text(row));
        firstRows.push(at);
        slots[slot] = values.length;
        break;
      }
      if (sameWords(words, at, firstRows[entry - 1] ?? 0)) {
        codes[row] = entry - 1;
        break;
      }
      slot = (slot + 1) & (SLOTS - 1);
    }
  }
  return { values, codes };
}

function hash(words: Int32Array, at: number): number {
  let h = Math.imul(words[at] ?? 0, 0x9e3779b1);
  h = Math.imul(h ^ (words[at + 1] ?? 0), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ (words[at + 2] ?? 0), 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13) ^ (words[at + 3] ?? 0), 0x27d4eb2f);
  return (h ^ (h >>> 16)) & (SLOTS - 1);
}

function sameWords(words: Int32Array, a: number, b: number): boolean {
  return (
    words[a] === words[b] &&
    words[a + 1] === words[b + 1] &&
    words[a + 2] === words[b + 2] &&
    words[a + 3] === words[b + 3]
  );
}

function readEnum(chunk: DuckDBDataChunk, column: number, type: DuckDBEnumType): TextChunk {
  const width = type.values.length <= 0xff ? 1 : type.values.length <= 0xffff ? 2 : 4;
  const bytes = readBytes(chunk, column, width);
  const { isValid } = readValidity(chunk, column);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const codes = new Int32Array(chunk.rowCount);
  for (let row = 0; row < chunk.rowCount; row++) {
    if (!isValid(row)) codes[row] = -1;
    else if (width === 1) codes[row] = view.getUint8(row);
    else if (width === 2) codes[row] = view.getUint16(row * 2, true);
    else codes[row] = view.getUint32(row * 4, true);
  }
  return { values: type.values, codes };
}
