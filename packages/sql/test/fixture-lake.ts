/** The recordings of the fixtures as Parquet files and catalog tables, for the engine to query. */

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureExists } from '@tracelake/domain';
import {
  canonicalJson,
  compareInsertOrder,
  compareStreamOrder,
  createViewRegistry,
  type RowColumns,
  type SourceBlock,
  threadDisplayName,
  type ViewSet,
} from '@tracelake/lakehouse';
import { writeParquet } from '@tracelake/parquet';
import {
  blocksOf,
  decodeLimits,
  fixtureCases,
  loadRecordedProcess,
  type RecordedProcess,
} from '@tracelake/test-kit';
import { type SourceRef, type SqlColumn, sqlColumnsOf } from '../src/index.ts';
import { quoteName, quoteText } from '../src/sql-text.ts';
import { catalog, SqlEngine } from './sql-engine.ts';

interface InstanceFiles {
  readonly viewSet: string;
  readonly instance: string;
  readonly processId: string;
  readonly threadName: string;
  readonly paths: string[];
}

export type JsonRow = Record<string, unknown>;

/** Every view instance of every recording, and an engine over them. */
export class FixtureLake implements AsyncDisposable {
  readonly engine: SqlEngine;
  readonly recordings: ReadonlyMap<string, ReturnType<typeof loadRecordedProcess>>;
  readonly #instances: readonly InstanceFiles[];
  readonly #directory: string;

  private constructor(
    engine: SqlEngine,
    recordings: FixtureLake['recordings'],
    instances: readonly InstanceFiles[],
    directory: string,
  ) {
    this.engine = engine;
    this.recordings = recordings;
    this.#instances = instances;
    this.#directory = directory;
  }

  static async open(): Promise<FixtureLake> {
    const directory = await mkdtemp(join(tmpdir(), 'tracelake-sql-'));
    await mkdir(directory, { recursive: true });
    const recordings = new Map(fixtureCases().map((name) => [name, loadRecordedProcess(name)]));
    const instances: InstanceFiles[] = [];
    for (const recording of recordings.values())
      for (const view of createViewRegistry().list())
        for (const streamId of view.instanceRule === 'process' ? [''] : recording.streams.keys())
          instances.push(await writeInstance(directory, view, recording, streamId));
    const engine = await SqlEngine.open();
    return new FixtureLake(engine, recordings, instances, directory);
  }

  recording(name: string): ReturnType<typeof loadRecordedProcess> {
    return ensureExists(this.recordings.get(name), `recording ${name}`);
  }

  /** Runs a statement as the query service does: what it reads is created, then its rewritten form runs. */
  async rows(sql: string): Promise<JsonRow[]> {
    const { connection } = this.engine;
    const { sources, derived } = await this.engine.analyse(sql);
    const rewritten = await this.engine.rewrite(sql);
    const tables = [...sources.map(({ table }) => table), ...derived.map(({ table }) => table)];
    for (const source of sources) await this.#create(source.table, this.#sourceSql(source));
    for (const { table, sqlOver } of derived)
      await this.#create(
        table,
        sqlOver((name) => `lake.${quoteName(name)}`),
      );
    try {
      const reader = await connection.runAndReadAll(rewritten);
      return reader.getRowObjectsJson() as JsonRow[];
    } finally {
      for (const table of tables.reverse())
        await connection.run(`DROP VIEW IF EXISTS lake.${quoteName(table)}`);
    }
  }

  async #create(table: string, sql: string): Promise<void> {
    await this.engine.connection.run(`CREATE VIEW lake.${quoteName(table)} AS ${sql}`);
  }

  #sourceSql(source: SourceRef): string {
    if (source.kind === 'view') {
      const columns = sqlColumnsOf(catalog.views.get(source.viewSet).columns);
      const files = this.#instances.filter(
        ({ viewSet, instance }) =>
          viewSet === source.viewSet &&
          (source.instance === 'global' || instance === source.instance),
      );
      return filesSql(
        files.flatMap(({ paths }) => paths),
        columns,
      );
    }
    if (source.kind === 'catalog') return this.#catalogSql(source.name);
    const columns = catalog.functionColumns[source.name];
    if (source.name !== 'spans') return emptySql(columns);
    const [id] = source.args;
    const parts = this.#instances
      .filter(({ viewSet, paths }) => viewSet === 'thread_spans' && paths.length > 0)
      .filter(({ instance, processId }) => instance === id || processId === id)
      .map(
        ({ instance, threadName, paths }) =>
          `SELECT ${quoteText(instance)} AS stream_id, ${quoteText(threadName)} AS thread_name, * ` +
          `FROM read_parquet(${listOf(paths)})`,
      );
    return parts.length === 0 ? emptySql(columns) : parts.join(' UNION ALL ');
  }

  #catalogSql(name: string): string {
    const { columns } = ensureExists(catalog.catalogTables.get(name), name);
    const rows = [...this.recordings.values()].flatMap((recorded) => catalogRows(name, recorded));
    if (rows.length === 0) return emptySql(columns);
    const values = rows.map(
      (row) =>
        `(${columns.map((column) => `CAST(${row[column.name] ?? 'NULL'} AS ${column.type})`).join(', ')})`,
    );
    const names = columns.map((column) => quoteName(column.name)).join(', ');
    return `SELECT * FROM (VALUES ${values.join(', ')}) AS rows (${names})`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function writeInstance(
  directory: string,
  view: ViewSet,
  recorded: RecordedProcess,
  streamId: string,
): Promise<InstanceFiles> {
  const { processId } = recorded.process;
  const instance = streamId || processId;
  const stream = [...recorded.streams.values()].find((each) => each.streamId === streamId);
  const { rows, tail } = builtRows(view, recorded, streamId);
  const paths: string[] = [];
  for (const part of tail === undefined ? [rows] : [rows, tail]) {
    if (part.rowCount === 0) continue;
    const path = join(directory, `${view.name}.${instance}.${paths.length}.parquet`);
    await writeParquet({ path, columns: view.columns, rows: part, metadata: {} });
    paths.push(path);
  }
  const threadName = stream === undefined ? '' : threadDisplayName(stream);
  return { viewSet: view.name, instance, processId, threadName, paths };
}

