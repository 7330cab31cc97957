/** SQL text of the tables that a statement reads. Names and paths are ours, and quoted all the same. */

import { ensureExists } from '@tracelake/domain';
import { quoteName, quoteText } from '@tracelake/sql';
import type { RunRequest, StoredRows, TableColumn, TableDefinition } from './protocol.ts';
import type { ReadStatement } from './statement-reading.ts';

type Range = RunRequest['range'];
type Reading = Pick<ReadStatement, 'derived' | 'named'>;

/**
 * The views that a statement names. What they are made from stands inside them: DuckDB binds a view, with all that lies
 * below it and the files, whenever it is created and each time another one names it.
 */
export function createTablesSql(
  { tables, range }: Pick<RunRequest, 'tables' | 'range'>,
  { derived, named }: Reading,
): string[] {
  const bodies = new Map<string, string>();
  for (const table of tables) bodies.set(table.table, bodySql(table, range));
  for (const { table, sqlOver } of derived) {
    const body = (name: string) => ensureExists(bodies.get(name), `table ${name}`);
    bodies.set(
      table,
      sqlOver((name) => `(${body(name)}\n)`),
    );
  }
  // SQL names the tables before it.
  const keepsAll = tables.some((table) => 'sql' in table);
  return [...bodies]
    .filter(([table]) => keepsAll || named.has(table))
    .map(([table, body]) => `CREATE VIEW lake.${quoteName(table)} AS ${body}`);
}

/** All that a statement may open. */
export function filesOf(tables: readonly TableDefinition[]): string[] {
  return tables.flatMap((table) => {
    if ('files' in table) return table.files;
    return 'parts' in table ? table.parts.flatMap(({ files }) => files) : [];
  });
}

function bodySql(definition: TableDefinition, range: Range): string {
  if ('sql' in definition) return definition.sql;
  if ('files' in definition) return filesSql(definition, range);
  const selects = definition.parts.map(({ named, ...rows }) => {
    const texts = Object.entries(named).map(
      ([name, text]) => `${quoteText(text)} AS ${quoteName(name)}`,
    );
    return `SELECT ${texts.join(', ')}, * FROM (${filesSql(rows, range)})`;
  });
  return selects.join(' UNION ALL ');
}

function filesSql(definition: StoredRows, range: Range): string {
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

function predicate({ timePredicate }: StoredRows, { beginNs, endNs }: Range): string {
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
