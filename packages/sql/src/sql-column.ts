import type { ColumnType } from '@tracelake/lakehouse';

/** A column in the engine's words. */
export interface SqlColumn {
  readonly name: string;
  /** A type of the engine, as SQL writes it: `TIMESTAMP_NS`, `VARCHAR[]`. */
  readonly type: string;
}

const SQL_TYPES: Readonly<Record<ColumnType, string>> = {
  i64: 'BIGINT',
  i32: 'INTEGER',
  u32: 'UINTEGER',
  f64: 'DOUBLE',
  bool: 'BOOLEAN',
  timestamp: 'TIMESTAMP_NS',
  string: 'VARCHAR',
};

export function sqlTypeOf(type: ColumnType): string {
  return SQL_TYPES[type];
}

/** Columns from lines of `name type`; a name never has a space. */
export function columnsFrom(text: string): SqlColumn[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [name = '', type = ''] = line.trim().split(/\s+/);
      return { name, type };
    });
}