function builtRows(
  view: ViewSet,
  recorded: RecordedProcess,
  streamId: string,
): { rows: RowColumns; tail: RowColumns | undefined } {
  const blocks = blocksOf(recorded, { tag: view.streamTag, ...(streamId && { streamId }) });
  blocks.sort(view.folds ? compareStreamOrder : compareInsertOrder);
  const builder = view.createRunBuilder(recorded.context, undefined);
  for (const block of blocks) builder.add(block, parsedBlock(view, recorded, block));
  return builder.finish();
}

function parsedBlock(view: ViewSet, recorded: RecordedProcess, block: SourceBlock): unknown {
  return view.parseBlock({
    process: recorded.process,
    stream: ensureExists(recorded.streams.get(block.streamId), 'stream'),
    block,
    payload: ensureExists(recorded.payloads.get(block.blockId), 'payload'),
    calibration: recorded.context.calibration,
    limits: decodeLimits,
  });
}

/** Rows of a catalog table, each value as SQL. */
function catalogRows(name: string, recorded: RecordedProcess): Record<string, string>[] {
  const { process, streams, blocks } = recorded;
  if (name === 'processes') {
    const { processId, exe, username, computer, properties } = process;
    return [
      {
        ...texts({ process_id: processId, exe, username, computer }),
        properties: quoteText(canonicalJson(properties)),
        start_time: `make_timestamp_ns(${process.startNs})`,
        tsc_frequency: `${process.tscFrequencyHz}`,
      },
    ];
  }
  if (name === 'streams')
    return [...streams.values()].map(({ streamId, processId, tags, properties }) => ({
      ...texts({ stream_id: streamId, process_id: processId }),
      tags: listOf(tags),
      properties: quoteText(canonicalJson(properties)),
    }));
  if (name !== 'blocks') return [];
  return blocks.map((block) => ({
    ...texts({
      block_id: block.blockId,
      stream_id: block.streamId,
      process_id: block.processId,
      'processes.exe': process.exe,
    }),
    begin_time: `make_timestamp_ns(${block.beginNs})`,
    end_time: `make_timestamp_ns(${block.endNs})`,
    nb_objects: `${block.objectCount}`,
    'streams.tags': listOf(streams.get(block.streamId)?.tags ?? []),
  }));
}

function texts(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, text]) => [name, quoteText(text)]));
}

function filesSql(paths: readonly string[], columns: readonly SqlColumn[]): string {
  return paths.length === 0 ? emptySql(columns) : `SELECT * FROM read_parquet(${listOf(paths)})`;
}

function emptySql(columns: readonly SqlColumn[]): string {
  const names = columns.map(({ name, type }) => `CAST(NULL AS ${type}) AS ${quoteName(name)}`);
  return `SELECT ${names.join(', ')} WHERE false`;
}

function listOf(values: readonly string[]): string {
  return `[${values.map(quoteText).join(', ')}]`;
}
