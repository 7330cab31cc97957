import type { Column, RowColumns } from '@tracelake/lakehouse';

/** Text of a column that a row group may hold. */
const ROW_GROUP_TEXT_BYTES_MAX = 32 * 1024 * 1024;

/** The largest row group, halved from what is wanted, whose text stays within bounds. */
export function rowsWithinTextBounds(rows: RowColumns, wanted: number): number {
  let rowGroupRows = wanted;
  for (const column of rows.columns) {
    if (column.type !== 'string' || isSmall(column.dictionary)) continue;
    const lengths = Uint32Array.from(column.dictionary, (text) => Buffer.byteLength(text));
    while (
      rowGroupRows > 1 &&
      largestWindowBytes(column, lengths, rows.rowCount, rowGroupRows) > ROW_GROUP_TEXT_BYTES_MAX
    ) {
      rowGroupRows = Math.ceil(rowGroupRows / 2);
    }
  }
  return rowGroupRows;
}

/** However often they are used, texts stand in a row group once. */
function isSmall(dictionary: readonly string[]): boolean {
  let units = 0;
  for (const text of dictionary) units += text.length;
  return units * 3 <= ROW_GROUP_TEXT_BYTES_MAX;
}

function largestWindowBytes(
  { codes }: Extract<Column, { type: 'string' }>,
  lengths: Uint32Array,
  rowCount: number,
  windowRows: number,
): number {
  let largest = 0;
  for (let start = 0; start < rowCount; start += windowRows) {
    const end = Math.min(start + windowRows, rowCount);
    let bytes = 0;
    for (let row = start; row < end; row++) bytes += lengths[codes[row] ?? 0] ?? 0;
    if (bytes > largest) largest = bytes;
  }
  return largest;
}
