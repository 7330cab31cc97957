import { ensureExists } from '@tracelake/domain';
import type { ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { ParquetError } from '../parquet-error.ts';

/**
 * Throws `parquet.bad-rows` when there are no rows, or a column is missing, of another type or shorter than
 * the rows.
 */
export function checkRows(definitions: readonly ColumnDefinition[], rows: RowColumns): void {
  const { rowCount, columns } = rows;
  if (rowCount === 0) throw badRows('there are none', {});
  if (definitions.length !== columns.length) {
    throw badRows(`${columns.length} columns for a schema of ${definitions.length}`, {});
  }
  for (const [index, { name, type }] of definitions.entries()) {
    const column = ensureExists(columns[index], 'column');
    if (column.type !== type) {
      throw badRows(`column ${name} holds ${column.type}, not ${type}`, { column: name });
    }
    const length = column.type === 'string' ? column.codes.length : column.values.length;
    if (length < rowCount) {
      throw badRows(`column ${name} has ${length} of ${rowCount} rows`, { column: name });
    }
  }
}

export function badRows(
  message: string,
  details: Record<string, unknown>,
  cause?: unknown,
): ParquetError {
  return new ParquetError('parquet.bad-rows', `cannot write rows: ${message}`, { cause, details });
}
