/** Rows in memory: one typed array a column. Strings are always dictionary columns. */

import { Utf8Texts } from './utf8-texts.ts';

export type ColumnType = 'i64' | 'i32' | 'u32' | 'f64' | 'bool' | 'timestamp' | 'string';

export interface ColumnDefinition {
  readonly name: string;
  /** `timestamp` is nanoseconds since the Unix epoch (UTC). */
  readonly type: ColumnType;
  readonly nullable?: boolean;
}

export type Column =
  | { readonly type: 'i64' | 'timestamp'; readonly values: BigInt64Array }
  | { readonly type: 'i32'; readonly values: Int32Array }
  | { readonly type: 'u32'; readonly values: Uint32Array }
  | { readonly type: 'f64'; readonly values: Float64Array }
  | { readonly type: 'bool'; readonly values: Uint8Array }
  | {
      readonly type: 'string';
      readonly codes: Uint32Array;
      readonly dictionary: readonly string[] | Utf8Texts;
    };

/** `columns` stand in the order of the view's column definitions. */
export interface RowColumns {
  readonly rowCount: number;
  readonly columns: readonly Column[];
}

/** The text of a code of a dictionary; undefined when it has none. */
export function textOfCode(
  dictionary: readonly string[] | Utf8Texts,
  code: number,
): string | undefined {
  if (!(dictionary instanceof Utf8Texts)) return dictionary[code];
  return code < dictionary.length ? dictionary.textOf(code) : undefined;
}
