/** Tables of the catalog database as Parquet files of one moment, for an engine that reads nothing else. */

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { ParquetReader } from '@tracelake/parquet';
import { type LakeCatalog, quoteName, quoteText, type SqlColumn } from '@tracelake/sql';
import { type CatalogTable, type Database, readCatalogLines } from '@tracelake/storage';
import type { TableColumn, TableDefinition } from '../engine/protocol.ts';
import {
  CATALOG_BASES,
  type CatalogSource,
  type CatalogSourceName,
  type QueryRange,
} from './source-selection.ts';

export interface CatalogSnapshotOptions {
  readonly db: Database;
  /** Turns lines of JSON into Parquet. */
  readonly converter: ParquetReader;
  readonly lakeCatalog: LakeCatalog;
  /** Files are left there for whoever removes the directory. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** Reads every table once, whatever the number of sources that need it. */
export async function readCatalogSources(
  sources: readonly CatalogSource[],
  range: QueryRange,
  options: CatalogSnapshotOptions,
): Promise<TableDefinition[]> {
  if (sources.length === 0) return [];
  const { directory, converter, lakeCatalog, signal } = options;
  const bases = new Set(sources.flatMap(({ name }) => CATALOG_BASES[name]));
  await writeLines(bases, range, options);
  const files = new Map<CatalogSourceName, string>();
  for (const name of new Set(sources.map((source) => source.name))) {
    const file = join(directory, `${name}.parquet`);
    const select = conversionOf(name, columnsOf(name, lakeCatalog), directory);
    await converter.rows(
      `COPY (${select}) TO ${quoteText(file)} (FORMAT parquet, COMPRESSION zstd)`,
      {
        signal,
      },
    );
    files.set(name, file);
  }
  return sources.flatMap(({ table, name }) =>
    definitionsOf({ table, name }, columnsOf(name, lakeCatalog), files.get(name) ?? ''),
  );
}

/** Rows made here, as a Parquet file that is removed with the directory. */
export async function writeRows(
  rows: Iterable<object> | AsyncIterable<object>,
  columns: readonly SqlColumn[],
  { path, converter, signal }: { path: string; converter: ParquetReader; signal: AbortSignal },
): Promise<void> {
  const lines = createWriteStream(`${path}.ndjson`);
  for await (const row of rows) {
    if (!lines.write(`${JSON.stringify(row)}\n`)) await once(lines, 'drain', { signal });
  }
  lines.end();
  await finished(lines, { signal });
  const select = `SELECT ${columns.map(({ name }) => quoteName(name)).join(', ')} FROM ${readJson(`${path}.ndjson`, columns)}`;
  await converter.rows(`COPY (${select}) TO ${quoteText(path)} (FORMAT parquet)`, { signal });
}

async function writeLines(
  bases: ReadonlySet<CatalogTable>,
  range: QueryRange,
  { db, directory, signal }: CatalogSnapshotOptions,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const files = new Map(
    [...bases].map((base) => {
      const stream = createWriteStream(linesPath(directory, base));
      stack.defer(() => {
        stream.destroy();
      });
      return [base, stream] as const;
    }),
  );
  // A file that cannot be written is told by `finished`.
  const written = Promise.all([...files.values()].map((stream) => finished(stream, { signal })));
  written.catch(() => {});
  await readCatalogLines(db, {
    tables: [...bases],
    blocksBetween: {
      beginUs: floorToUs(range.beginNs ?? FIRST_NS),
      endUs: floorToUs(range.endNs ?? LAST_NS),
    },
    async onLines(table, lines) {
      const stream = files.get(table);
      const isFull = stream?.write(`${lines.join('\n')}\n`) === false;
      if (isFull && stream !== undefined) {
        await Promise.race([once(stream, 'drain', { signal }), written]);
      }
    },
    signal,
  });
  for (const stream of files.values()) stream.end();
  await written;
}

const FIRST_NS = -(2n ** 62n);
const LAST_NS = 2n ** 63n - 1n;

function floorToUs(timeNs: bigint): bigint {
  const us = timeNs / 1000n;
  return us * 1000n > timeNs ? us - 1n : us;
}

function linesPath(directory: string, base: CatalogTable): string {
  return join(directory, `${base}.ndjson`);
}

function columnsOf(name: CatalogSourceName, catalog: LakeCatalog): readonly SqlColumn[] {
  if (name === 'list_partitions') return catalog.functionColumns.list_partitions;
  return catalog.catalogTables.get(name)?.columns ?? [];
}

/** Names of `list_partitions` that the table of partitions has under another. */
const PARTITION_NAMES: Readonly<Record<string, string>> = {
  view_set_name: 'view_set',
  view_instance_id: 'instance',
  min_event_time: 'min_event_ns',
  max_event_time: 'max_event_ns',
  updated: 'written_at',
  file_path: 'object_key',
  file_size: 'size_bytes',
  file_schema_hash: 'schema_hash',
  source_data_hash: 'source_hash',
  num_rows: 'row_count',
};

/** The select that turns lines into a table as it is stored: bytes in hexadecimal, lists as JSON text. */
function conversionOf(
  name: CatalogSourceName,
  columns: readonly SqlColumn[],
  directory: string,
): string {
  const lines = (base: CatalogTable, of: readonly SqlColumn[]) =>
    readJson(linesPath(directory, base), of.map(asInLines));
  if (name === 'list_partitions') {
    const stored = columns.map((column) => ({
      ...column,
      name: PARTITION_NAMES[column.name] ?? column.name,
    }));
    const picked = columns.map((column, index) => {
      const source = stored[index]?.name ?? column.name;
      return `${converted({ ...column, name: source })} AS ${quoteName(column.name)}`;
    });
    return `SELECT ${picked.join(', ')} FROM ${lines('partitions', stored)}`;
  }
  if (name !== 'blocks') {
    const picked = columns.map((column) => `${converted(column)} AS ${quoteName(column.name)}`);
    return `SELECT ${picked.join(', ')} FROM ${lines(name, columns)}`;
  }
  const parts = (['streams', 'processes'] as const).map((owner) => {
    const prefix = `${owner}.`;
    const own = columns
      .filter((column) => column.name.startsWith(prefix))
      .map((column) => ({ ...column, name: column.name.slice(prefix.length) }));
    const id = owner === 'streams' ? 'stream_id' : 'process_id';
    const idColumn = { name: id, type: 'VARCHAR' };
    return { owner, id, columns: own, rows: lines(owner, [idColumn, ...own]) };
  });
  const own = columns.filter((column) => !column.name.includes('.'));
  const picked = columns.map((column) => {
    const [owner, member] = column.name.includes('.')
      ? column.name.split('.', 2)
      : ['b', column.name];
    return `${converted({ type: column.type, name: member ?? '' }, owner)} AS ${quoteName(column.name)}`;
  });
  const joins = parts.map(
    ({ owner, id, rows }) => `JOIN ${rows} AS ${owner} ON ${owner}.${id} = b.${id}`,
  );
  return `SELECT ${picked.join(', ')} FROM ${lines('blocks', own)} AS b ${joins.join(' ')} ORDER BY b.insert_time, b.block_id`;
}

function asInLines({ name, type }: SqlColumn): SqlColumn {
  if (type === 'TIMESTAMP_NS') return { name, type: 'BIGINT' };
  return { name, type: type === 'BLOB' ? 'VARCHAR' : type };
}

function converted({ name, type }: SqlColumn, from?: string): string {
  const column = `${from === undefined ? '' : `${from}.`}${quoteName(name)}`;
  if (type === 'TIMESTAMP_NS') {
    return name.endsWith('_ns')
      ? `make_timestamp_ns(${column})`
      : `make_timestamp_ns(${column} * 1000)`;
  }
  if (type === 'VARCHAR[]') return `to_json(${column})::VARCHAR`;
  return type === 'BLOB' ? `substr(${column}, 3)` : column;
}

/** Time columns that a range is compared with, as in the reference. */
const TIME_PREDICATES: Partial<Record<CatalogSourceName, { begin: string; end: string }>> = {
  processes: { begin: 'insert_time', end: 'last_update_time' },
  streams: { begin: 'insert_time', end: 'last_update_time' },
  blocks: { begin: 'begin_time', end: 'insert_time' },
};

/** The table, with a stored one beneath it where bytes are to be had back from hexadecimal. */
function definitionsOf(
  { table, name }: CatalogSource,
  columns: readonly SqlColumn[],
  file: string,
): TableDefinition[] {
  const hasBytes = columns.some((column) => column.type === 'BLOB');
  const stored: TableDefinition = {
    table: hasBytes ? `${table}_stored` : table,
    files: [file],
    columns: columns.map(tableColumn),
    timePredicate: TIME_PREDICATES[name],
  };
  if (!hasBytes) return [stored];
  const picked = columns.map((column) => {
    const quoted = quoteName(column.name);
    return column.type === 'BLOB' ? `unhex(${quoted}) AS ${quoted}` : quoted;
  });
  return [
    stored,
    { table, sql: `SELECT ${picked.join(', ')} FROM lake.${quoteName(stored.table)}` },
  ];
}

const COLUMN_TYPES: Readonly<Record<string, TableColumn['type']>> = {
  BIGINT: 'i64',
  INTEGER: 'i32',
  UINTEGER: 'u32',
  DOUBLE: 'f64',
  BOOLEAN: 'bool',
  TIMESTAMP_NS: 'timestamp',
  VARCHAR: 'string',
  'VARCHAR[]': 'string-list',
  BLOB: 'string',
};

export function tableColumn({ name, type }: SqlColumn): TableColumn {
  return { name, type: COLUMN_TYPES[type] ?? 'string' };
}

function readJson(path: string, columns: readonly SqlColumn[]): string {
  const types = columns.map(({ name, type }) => `${quoteText(name)}: ${quoteText(type)}`);
  return `read_json(${quoteText(path)}, format = 'newline_delimited', columns = {${types.join(', ')}})`;
}
