/**
 * Columns of a result gathered into Arrow data, a batch at a time. Numbers and times are copied as they lie
 * in DuckDB's vectors; text becomes a dictionary; what is rare goes value by value (`arrow-values.ts`).
 */

import { type DuckDBDataChunk, DuckDBTypeId, type DuckDBValue } from '@duckdb/node-api';
import {
  type Data,
  type DataType,
  Dictionary,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  makeData,
  TimestampNanosecond,
  Uint8,
  Uint16,
  Uint32,
  Uint64,
  Utf8,
  Vector,
} from 'apache-arrow';
import { arrowTypeOf, dataFromValues } from './arrow-values.ts';
import { copyBytes, readValidity } from './column-memory.ts';
import { isText, type ResultColumn, readText, readValues } from './result-columns.ts';

/** Gathers one column; after `take` it begins anew. */
export interface ColumnGatherer {
  readonly type: DataType;
  /** Copies the column; says how many bytes that added. */
  add(chunk: DuckDBDataChunk): number;
  take(): Data;
}

export function createGatherer(column: ResultColumn): ColumnGatherer {
  if (isText(column.type)) return new TextGatherer(column);
  const fixed = fixedType(column.type.typeId);
  return fixed === undefined ? new ValueGatherer(column) : new FixedGatherer(column, fixed);
}

/** Arrow has the zone in the type; all times of the lake are UTC. */
const ZONE = 'UTC';

function fixedType(typeId: DuckDBTypeId): FixedType | undefined {
  switch (typeId) {
    case DuckDBTypeId.TINYINT:
      return { type: new Int8(), width: 1, array: Int8Array };
    case DuckDBTypeId.UTINYINT:
      return { type: new Uint8(), width: 1, array: Uint8Array };
    case DuckDBTypeId.SMALLINT:
      return { type: new Int16(), width: 2, array: Int16Array };
    case DuckDBTypeId.USMALLINT:
      return { type: new Uint16(), width: 2, array: Uint16Array };
    case DuckDBTypeId.INTEGER:
      return { type: new Int32(), width: 4, array: Int32Array };
    case DuckDBTypeId.UINTEGER:
      return { type: new Uint32(), width: 4, array: Uint32Array };
    case DuckDBTypeId.BIGINT:
      return { type: new Int64(), width: 8, array: BigInt64Array };
    case DuckDBTypeId.UBIGINT:
      return { type: new Uint64(), width: 8, array: BigUint64Array };
    case DuckDBTypeId.FLOAT:
      return { type: new Float32(), width: 4, array: Float32Array };
    case DuckDBTypeId.DOUBLE:
      return { type: new Float64(), width: 8, array: Float64Array };
    case DuckDBTypeId.TIMESTAMP_NS:
      return { type: new TimestampNanosecond(ZONE), width: 8, array: BigInt64Array };
    default:
      return undefined;
  }
}

interface FixedType {
  readonly type: DataType;
  readonly width: number;
  readonly array: new (buffer: ArrayBuffer) => ArrayBufferView;
}

/** Validity of the rows gathered, kept only once there is a null. */
class NullBits {
  #bits: number[] = [];
  #rows = 0;
  #nulls = 0;

  add(rowCount: number, isValid: (row: number) => boolean): void {
    for (let row = 0; row < rowCount; row++) {
      const at = this.#rows + row;
      if (isValid(row)) this.#bits[at >> 3] = (this.#bits[at >> 3] ?? 0) | (1 << (at & 7));
      else this.#nulls += 1;
    }
    this.#rows += rowCount;
  }

  take(): { length: number; nullCount: number; nullBitmap: Uint8Array | null } {
    const length = this.#rows;
    const bytes = Math.ceil(length / 8);
    const nullBitmap = Uint8Array.from({ length: bytes }, (_, at) => this.#bits[at] ?? 0);
    const taken = {
      length,
      nullCount: this.#nulls,
      nullBitmap: this.#nulls > 0 ? nullBitmap : null,
    };
    this.#bits = [];
    this.#rows = 0;
    this.#nulls = 0;
    return taken;
  }
}

class FixedGatherer implements ColumnGatherer {
  readonly type: DataType;
  readonly #column: ResultColumn;
  readonly #fixed: FixedType;
  readonly #valid = new NullBits();
  #parts: Uint8Array[] = [];

