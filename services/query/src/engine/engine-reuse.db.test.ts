/**
 * Scenario: processes that serve one statement after another.
 * Guarantees: a statement finds nothing of the one before it, whatever that left behind; a process whose
 * statement failed, was given up or took too much serves no other; whoever left earlier ends nobody's statement.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type EngineFixture,
  LOG_ENTRIES,
  logTable,
  runRequest,
  startEngine,
} from '../../test/engine-fixture.ts';
import { EngineError, type EngineErrorCode } from './engine-error.ts';
import type { EngineProcess } from './engine-process.ts';
import type { RunRequest } from './protocol.ts';

/** What a statement could leave if it got past the guard: run as part of a definition, before the lock. */
const PLANTED = `SELECT 1 AS one;
  CREATE TABLE planted AS SELECT 42 AS a;
  CREATE TEMP TABLE planted_temp AS SELECT 42 AS a;
  CREATE SEQUENCE planted_sequence;
  SELECT nextval('planted_sequence');
  CREATE MACRO planted_macro() AS 42;
  CREATE TYPE planted_type AS ENUM ('a');
  ATTACH ':memory:' AS planted_database;
  PREPARE planted_statement AS SELECT 42;
  SET VARIABLE planted_variable = 42;
  SET memory_limit = '77MB';
  SET TimeZone = 'Asia/Tokyo';
  SET search_path = 'lake'`;

/** Counts it, wherever it would be seen. */
const LEFT = `SELECT
  (SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'planted%')
  + (SELECT count(*) FROM duckdb_sequences())
  + (SELECT count(*) FROM duckdb_functions() WHERE function_name LIKE 'planted%')
  + (SELECT count(*) FROM duckdb_types() WHERE type_name LIKE 'planted%')
  + (SELECT count(*) FROM duckdb_databases() WHERE database_name LIKE 'planted%')
  + (SELECT count(*) FROM duckdb_prepared_statements() WHERE name LIKE 'planted%')
  + (SELECT count(*) FROM duckdb_variables())
  + (SELECT count(*) FROM duckdb_views() WHERE NOT internal AND view_name <> 's1')
  + (SELECT count(*) FROM duckdb_secrets()) AS left_behind,
  current_setting('memory_limit') AS memory,
  current_setting('TimeZone') AS zone,
  current_setting('search_path') AS path`;

test('a statement finds nothing that the one before it left', async () => {
  await using engine = await startEngine();
  const before = await onceIn(engine, undefined, [{ table: 's1', sql: LEFT }]);
  const tables = [{ table: 's1', sql: PLANTED }];
  const planted = await onceIn(engine, before.process, tables);
  const after = await onceIn(engine, planted.process, [{ table: 's1', sql: LEFT }]);
  assert.equal(after.process, before.process);
  assert.equal(after.answer, before.answer);
  assert.match(after.answer, /"left_behind":0/);
});

test('what was planted would be seen by the statement that plants it', async () => {
  await using engine = await startEngine();
  const tables = [
    { table: 'first', sql: PLANTED },
    { table: 's1', sql: LEFT.replace("AND view_name <> 's1'", '') },
  ];
  const { answer } = await onceIn(engine, undefined, tables);
  assert.doesNotMatch(answer, /"left_behind":[0-9]\b/);
  assert.match(answer, /Tokyo/);
});

test('the files of a statement open to it, and no longer to the next', async () => {
  await using engine = await startEngine();
  const first = await onceIn(engine, undefined, [logTable('s1', [engine.logFile])]);
  assert.match(first.answer, /message 1/);
  const process = await engine.pool.acquire();
  assert.equal(process, first.process);
  await process.analyse(LOG_ENTRIES);
  const sql = `SELECT * FROM read_parquet('${engine.logFile}')`;
  const running = process.run(runRequest({ tables: [{ table: 's1', sql }] }));
  await assertFails(running, 'query.function-refused');
  await engine.pool.release(process);
});

test('answers follow each other whole, whatever their length and format', async () => {
  await using engine = await startEngine();
  let process: EngineProcess | undefined;
  const request = { tables: [logTable('s1', [engine.logFile])] };
  for (const rows of [100_000, 0, 1, 3000]) {
    for (const format of ['ndjson', 'csv'] as const) {
      const sql = `SELECT i FROM range(${rows}) t(i)`;
      const given = await ask(engine, sql, { ...request, format });
      if (process !== undefined) assert.equal(given.process, process);
      process = given.served < 8 ? given.process : undefined;
      assert.equal(given.answer.split('\n').length - 1, format === 'csv' ? rows + 1 : rows);
    }
  }
});

