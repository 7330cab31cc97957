/** Rows of a view as DuckDB reads them from its Parquet files, and as the fixtures expect them. */

import { DuckDBInstance } from '@duckdb/node-api';
import { ensureExists } from '@tracelake/domain';
import { createViewRegistry, schemaHashOf, type ViewRegistry } from '@tracelake/lakehouse';
import type { CsvTable } from '@tracelake/test-kit';
import type { TestLake } from './test-lake.ts';

/** Local paths of an instance's files. */
export async function partitionPaths(
  lake: TestLake,
  viewSet: string,
  instance: string,
  registry: ViewRegistry = createViewRegistry(),
): Promise<string[]> {
  const schemaHash = schemaHashOf(registry.get(viewSet));
  const partitions = await lake.catalog.listPartitions(viewSet, instance);
  return partitions
    .filter((partition) => partition.schemaHash === schemaHash && partition.objectKey !== null)
    .map(({ objectKey }) => ensureExists(lake.objectStore.localPath(objectKey ?? ''), 'path'));
}

/** Columns of all rows of an instance as text, times as nanoseconds since the epoch; sorted. */
export async function readViewRows(
  lake: TestLake,
  target: { readonly viewSet: string; readonly instance: string; readonly columns: string[] },
  registry?: ViewRegistry,
): Promise<string[][]> {
  const paths = await partitionPaths(lake, target.viewSet, target.instance, registry);
  if (paths.length === 0) return [];
  const files = paths.map((path) => `'${path}'`).join(', ');
  const rows = await queryDuckdb(
    `SELECT ${target.columns.map(columnAsText).join(', ')} FROM read_parquet([${files}])`,
  );
  return sortRows(rows.map((row) => row.map(String)));
}

async function queryDuckdb(sql: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRows() as unknown[][];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** The expected rows in the same form. */
export function expectedRows({ header, rows }: CsvTable): string[][] {
  return sortRows(rows.map((row) => row.map((text, index) => canonical(header[index], text))));
}

const TIME_COLUMNS = new Set(['time', 'begin', 'end', 'insert_time']);

function columnAsText(name: string): string {
  return TIME_COLUMNS.has(name) ? `epoch_ns("${name}")::VARCHAR` : `"${name}"::VARCHAR`;
}

function canonical(name: string | undefined, text: string): string {
  // DuckDB and the recording print the same doubles in different ways.
  if (name === 'value') return String(Number(text));
  if (name === 'properties') return canonicalJson(text);
  return text;
}

/** Applied to rows that were read, so that both sides print alike. */
export function canonicalRows(columns: string[], rows: string[][]): string[][] {
  return sortRows(rows.map((row) => row.map((text, index) => canonical(columns[index], text))));
}

function canonicalJson(text: string): string {
  const value = JSON.parse(text) as Record<string, unknown>;
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort()));
}

function sortRows(rows: string[][]): string[][] {
  const keyed = rows.map((row) => ({ row, key: JSON.stringify(row) }));
  keyed.sort((first, second) => (first.key < second.key ? -1 : first.key > second.key ? 1 : 0));
  return keyed.map(({ row }) => row);
}