  constructor(column: ResultColumn, fixed: FixedType) {
    this.type = fixed.type;
    this.#column = column;
    this.#fixed = fixed;
  }

  add(chunk: DuckDBDataChunk): number {
    const bytes = copyBytes(chunk, this.#column.index, this.#fixed.width);
    this.#valid.add(chunk.rowCount, readValidity(chunk, this.#column.index).isValid);
    this.#parts.push(bytes);
    return bytes.byteLength;
  }

  take(): Data {
    const data = new this.#fixed.array(joined(this.#parts));
    this.#parts = [];
    return makeData({ type: this.type, ...this.#valid.take(), data } as never);
  }
}

/** Dictionary entries and bytes that a batch hands on to the next: more, and the next begins anew. */
const KEPT_ENTRIES_MAX = 4096;
const KEPT_BYTES_MAX = 256 * 1024;

/**
 * Text by code. The dictionary is sent again, whole, with each batch that adds to it (readers know
 * replaced dictionaries better than grown ones) and starts over when it has become large.
 */
class TextGatherer implements ColumnGatherer {
  readonly type = new Dictionary(new Utf8(), new Int32());
  readonly #column: ResultColumn;
  readonly #valid = new NullBits();
  #codesOf = new Map<string, number>();
  #bytes = 0;
  #codes: number[] = [];
  #dictionary: Vector<Utf8> | undefined;

  constructor(column: ResultColumn) {
    this.#column = column;
  }

  add(chunk: DuckDBDataChunk): number {
    const { values, codes } = readText(chunk, this.#column);
    const bytesBefore = this.#bytes;
    const own = values.map((value) => this.#code(value));
    for (const code of codes) this.#codes.push(code < 0 ? 0 : (own[code] ?? 0));
    this.#valid.add(codes.length, (row) => (codes[row] ?? -1) >= 0);
    return this.#bytes - bytesBefore + codes.length * 4;
  }

  take(): Data {
    const data = makeData({
      type: this.type,
      ...this.#valid.take(),
      data: Int32Array.from(this.#codes),
      dictionary: this.#currentDictionary(),
    } as never) as Data;
    this.#codes = [];
    if (this.#codesOf.size > KEPT_ENTRIES_MAX || this.#bytes > KEPT_BYTES_MAX) {
      this.#codesOf = new Map();
      this.#bytes = 0;
      this.#dictionary = undefined;
    }
    return data;
  }

  #code(value: string): number {
    let code = this.#codesOf.get(value);
    if (code === undefined) {
      code = this.#codesOf.size;
      this.#codesOf.set(value, code);
      this.#bytes += value.length;
    }
    return code;
  }

  /** The same vector as before while nothing was added: the writer then sends none. */
  #currentDictionary(): Vector<Utf8> {
    if (this.#dictionary?.length !== this.#codesOf.size) {
      const values = [...this.#codesOf.keys()];
      this.#dictionary = new Vector([dataFromValues(new Utf8(), values) as Data<Utf8>]);
    }
    return this.#dictionary;
  }
}

class ValueGatherer implements ColumnGatherer {
  readonly type: DataType;
  readonly #column: ResultColumn;
  #values: DuckDBValue[] = [];

  constructor(column: ResultColumn) {
    this.type = arrowTypeOf(column.type);
    this.#column = column;
  }

  add(chunk: DuckDBDataChunk): number {
    const before = this.#values.length;
    for (const value of readValues(chunk, this.#column.index)) this.#values.push(value);
    return (this.#values.length - before) * ESTIMATED_VALUE_BYTES;
  }

  take(): Data {
    const values = this.#values;
    this.#values = [];
    return dataFromValues(this.type, values);
  }
}

/** A guess for lists and structs, so that batches of them stay small. */
const ESTIMATED_VALUE_BYTES = 200;

function joined(parts: readonly Uint8Array[]): ArrayBuffer {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes.buffer;
}
