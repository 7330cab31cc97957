/** Rows as objects, to compare and to print. */
import { ensureExists } from '@tracelake/domain';
import { type Column, type RowColumns, textOfCode, type ViewSet } from '@tracelake/lakehouse';

export type RowObject = Record<string, string | number | bigint | boolean>;

export function rowObjects(view: Pick<ViewSet, 'columns'>, rows: RowColumns): RowObject[] {
  return Array.from({ length: rows.rowCount }, (_, row) =>
    Object.fromEntries(
      view.columns.map(({ name }, index) => [
        name,
        cell(ensureExists(rows.columns[index], `column ${name}`), row),
      ]),
    ),
  );
}

/** One line a row, sorted: equal for equal sets of rows. */
export function canonicalLines(
  view: Pick<ViewSet, 'columns'>,
  all: readonly RowColumns[],
): string[] {
  return all
    .flatMap((rows) => rowObjects(view, rows))
    .map((row) => Object.values(row).map(String).join('|'))
    .sort();
}

function cell(column: Column, row: number): string | number | bigint | boolean {
  if (column.type === 'string')
    return ensureExists(textOfCode(column.dictionary, column.codes[row] ?? -1), 'text of a code');
  const value = ensureExists(column.values[row], 'value');
  return column.type === 'bool' ? value === 1 : value;
}
