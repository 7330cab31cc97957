/**
 * How a dictionary column of strings is handed to DuckDB.
 *
 * As ENUM codes no string crosses into DuckDB per row (five times cheaper), but the writer repeats the
 * whole enum in each row group; past `ENUM_MEMBERS_MAX` values plain text is smaller and as fast.
 * Codes are renumbered by first use, so that the file depends on the rows alone and not on the
 * history of the dictionary they came with.
 */

import { TextDictionary } from '@tracelake/domain';

/** Above this many distinct values, ENUM pages outgrow DuckDB's own choice of encoding. */
const ENUM_MEMBERS_MAX = 8192;

export type TextColumnEncoding =
  | { readonly kind: 'enum'; readonly members: readonly string[]; readonly codes: CodeArray }
  | { readonly kind: 'text'; readonly values: readonly string[]; readonly codes: Uint32Array };

type CodeArray = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

export interface TextColumnInput {
  readonly codes: Uint32Array;
  readonly dictionary: readonly string[];
  readonly rowCount: number;
}

/**
 * Chooses the encoding. `textBytesMax` bounds the text that the rows of one DuckDB vector may hold
 * together; a column beyond it stays an ENUM however many members it has.
 */
export function encodeTextColumn(input: TextColumnInput, textBytesMax: number): TextColumnEncoding {
  const { members, codes } = renumberByFirstUse(input);
  if (members.some(hasNul)) return { kind: 'text', values: members, codes };
  if (members.length <= ENUM_MEMBERS_MAX) {
    return { kind: 'enum', members, codes: narrowCodes(codes, members.length) };
  }
  const encoding = { kind: 'text', values: members, codes } as const;
  if (largestWindowBytes(encoding, VECTOR_ROWS) > textBytesMax) {
    return { kind: 'enum', members, codes: narrowCodes(codes, members.length) };
  }
  return encoding;
}

/** Rows of a DuckDB vector: the granularity at which row groups are cut. */
export const VECTOR_ROWS = 2048;

/** The largest number of UTF-8 bytes among the windows of `windowRows` rows. */
export function largestWindowBytes(
  encoding: Extract<TextColumnEncoding, { kind: 'text' }>,
  windowRows: number,
): number {
  const { codes, values } = encoding;
  const lengths = Uint32Array.from(values, (text) => Buffer.byteLength(text));
  let largest = 0;
  for (let start = 0; start < codes.length; start += windowRows) {
    const end = Math.min(start + windowRows, codes.length);
    let bytes = 0;
    for (let row = start; row < end; row++) bytes += lengths[codes[row] ?? 0] ?? 0;
    if (bytes > largest) largest = bytes;
  }
  return largest;
}

function hasNul(text: string): boolean {
  return text.includes('\0');
}

/** Lone surrogates become U+FFFD here: Parquet strings are UTF-8, and two of them may then be equal. */
function renumberByFirstUse(input: TextColumnInput): {
  members: string[];
  codes: Uint32Array<ArrayBuffer>;
} {
  const unseen = 0xffff_ffff;
  const newCodes = new Uint32Array(input.dictionary.length).fill(unseen);
  const dictionary = new TextDictionary();
  const codes = new Uint32Array(input.rowCount);
  for (let row = 0; row < input.rowCount; row++) {
    const oldCode = input.codes[row] ?? unseen;
    let code = newCodes[oldCode];
    if (code === undefined) throw new RangeError(`string code ${oldCode} of row ${row}`);
    if (code === unseen) {
      code = dictionary.codeOf((input.dictionary[oldCode] ?? '').toWellFormed());
      newCodes[oldCode] = code;
    }
    codes[row] = code;
  }
  return { members: dictionary.texts, codes };
}

/** DuckDB stores an ENUM of up to 256 members in one byte, of up to 65,536 in two. */
function narrowCodes(codes: Uint32Array<ArrayBuffer>, memberCount: number): CodeArray {
  if (memberCount <= 0xff) return Uint8Array.from(codes);
  if (memberCount <= 0xffff) return Uint16Array.from(codes);
  return codes;
}
