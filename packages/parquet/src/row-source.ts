/**
 * Rows in typed arrays as a DuckDB table function: whole vectors are copied in, 2,048 rows a call, on
 * the thread of the event loop (2 to 7 ms at a time), while DuckDB encodes and compresses off it.
 */

import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  type DuckDBConnection,
  type DuckDBDataChunk,
  DuckDBTableFunction,
  type DuckDBType,
  ENUM,
  INTEGER,
  TIMESTAMP_NS,
  UINTEGER,
  VARCHAR,
} from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { ensureExists } from '@tracelake/domain';
import type { Column, ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { dictionaryValuesNeeded } from './delta-encoding.ts';
import { ParquetError } from './parquet-error.ts';
import {
  encodeTextColumn,
  largestWindowBytes,
  type TextColumnEncoding,
  VECTOR_ROWS,
} from './text-column-encoding.ts';

/** Text of one vector, and of one row group, that DuckDB may be given to hold. */
const VECTOR_TEXT_BYTES_MAX = 16 * 1024 * 1024;
const ROW_GROUP_TEXT_BYTES_MAX = 32 * 1024 * 1024;

type FixedWidthColumn = Exclude<Column, { type: 'string' }>;

type PreparedColumn =
  | { readonly kind: 'fixed'; readonly values: FixedWidthColumn['values'] }
  | TextColumnEncoding;

/** A set of rows checked against its columns and ready to be pulled by DuckDB once. */
export class RowSource {
  readonly rowCount: number;
  readonly #rows: RowColumns;
  readonly #definitions: readonly ColumnDefinition[];
  readonly #columns: readonly PreparedColumn[];
  readonly #encoder = new TextEncoder();
  #scratch = new Uint8Array(4096);
  #nextRow = 0;

  /** Throws `parquet.bad-rows` when a column is missing, of another type or shorter than the rows. */
  constructor(definitions: readonly ColumnDefinition[], rows: RowColumns) {
    if (definitions.length !== rows.columns.length) {
      throw badRows(`${rows.columns.length} columns for a schema of ${definitions.length}`, {});
    }
    this.rowCount = rows.rowCount;
    this.#rows = rows;
    this.#definitions = definitions;
    this.#columns = definitions.map((definition, index) =>
      prepareColumn(definition, ensureExists(rows.columns[index], 'column'), rows.rowCount),
    );
  }

  /** The largest row group, in whole vectors, whose text stays within bounds. */
  rowGroupRows(wanted: number): number {
    let rows = Math.max(VECTOR_ROWS, Math.floor(wanted / VECTOR_ROWS) * VECTOR_ROWS);
    for (const column of this.#columns) {
      if (column.kind !== 'text') continue;
      while (rows > VECTOR_ROWS && largestWindowBytes(column, rows) > ROW_GROUP_TEXT_BYTES_MAX) {
        rows = Math.max(VECTOR_ROWS, Math.floor(rows / 2 / VECTOR_ROWS) * VECTOR_ROWS);
      }
    }
    return rows;
  }

  /**
   * Distinct values up to which a column of a row group becomes a dictionary: DuckDB's own choice, a fifth
   * of the rows, unless a column has to be one.
   */
  dictionarySizeLimit(rowGroupRows: number): number {
    let limit = Math.max(1, Math.floor(Math.min(rowGroupRows, this.rowCount) / 5));
    for (const column of this.#rows.columns) {
      limit = Math.max(limit, dictionaryValuesNeeded(column, this.rowCount, rowGroupRows));
    }
    return limit;
  }

  /** Column names and types as DuckDB binds them. */
  bind(addColumn: (name: string, type: DuckDBType) => void): void {
    this.#definitions.forEach((definition, index) => {
      const column = ensureExists(this.#columns[index], 'column');
      addColumn(definition.name, duckdbType(definition, column));
    });
  }

  /** Fills one chunk with the next rows; zero rows say that there are no more. */
  fill(output: DuckDBDataChunk): void {
    const start = this.#nextRow;
    const count = Math.min(VECTOR_ROWS, this.rowCount - start);
    duckdb.data_chunk_set_size(output.chunk, count);
    if (count === 0) return;
    this.#columns.forEach((column, index) => {
      const vector = duckdb.data_chunk_get_vector(output.chunk, index);
      if (column.kind === 'text') this.#fillText(vector, column, start, count);
      else copyRows(vector, column.kind === 'enum' ? column.codes : column.values, start, count);
    });
    this.#nextRow += count;
  }

  #fillText(
    vector: duckdb.Vector,
    column: Extract<PreparedColumn, { kind: 'text' }>,
    start: number,
    count: number,
  ): void {
    for (let row = 0; row < count; row++) {
      const text = column.values[column.codes[start + row] ?? 0] ?? '';
      // UTF-8 takes at most three bytes for each UTF-16 unit.
      const bound = text.length * 3;
      if (bound > this.#scratch.length) this.#scratch = new Uint8Array(bound * 2);
      const { written } = this.#encoder.encodeInto(text, this.#scratch);
      const bytes = this.#scratch.subarray(0, written);
      duckdb.vector_assign_string_element_len(vector, row, bytes);
    }
  }
}

