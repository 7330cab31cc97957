/** A file's bytes, one row group after the other, so that no more than one is held. */

import { ensureExists } from '@tracelake/domain';
import type { Column, ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { type ChunkPlacement, type EncodedChunk, placeChunk } from './column-chunk.ts';
import { encodeFooter, FILE_HEADER, type RowGroupPlacement } from './file-footer.ts';
import { NumberEncoder } from './number-columns.ts';
import { badRows } from './row-checks.ts';
import { rowsWithinTextBounds } from './text-bounds.ts';
import { TextColumnEncoder } from './text-columns.ts';

export interface RowGroupRequest {
  readonly columns: readonly ColumnDefinition[];
  /** Checked; at least one row. */
  readonly rows: RowColumns;
  readonly rowGroupRows: number;
  readonly metadata: Readonly<Record<string, string>>;
}

export class RowGroupEncoder {
  readonly #request: RowGroupRequest;
  readonly #numbers = new NumberEncoder();
  readonly #texts = new TextColumnEncoder();

  constructor(request: RowGroupRequest) {
    this.#request = request;
  }

  /** What comes next in the file: the parts of a row group, at last the footer. Throws `parquet.bad-rows`. */
  *encode(): Generator<Uint8Array[], void, undefined> {
    const { columns, rows, metadata } = this.#request;
    const { rowCount } = rows;
    const rowGroupRows = rowsWithinTextBounds(rows, Math.max(1, this.#request.rowGroupRows));
    const rowGroups: RowGroupPlacement[] = [];
    let offset = FILE_HEADER.length;
    yield [FILE_HEADER];
    for (let from = 0; from < rowCount; from += rowGroupRows) {
      const to = Math.min(from + rowGroupRows, rowCount);
      const parts: Uint8Array[] = [];
      const chunks = this.#encodeGroup(from, to, offset, parts);
      rowGroups.push({ rowCount: to - from, offset, chunks });
      for (const { storedBytes } of chunks) offset += storedBytes;
      yield parts;
    }
    yield [encodeFooter({ columns, rowCount, rowGroups, metadata })];
  }

  #encodeGroup(from: number, to: number, start: number, parts: Uint8Array[]): ChunkPlacement[] {
    let offset = start;
    this.#texts.startGroup();
    return this.#request.rows.columns.map((column, index) => {
      const definition = ensureExists(this.#request.columns[index], 'column');
      const chunk = this.#encodeColumn(definition, column, from, to);
      const placement = placeChunk(chunk, to - from, offset, parts);
      offset += placement.storedBytes;
      return placement;
    });
  }

  #encodeColumn(
    { name }: ColumnDefinition,
    column: Column,
    from: number,
    to: number,
  ): EncodedChunk {
    switch (column.type) {
      case 'i64':
      case 'timestamp':
        return this.#numbers.int64(column.values, from, to);
      case 'i32':
      case 'u32':
        return this.#numbers.int32(column.values, from, to);
      case 'f64':
        return this.#numbers.double(column.values, from, to);
      case 'bool':
        return this.#numbers.boolean(column.values, from, to);
      case 'string':
        try {
          return this.#texts.encode(column, from, to);
        } catch (cause) {
          if (!(cause instanceof RangeError)) throw cause;
          throw badRows(
            `column ${name} has a code outside its dictionary`,
            { column: name },
            cause,
          );
        }
    }
  }
}