const ENDS: readonly (readonly [string, EngineErrorCode, string, Partial<RunRequest>])[] = [
  ['is refused', 'query.function-refused', "SELECT * FROM read_text('/etc/passwd')", {}],
  ['is not understood', 'query.syntax', 'SELECT FROM WHERE', {}],
  ['fails', 'query.failed', "SELECT error('no') FROM range(10)", {}],
  [
    'fails halfway',
    'query.failed',
    "SELECT CASE WHEN i < 900000 THEN i ELSE error('halfway') END FROM range(1000000) t(i)",
    {},
  ],
  [
    'takes too long',
    'query.time-limit',
    'SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range % 7 = b.range % 11',
    { limits: { timeMs: 300, rowsMax: 10, bytesMax: 1000 } },
  ],
  [
    'has too many rows',
    'query.result-too-large',
    'SELECT * FROM range(100000)',
    { limits: { timeMs: 10_000, rowsMax: 10, bytesMax: 1000 } },
  ],
];

for (const [what, code, sql, request] of ENDS) {
  test(`a statement that ${what} ends its process, though it served others`, async () => {
    await using engine = await startEngine();
    const { process } = await ask(engine, 'SELECT 1 AS one');
    await assertFails(ask(engine, sql, request), code);
    assert.equal(process.isAlive, false);
    const { process: next } = await ask(engine, 'SELECT 1 AS one');
    assert.notEqual(next, process);
  });
}

test('a process whose reader left halfway serves no other', async () => {
  await using engine = await startEngine();
  const process = await engine.pool.acquire();
  await process.analyse('SELECT * FROM range(10000000)');
  const { body } = await process.run(runRequest({}));
  for await (const _ of body) break;
  await engine.pool.release(process);
  assert.equal(process.isAlive, false);
});

test('a client that leaves after its answer ends nobody else', async () => {
  await using engine = await startEngine();
  const client = new AbortController();
  const first = await ask(engine, 'SELECT 1 AS one', {}, client.signal);
  await resting(engine);
  const process = await engine.pool.acquire();
  assert.equal(process, first.process);
  await process.analyse('SELECT * FROM range(300000)');
  const { body } = await process.run(runRequest({}));
  client.abort();
  const bytes = Buffer.concat(await Array.fromAsync(body));
  assert.equal(bytes.toString().split('\n').length - 1, 300_000);
  await engine.pool.release(process);
});

test('a process serves so many statements and no more', async () => {
  await using engine = await startEngine({}, { statementsMax: 3 });
  const processes: EngineProcess[] = [];
  for (let at = 0; at < 4; at++) processes.push((await ask(engine, 'SELECT 1 AS one')).process);
  assert.equal(new Set(processes.slice(0, 3)).size, 1);
  assert.notEqual(processes[3], processes[0]);
  assert.equal(processes[0]?.isAlive, false);
});

test('a process that holds more memory than it may keep serves no other', async () => {
  await using engine = await startEngine({}, { keptBytesMax: 2 ** 20 });
  const { process } = await ask(engine, 'SELECT 1 AS one');
  assert.equal(process.isAlive, false);
});

test('a process that nobody wants for a while is replaced by one that holds nothing', async () => {
  await using engine = await startEngine({ keptTimeMs: 50 });
  const { process } = await ask(engine, 'SELECT 1 AS one');
  while (process.isAlive) await delay(10);
  assert.notEqual((await ask(engine, 'SELECT 1 AS one')).process, process);
});

test('what a statement spilled is gone when the next is served', async () => {
  await using engine = await startEngine();
  const sql = `SELECT count(*) FROM (SELECT DISTINCT i, repeat('x', 40) || i AS t FROM range(2000000) t(i))`;
  const { process } = await ask(engine, sql);
  assert.equal(existsSync(`${process.tempDir}/0`), false);
  const limits = { timeMs: 10_000, rowsMax: 10, bytesMax: 1000 };
  assert.equal((await ask(engine, 'SELECT 1 AS one', { limits })).answer, '{"one":1}\n');
});

/** Runs `LOG_ENTRIES` over the given tables, in the process that is expected. */
async function onceIn(
  engine: EngineFixture,
  expected: EngineProcess | undefined,
  tables: RunRequest['tables'],
) {
  const given = await ask(engine, LOG_ENTRIES, { tables });
  if (expected !== undefined) assert.equal(given.process, expected);
  return given;
}

const served = new WeakMap<EngineProcess, number>();

/** The whole answer, and the process that gave it, once that is done with it. */
async function ask(
  engine: EngineFixture,
  sql: string,
  request: Partial<RunRequest> = {},
  signal?: AbortSignal,
) {
  const process = await engine.pool.acquire(signal);
  served.set(process, (served.get(process) ?? 0) + 1);
  try {
    await process.analyse(sql);
    const { body } = await process.run(runRequest(request));
    const answer = Buffer.concat(await Array.fromAsync(body)).toString();
    return { process, answer, served: served.get(process) ?? 0 };
  } finally {
    await engine.pool.release(process);
    await resting(engine);
  }
}

/** Until every process that came back is kept or gone. */
async function resting(engine: EngineFixture): Promise<void> {
  while (engine.pool.resettingCount > 0) await delay(5);
}

async function assertFails(promise: Promise<unknown>, code: EngineErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof EngineError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}