/** The name under which an instance's row sources are called: `FROM tracelake_rows(<id>)`. */
export const ROW_SOURCE_FUNCTION = 'tracelake_rows';

/** Makes `tracelake_rows(id)` known to a DuckDB instance; `find` throws for an unknown id. */
export function registerRowSources(
  connection: DuckDBConnection,
  find: (id: bigint) => { source: RowSource; signal: AbortSignal | undefined },
): void {
  connection.registerTableFunction(
    DuckDBTableFunction.create({
      name: ROW_SOURCE_FUNCTION,
      parameterTypes: [BIGINT],
      bindFunction: (info) => {
        const id = info.getParameter(0) as bigint;
        const { source } = find(id);
        source.bind((name, type) => {
          info.addResultColumn(name, type);
        });
        info.setCardinality(source.rowCount, true);
        info.setBindData({ id });
      },
      // One reader: rows keep their order, and so the file its bytes.
      initFunction: (info) => info.setMaxThreads(1),
      mainFunction: (info, output) => {
        const { id } = info.getBindData() as { id: bigint };
        const { source, signal } = find(id);
        signal?.throwIfAborted();
        source.fill(output);
      },
    }),
  );
}

function prepareColumn(
  definition: ColumnDefinition,
  column: Column,
  rowCount: number,
): PreparedColumn {
  const { name } = definition;
  if (column.type !== definition.type) {
    throw badRows(`column ${name} holds ${column.type}, not ${definition.type}`, { column: name });
  }
  const length = column.type === 'string' ? column.codes.length : column.values.length;
  if (length < rowCount) {
    throw badRows(`column ${name} has ${length} of ${rowCount} rows`, { column: name });
  }
  if (column.type !== 'string') return { kind: 'fixed', values: column.values };
  const input = { codes: column.codes, dictionary: column.dictionary, rowCount };
  try {
    return encodeTextColumn(input, VECTOR_TEXT_BYTES_MAX);
  } catch (cause) {
    throw badRows(`column ${name} has a code outside its dictionary`, { column: name }, cause);
  }
}

function duckdbType(definition: ColumnDefinition, column: PreparedColumn): DuckDBType {
  switch (definition.type) {
    case 'i64':
      return BIGINT;
    case 'i32':
      return INTEGER;
    case 'u32':
      return UINTEGER;
    case 'f64':
      return DOUBLE;
    case 'bool':
      return BOOLEAN;
    case 'timestamp':
      return TIMESTAMP_NS;
    case 'string':
      return column.kind === 'enum' ? ENUM(column.members) : VARCHAR;
  }
}

function copyRows(
  vector: duckdb.Vector,
  values: ArrayBufferView & { readonly BYTES_PER_ELEMENT: number },
  start: number,
  count: number,
): void {
  const width = values.BYTES_PER_ELEMENT;
  const offset = values.byteOffset + start * width;
  const { buffer } = values;
  if (buffer instanceof ArrayBuffer) {
    duckdb.copy_data_to_vector(vector, 0, buffer, offset, count * width);
    return;
  }
  // Shared memory cannot be handed to the binding.
  const copy = new Uint8Array(buffer, offset, count * width).slice();
  duckdb.copy_data_to_vector(vector, 0, copy.buffer as ArrayBuffer, 0, copy.byteLength);
}

function badRows(message: string, details: Record<string, unknown>, cause?: unknown): ParquetError {
  return new ParquetError('parquet.bad-rows', `cannot write rows: ${message}`, { cause, details });
}
