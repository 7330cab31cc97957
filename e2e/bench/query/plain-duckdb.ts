/** DuckDB's own API over the partitions of a process, with the lake's views and macros. */

import { readdirSync, readFileSync } from 'node:fs';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { SyntheticLake } from './synthetic-lake.ts';

const SQL_SOURCES = new URL('../../../packages/sql/src/', import.meta.url);

export interface PlainDuckDbOptions {
  readonly lake: SyntheticLake;
  readonly threads: number;
  readonly memoryBytes: number;
  /** Of an instance of a view. */
  readonly filesOf: (viewSet: string, instance: string) => readonly string[];
  /** Where answers are written to. */
  readonly answerPath: string;
}

/** Every option but threads and memory is DuckDB's default, its cache of files too. */
export class PlainDuckDb implements AsyncDisposable {
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  readonly #options: PlainDuckDbOptions;

  private constructor(
    instance: DuckDBInstance,
    connection: DuckDBConnection,
    options: PlainDuckDbOptions,
  ) {
    this.#instance = instance;
    this.#connection = connection;
    this.#options = options;
  }

  static async open(options: PlainDuckDbOptions): Promise<PlainDuckDb> {
    const instance = await DuckDBInstance.create(':memory:', {
      threads: String(options.threads),
      memory_limit: `${Math.floor(options.memoryBytes / 1024)}KiB`,
      temp_directory: `${options.answerPath}.spill`,
    });
    const connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    for (const sql of [...macros(), ...views(options)]) await connection.run(sql);
    return new PlainDuckDb(instance, connection, options);
  }

  /** Runs a documented query and writes its rows as CSV, as DuckDB does it; gives their number. */
  async run(sql: string): Promise<number> {
    const { answerPath, lake } = this.#options;
    const plain = withPlainTables(sql, lake.processId);
    const result = await this.#connection.run(`COPY (${plain}) TO '${answerPath}' (FORMAT csv)`);
    return result.rowsChanged;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.closeSync();
    this.#instance.closeSync();
  }
}

function macros(): string[] {
  const directory = new URL('macros/', SQL_SOURCES);
  return ['properties.sql', 'jsonb.sql', 'histograms.sql', 'numbers.sql']
    .filter((file) => readdirSync(directory).includes(file))
    .flatMap((file) =>
      readFileSync(new URL(file, directory), 'utf8')
        .replace(/^--.*\n/gm, '')
        .split(/;\s*(?:\n|$)/)
        .filter((statement) => statement.trim() !== ''),
    );
}

function views({ lake, filesOf }: PlainDuckDbOptions): string[] {
  const { processId, streamId, threadNames } = lake;
  const scan = (viewSet: string, instance: string) =>
    `read_parquet([${filesOf(viewSet, instance).map(quote).join(', ')}])`;
  const spans = (ids: Iterable<string>) =>
    [...ids]
      .map((id) => {
        const name = quote(threadNames.get(id) ?? '');
        const rows = scan('thread_spans', id);
        return `SELECT ${quote(id)} AS stream_id, ${name} AS thread_name, * FROM ${rows}`;
      })
      .join(' UNION ALL ');
  const ofProcess = ['log_entries', 'measures', 'async_events'].map(
    (name) => `CREATE VIEW ${name} AS SELECT * FROM ${scan(name, processId)}`,
  );
  return [
    ...ofProcess,
    `CREATE VIEW thread_spans AS SELECT * FROM ${scan('thread_spans', streamId)}`,
    viewOf('log_patterns', 'log_patterns', {}),
    viewOf('async_spans', 'async_spans', {}),
    ...spanViews('stream', spans([streamId])),
    ...spanViews('process', spans(threadNames.keys())),
    viewOf('threads', 'process_spans.thread', { spans: 'spans_process' }),
    viewOf('async', 'process_spans.async', {}),
    viewOf('process_spans', 'process_spans.both', { threads: 'threads', async: '"async"' }),
  ];
}

function spanViews(scope: 'stream' | 'process', spans: string): string[] {
  const names = ['spans', 'keyed_spans', 'span_stats', 'flame_aggregate'];
  const tables = Object.fromEntries(names.map((name) => [name, `${name}_${scope}`]));
  return [
    `CREATE VIEW spans_${scope} AS ${spans}`,
    ...names.slice(1).map((name) => viewOf(`${name}_${scope}`, name, tables)),
  ];
}

/** A view of the lake's own text; a source that `tables` does not name has its own name. */
function viewOf(name: string, file: string, tables: Readonly<Record<string, string>>): string {
  const text = readFileSync(new URL(`views/${file}.sql`, SQL_SOURCES), 'utf8');
  const body = text.replace(/\{\{(\w+)\}\}/g, (_mark, source: string) => tables[source] ?? source);
  return `CREATE VIEW "${name}" AS\n${body}`;
}

/** The lake's functions as the views that stand for them. */
function withPlainTables(sql: string, processId: string): string {
  return sql
    .replace(/view_instance\('(\w+)', '[^']*'\)/g, '$1')
    .replace(/(log_patterns|async_spans|process_spans)\('[^)]*'\)/g, '$1')
    .replace(/(span_stats|flame_aggregate)\('([^']*)'\)/g, (_call, name: string, id: string) =>
      id === processId ? `${name}_process` : `${name}_stream`,
    );
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
