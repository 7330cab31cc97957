/** A column of a chunk as one text a row, with fast ways for the types that most columns have. */

import { type DuckDBDataChunk, DuckDBTypeId, type DuckDBValue } from '@duckdb/node-api';
import {
  isText,
  type ResultColumn,
  readBytes,
  readText,
  readValidity,
  readValues,
} from './result-columns.ts';
import { floatText, isFinite64, numberText, rfc3339 } from './text-values.ts';

/** How one format writes what a column holds. */
export interface CellStyle {
  readonly null: string;
  /** Text, times and whatever else needs quotes. */
  quote(text: string): string;
  integer(value: bigint): string;
  number(text: string): string;
  /** Values of all other types. */
  other(value: DuckDBValue): string;
}

export function cellTexts(
  chunk: DuckDBDataChunk,
  column: ResultColumn,
  style: CellStyle,
): readonly string[] {
  if (isText(column.type)) {
    const { values, codes } = readText(chunk, column);
    const texts = values.map((value) => style.quote(value));
    return Array.from(codes, (code) => texts[code] ?? style.null);
  }
  const read = fixedWidthReader(column.type.typeId, style);
  if (read === undefined) {
    return readValues(chunk, column.index).map((value) =>
      value === null ? style.null : style.other(value),
    );
  }
  const bytes = readBytes(chunk, column.index, read.width);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { isValid } = readValidity(chunk, column.index);
  return Array.from({ length: chunk.rowCount }, (_, row) =>
    isValid(row) ? read.text(view, row * read.width) : style.null,
  );
}

interface FixedWidthReader {
  readonly width: number;
  text(view: DataView, at: number): string;
}

function fixedWidthReader(typeId: DuckDBTypeId, style: CellStyle): FixedWidthReader | undefined {
  switch (typeId) {
    case DuckDBTypeId.TINYINT:
      return { width: 1, text: (view, at) => String(view.getInt8(at)) };
    case DuckDBTypeId.UTINYINT:
      return { width: 1, text: (view, at) => String(view.getUint8(at)) };
    case DuckDBTypeId.SMALLINT:
      return { width: 2, text: (view, at) => String(view.getInt16(at, true)) };
    case DuckDBTypeId.USMALLINT:
      return { width: 2, text: (view, at) => String(view.getUint16(at, true)) };
    case DuckDBTypeId.INTEGER:
      return { width: 4, text: (view, at) => String(view.getInt32(at, true)) };
    case DuckDBTypeId.UINTEGER:
      return { width: 4, text: (view, at) => String(view.getUint32(at, true)) };
    case DuckDBTypeId.BIGINT:
      return { width: 8, text: (view, at) => style.integer(view.getBigInt64(at, true)) };
    case DuckDBTypeId.UBIGINT:
      return { width: 8, text: (view, at) => style.integer(view.getBigUint64(at, true)) };
    case DuckDBTypeId.FLOAT:
      return { width: 4, text: (view, at) => style.number(floatText(view.getFloat32(at, true))) };
    case DuckDBTypeId.DOUBLE:
      return { width: 8, text: (view, at) => style.number(numberText(view.getFloat64(at, true))) };
    case DuckDBTypeId.TIMESTAMP_NS:
      return {
        width: 8,
        text: (view, at) => style.quote(timeText(view.getBigInt64(at, true))),
      };
    default:
      return undefined;
  }
}

function timeText(timeNs: bigint): string {
  if (!isFinite64(timeNs)) return timeNs > 0n ? 'infinity' : '-infinity';
  return rfc3339(timeNs) ?? String(timeNs);
}
