/** The cells of a column as bytes of text, straight from DuckDB's vectors for the types most columns have. */

import {
  type DuckDBDataChunk,
  DuckDBEnumType,
  DuckDBTypeId,
  type DuckDBValue,
} from '@duckdb/node-api';
import type { ByteSink } from './byte-sink.ts';
import { readBytes, readValidity } from './column-memory.ts';
import { type ResultColumn, readText, readValues } from './result-columns.ts';
import { floatText, isFinite64, numberText, rfc3339 } from './text-values.ts';
import { TextVector } from './text-vector.ts';

/** How one format writes what a column holds. */
export interface CellStyle {
  readonly null: Uint8Array;
  /** Around times; empty where they need none. */
  readonly quotes: Uint8Array;
  /** UTF-8 bytes of a text, as they are to be read back. */
  text(sink: ByteSink, bytes: DataView, begin: number, length: number): void;
  /** Text, and times that are beyond RFC 3339. */
  quote(text: string): string;
  /** Integers that a double may not hold. */
  integer(value: bigint): string;
  number(text: string): string;
  /** Values of all other types. */
  other(value: DuckDBValue): string;
}

/** Writes a row's cell of one chunk's column. */
export type CellWriter = (sink: ByteSink, row: number) => void;

/** A column of an answer; what it needs for a chunk it uses again for the next. */
export type CellColumn = (chunk: DuckDBDataChunk) => CellWriter;

export function cellColumn(column: ResultColumn, style: CellStyle): CellColumn {
  if (column.type.typeId === DuckDBTypeId.VARCHAR) return textColumn(column, style);
  return (chunk) => cellWriter(chunk, column, style);
}

function textColumn(column: ResultColumn, style: CellStyle): CellColumn {
  const texts = new TextVector(column.index);
  const write: CellWriter = (sink, row) => {
    style.text(sink, texts.bytesOf(row), texts.beginOf(row), texts.lengths[row] ?? 0);
  };
  return (chunk) => {
    texts.read(chunk);
    return nullsIn(chunk, column, style, write);
  };
}

function cellWriter(chunk: DuckDBDataChunk, column: ResultColumn, style: CellStyle): CellWriter {
  if (column.type instanceof DuckDBEnumType) {
    const { values, codes } = readText(chunk, column);
    return nullsIn(chunk, column, style, (sink, row) => {
      sink.text(style.quote(values[codes[row] ?? 0] ?? ''));
    });
  }
  const fixed = fixedWidthWriter(chunk, column, style);
  if (fixed !== undefined) return nullsIn(chunk, column, style, fixed);
  const values = readValues(chunk, column.index);
  return (sink, row) => {
    const value = values[row] ?? null;
    if (value === null) sink.raw(style.null);
    else sink.text(style.other(value));
  };
}

function nullsIn(
  chunk: DuckDBDataChunk,
  column: ResultColumn,
  style: CellStyle,
  write: CellWriter,
): CellWriter {
  const { hasNulls, isValid } = readValidity(chunk, column.index);
  if (!hasNulls) return write;
  return (sink, row) => {
    if (isValid(row)) write(sink, row);
    else sink.raw(style.null);
  };
}

const WIDTHS = new Map<DuckDBTypeId, number>([
  [DuckDBTypeId.BOOLEAN, 1],
  [DuckDBTypeId.TINYINT, 1],
  [DuckDBTypeId.UTINYINT, 1],
  [DuckDBTypeId.SMALLINT, 2],
  [DuckDBTypeId.USMALLINT, 2],
  [DuckDBTypeId.INTEGER, 4],
  [DuckDBTypeId.UINTEGER, 4],
  [DuckDBTypeId.FLOAT, 4],
  [DuckDBTypeId.BIGINT, 8],
  [DuckDBTypeId.UBIGINT, 8],
  [DuckDBTypeId.DOUBLE, 8],
  [DuckDBTypeId.TIMESTAMP_NS, 8],
]);

function fixedWidthWriter(
  chunk: DuckDBDataChunk,
  column: ResultColumn,
  style: CellStyle,
): CellWriter | undefined {
  const { typeId } = column.type;
  const width = WIDTHS.get(typeId);
  if (width === undefined) return undefined;
  const { buffer, byteOffset, byteLength } = readBytes(chunk, column.index, width);
  const view = new DataView(buffer, byteOffset, byteLength);
  switch (typeId) {
    case DuckDBTypeId.BOOLEAN:
      return (sink, row) => sink.text(view.getUint8(row) === 0 ? 'false' : 'true');
    case DuckDBTypeId.TINYINT:
      return (sink, row) => sink.integer(view.getInt8(row));
    case DuckDBTypeId.UTINYINT:
      return (sink, row) => sink.integer(view.getUint8(row));
    case DuckDBTypeId.SMALLINT:
      return (sink, row) => sink.integer(view.getInt16(row * 2, true));
    case DuckDBTypeId.USMALLINT:
      return (sink, row) => sink.integer(view.getUint16(row * 2, true));
    case DuckDBTypeId.INTEGER:
      return (sink, row) => sink.integer(view.getInt32(row * 4, true));
    case DuckDBTypeId.UINTEGER:
      return (sink, row) => sink.integer(view.getUint32(row * 4, true));
    case DuckDBTypeId.FLOAT:
      return (sink, row) => sink.text(style.number(floatText(view.getFloat32(row * 4, true))));
    case DuckDBTypeId.DOUBLE:
      return (sink, row) => writeDouble(sink, style, view.getFloat64(row * 8, true));
    case DuckDBTypeId.TIMESTAMP_NS:
      return (sink, row) => writeTime(sink, style, view.getBigInt64(row * 8, true));
    default:
      return longWriter(view, style, typeId === DuckDBTypeId.BIGINT);
  }
}

/** Words above this make an integer that a double may not hold. */
const HIGH_MAX = 2 ** 21;

function longWriter(view: DataView, style: CellStyle, isSigned: boolean): CellWriter {
  return (sink, row) => {
    const high = isSigned ? view.getInt32(row * 8 + 4, true) : view.getUint32(row * 8 + 4, true);
    if (high < HIGH_MAX && high >= -HIGH_MAX) {
      sink.integer(high * 2 ** 32 + view.getUint32(row * 8, true));
      return;
    }
    const value = isSigned ? view.getBigInt64(row * 8, true) : view.getBigUint64(row * 8, true);
    sink.text(style.integer(value));
  };
}

function writeDouble(sink: ByteSink, style: CellStyle, value: number): void {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) sink.integer(value);
  else sink.text(style.number(numberText(value)));
}

/** Of the years 0 to 9999. */
const SECONDS_MIN = -62_167_219_200;
const SECONDS_MAX = 253_402_300_799;
const NS_PER_SECOND = 1_000_000_000n;

function writeTime(sink: ByteSink, style: CellStyle, timeNs: bigint): void {
  let seconds = Number(timeNs / NS_PER_SECOND);
  let rest = Number(timeNs % NS_PER_SECOND);
  if (rest < 0) {
    seconds -= 1;
    rest += 1e9;
  }
  if (!isFinite64(timeNs) || seconds < SECONDS_MIN || seconds > SECONDS_MAX) {
    sink.text(style.quote(unusualTime(timeNs)));
    return;
  }
  sink.raw(style.quotes);
  sink.time(seconds, rest);
  sink.raw(style.quotes);
}

function unusualTime(timeNs: bigint): string {
  if (!isFinite64(timeNs)) return timeNs > 0n ? 'infinity' : '-infinity';
  return rfc3339(timeNs) ?? String(timeNs);
}
