/** SQL text of the tables that a statement reads. Names and paths are ours, and quoted all the same. */

import type { RunRequest, TableColumn, TableDefinition } from './protocol.ts';

type Range = RunRequest['range'];

export function createTableSql(definition: TableDefinition, range: Range): string {
  const name = `lake.${quoteName(definition.table)}`;
  const body = 'sql' in definition ? definition.sql : filesSql(definition, range);
  return `CREATE VIEW ${name} AS ${body}`;
}

type FilesDefinition = Extract<TableDefinition, { files: readonly string[] }>;

function filesSql(definition: FilesDefinition, range: Range): string {
  const { columns, files } = definition;
  if (files.length === 0) {
    const nulls = columns.map(({ name, type }) => `NULL::${sqlType(type)} AS ${quoteName(name)}`);
    return `SELECT ${nulls.join(', ')} WHERE false`;
  }
  const list = files.map(quoteText).join(', ');
  const where = predicate(definition, range);
  return `SELECT ${columns.map(columnSql).join(', ')} FROM read_parquet([${list}])${where}`;
}

function columnSql({ name, type }: TableColumn): string {
  const quoted = quoteName(name);
  return type === 'string-list' ? `from_json(${quoted}, '["VARCHAR"]') AS ${quoted}` : quoted;
}

function predicate({ timePredicate }: FilesDefinition, { beginNs, endNs }: Range): string {
  if (timePredicate === undefined) return '';
  const terms: string[] = [];
  if (endNs !== undefined) terms.push(`${quoteName(timePredicate.begin)} <= ${timestamp(endNs)}`);
  if (beginNs !== undefined) terms.push(`${quoteName(timePredicate.end)} >= ${timestamp(beginNs)}`);
  return terms.length === 0 ? '' : ` WHERE ${terms.join(' AND ')}`;
}

/** The largest time that TIMESTAMP_NS holds; its neighbour stands for infinity. */
const TIMESTAMP_MAX = 2n ** 63n - 2n;

function timestamp(timeNs: bigint): string {
  const held = timeNs > TIMESTAMP_MAX ? TIMESTAMP_MAX : timeNs;
  return `make_timestamp_ns(${held < -TIMESTAMP_MAX ? -TIMESTAMP_MAX : held})`;
}

function sqlType(type: TableColumn['type']): string {
  switch (type) {
    case 'i64':
      return 'BIGINT';
    case 'i32':
      return 'INTEGER';
    case 'u32':
      return 'UINTEGER';
    case 'f64':
      return 'DOUBLE';
    case 'bool':
      return 'BOOLEAN';
    case 'timestamp':
      return 'TIMESTAMP_NS';
    case 'string':
      return 'VARCHAR';
    case 'string-list':
      return 'VARCHAR[]';
  }
}

function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
