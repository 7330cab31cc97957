/** An engine pool with small limits, a Parquet file for it to read, and whole answers. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import {
  defaultEngineOptions,
  EnginePool,
  type EnginePoolOptions,
} from '../src/engine/engine-pool.ts';
import type { EngineSettings, RunRequest, TableDefinition } from '../src/engine/protocol.ts';

const PROCESS_ID = '0192d3b4-5c6d-7e8f-9a0b-1c2d3e4f5a6b';

/** Rows 0 to 999: `time` is nanoseconds 0 to 999, `msg` has three values. */
export const LOG_ENTRIES = `SELECT * FROM view_instance('log_entries', '${PROCESS_ID}')`;

const COLUMNS = [
  { name: 'time', type: 'timestamp' },
  { name: 'level', type: 'i32' },
  { name: 'msg', type: 'string' },
] as const;

export interface EngineFixture extends AsyncDisposable {
  readonly pool: EnginePool;
  readonly logFile: string;
  /** The whole answer; the tables of the statement are all `log_entries`. */
  answer(sql: string, request?: Partial<RunRequest>): Promise<Buffer>;
}

const LIMITS = { timeMs: 10_000, rowsMax: 100_000_000, bytesMax: 2 ** 32 };

export async function startEngine(
  options: Partial<EnginePoolOptions> = {},
  settings: Partial<EngineSettings> = {},
): Promise<EngineFixture> {
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-engine-'));
  const logFile = join(directory, 'log.parquet');
  await writeLogFile(logFile);
  const pool = new EnginePool(smallOptions(directory, options, settings));
  const fixture = {
    pool,
    logFile,
    answer: async (sql: string, request: Partial<RunRequest> = {}) => {
      const engine = await pool.acquire();
      try {
        const { sources } = await engine.analyse(sql);
        const tables = sources.map(({ table }) => logTable(table, [logFile]));
        const { body } = await engine.run(runRequest({ tables, ...request }));
        return Buffer.concat(await Array.fromAsync(body));
      } finally {
        await pool.release(engine);
      }
    },
    [Symbol.asyncDispose]: async () => {
      await pool[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
  return fixture;
}

export function runRequest(request: Partial<RunRequest>): RunRequest {
  return { tables: [], format: 'ndjson', params: [], range: {}, limits: LIMITS, ...request };
}

export function logTable(table: string, files: readonly string[]): TableDefinition {
  return { table, files, columns: COLUMNS, timePredicate: { begin: 'time', end: 'time' } };
}

function smallOptions(
  directory: string,
  options: Partial<EnginePoolOptions>,
  own: Partial<EngineSettings>,
): EnginePoolOptions {
  const defaults = defaultEngineOptions(join(directory, 'engines'));
  const settings = {
    ...defaults.settings,
    memoryBytes: 256 * 2 ** 20,
    processBytesMax: 768 * 2 ** 20,
    tempBytesMax: 64 * 2 ** 20,
    ...own,
  };
  return { ...defaults, settings, startTimeMs: 60_000, warmCount: 1, ...options };
}

async function writeLogFile(path: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run(
    `COPY (SELECT make_timestamp_ns(i) AS time, i::INTEGER AS level, 'message ' || (i % 3) AS msg
     FROM range(1000) t(i)) TO '${path}'`,
  );
  connection.closeSync();
  instance.closeSync();
}
