import { type Column, type RowColumns, Utf8Texts } from '@tracelake/lakehouse';

type Dictionary = Extract<Column, { type: 'string' }>['dictionary'];

/** Text of a column that a row group may hold. */
const ROW_GROUP_TEXT_BYTES_MAX = 32 * 1024 * 1024;

/** The largest row group, halved from what is wanted, whose text stays within bounds. */
export function rowsWithinTextBounds(rows: RowColumns, wanted: number): number {
  let rowGroupRows = wanted;
  for (const column of rows.columns) {
    if (column.type !== 'string' || isSmall(column.dictionary)) continue;
    const lengths = lengthsOf(column.dictionary);
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
function isSmall(dictionary: Dictionary): boolean {
  if (dictionary instanceof Utf8Texts) return dictionary.byteCount <= ROW_GROUP_TEXT_BYTES_MAX;
  let units = 0;
  for (const text of dictionary) units += text.length;
  return units * 3 <= ROW_GROUP_TEXT_BYTES_MAX;
}

function lengthsOf(dictionary: Dictionary): Uint32Array {
  if (!(dictionary instanceof Utf8Texts)) {
    return Uint32Array.from(dictionary, (text) => Buffer.byteLength(text));
  }
  const lengths = new Uint32Array(dictionary.length);
  for (let code = 0; code < lengths.length; code++) lengths[code] = dictionary.lengthOf(code);
  return lengths;
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
