/**
 * Scenario: a stranger sends what could read files, reach the network, change settings, see the system,
 * run for ever or take all memory, while another client asks ordinary questions.
 * Guarantees: each is refused or stopped with an error that says why, no answer is given, the pool lives,
 * and every answer of the other client is right.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type EngineFixture,
  LOG_ENTRIES,
  runRequest,
  startEngine,
} from '../../test/engine-fixture.ts';
import { EngineError, type EngineErrorCode } from './engine-error.ts';

const FILE = "'/etc/passwd'";
const FUNCTION = 'query.function-refused';
const TABLE = 'query.unknown-table';
const NOT_A_SELECT = 'query.not-a-select';
const TIME = 'query.time-limit';
const MEMORY = 'query.memory-limit';
const DEEP = 'query.too-deep';

/** Statements by the code of their refusal. Where resources run out, any of several may be the first. */
const REFUSED: readonly (readonly [readonly EngineErrorCode[], readonly string[]])[] = [
  [
    [FUNCTION],
    [
      `SELECT * FROM read_parquet(${FILE})`,
      `SELECT * FROM read_csv('https://example.com/x.csv')`,
      `SELECT * FROM READ_Text(${FILE})`,
      `SELECT * FROM "read_text"(${FILE})`,
      `SELECT * FROM system.main.read_text(${FILE})`,
      `SELECT\u00a0*\u00a0FROM\u00a0read_text(${FILE})`,
      `SELECT * FROM ｒead_text(${FILE})`,
      `SELECT * FROM/**/read_text/*;*/(${FILE})`,
      `SELECT * FROM read_blob('/proc/self/environ')`,
      `SELECT * FROM read_json('http://127.0.0.1:1/meta-data')`,
      `SELECT * FROM parquet_metadata(${FILE})`,
      `SELECT * FROM sniff_csv(${FILE})`,
      `SELECT * FROM glob('/etc/*')`,
      `WITH x AS (SELECT * FROM read_text(${FILE})) SELECT 1`,
      `SELECT [x FOR x IN (SELECT content FROM read_text(${FILE}))]`,
      `SELECT * FROM range((SELECT count(*) FROM glob('/*')))`,
      `EXPLAIN SELECT * FROM read_text(${FILE})`,
      `SELECT getenv('HOME')`,
      `SELECT current_setting('temp_directory')`,
      `SELECT COLUMNS(lambda c: current_setting(c)) FROM (SELECT 1 AS temp_directory)`,
      `SELECT getvariable('x')`,
      `SELECT write_log('x')`,
      `SELECT sleep_ms(100000)`,
      `SELECT nextval('s')`,
      `SELECT * FROM duckdb_settings()`,
      `SELECT * FROM duckdb_secrets()`,
      `SELECT * FROM pragma_database_size()`,
      `SELECT * FROM query('SELECT 1')`,
      `SELECT * FROM query_table('lake.s1')`,
      `SELECT * FROM json_execute_serialized_sql('{}')`,
      `SELECT * FROM which_secret('x', 's3')`,
    ],
  ],
  [
    [TABLE],
    [
      `SELECT * FROM ${FILE}`,
      `SELECT * FROM "/etc/passwd.csv"`,
      `FROM 'https://example.com/a.parquet'`,
      `SUMMARIZE ${FILE}`,
      `SELECT * FROM duckdb_tables`,
      `SELECT * FROM sqlite_master`,
      `SELECT * FROM information_schema.tables`,
      `SELECT * FROM pg_catalog.pg_class`,
      `SELECT * FROM lake.s1`,
      `SELECT * FROM (WITH duckdb_settings AS (SELECT 1) SELECT * FROM duckdb_settings) a, duckdb_settings`,
      `SELECT * FROM read\u200b_text(${FILE})`,
    ],
  ],
  [
    [NOT_A_SELECT],
    [
      `COPY (SELECT 1) TO '/tmp/x.csv'`,
      `/* SELECT */ COPY t FROM ${FILE}`,
      `EXPORT DATABASE '/tmp/x'`,
      `-- SELECT\nATTACH '/tmp/x.db' AS x`,
      `INSTALL httpfs`,
      `LOAD httpfs`,
      `PRAGMA database_list`,
      `SET memory_limit = '100GB'`,
      `RESET memory_limit`,
      `CALL pragma_version()`,
      `CREATE TABLE t (i INT)`,
      `CREATE SECRET (TYPE s3)`,
      `INSERT INTO lake.s1 VALUES (1)`,
      `DROP SCHEMA lake CASCADE`,
      `USE lake`,
      `BEGIN TRANSACTION`,
      `PREPARE p AS SELECT 1`,
      `SELECT 1; DROP TABLE x`,
      `SELECT 1 /* ; */; COPY (SELECT 1) TO 'x'`,
      `EXPLAIN COPY (SELECT 1) TO 'x'`,
    ],
  ],
  [['query.several-statements'], ['SELECT 1; SELECT 2']],
  [['query.syntax'], [`SELECT '\0'; ATTACH 'x'`, 'SELECT FROM WHERE', 'SELECT 1; garbage']],
  [
    ['query.bad-arguments'],
    [
      `SELECT * FROM view_instance('thread_spans', '../../etc/passwd')`,
      `SELECT * FROM view_instance('x''; ATTACH ''y', 'global')`,
      `SELECT * FROM view_instance('log_entries', (SELECT content FROM read_text(${FILE})))`,
    ],
  ],
  [
    ['query.statement-too-large'],
    [`SELECT '${'x'.repeat(100_000_000)}'`, `SELECT '${'é'.repeat(900_000)}'`],
  ],
  [
    [DEEP],
    [
      nested('SELECT ', '(', '1', ')', 30_000),
      nested('SELECT ', 'abs(', '1', ')', 900),
      nested('SELECT * FROM ', '(SELECT * FROM ', 'range(1)', ')', 5_000),
      `SELECT 1${'+1'.repeat(200_000)}`,
      nested('SELECT ', '[', '1', ']', 3_000),
    ],
  ],
  [
    [TIME, MEMORY, DEEP, 'query.temp-space-limit', 'query.result-too-large', 'query.engine-died'],
    [
      'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r',
      'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT a.n + 1 FROM r a, r b) SELECT * FROM r',
      'SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range % 7 = b.range % 11',
      'SELECT * FROM range(1000000000) a, range(10) b',
      'SELECT list(range) FROM range(100000000)',
      "SELECT length(repeat('x', 3000000000))",
      'SELECT length(list_transform(range(300000000), lambda x: x + 1))',
      "SELECT levenshtein(repeat('a', 200000), repeat('b', 200000))",
      'SELECT * FROM range(100000000) ORDER BY hash(range)',
      `SELECT 1${' UNION ALL SELECT 1'.repeat(30_000)}`,
      `SELECT ${'1,'.repeat(100_000)}1`,
      `WITH ${doublingTables(3_000)} SELECT count(*) FROM a2999`,
    ],
  ],
];

const OTHER_CLIENT_PAUSE_MS = 500;

const LIMITS = { timeMs: 1000, rowsMax: 1_000_000, bytesMax: 100_000_000 };

let engine: EngineFixture;
before(async () => {
  engine = await startEngine({ warmCount: 2, analyseTimeMs: 5000 });
});
after(async () => {
  await engine[Symbol.asyncDispose]();
});

test('every hostile statement is refused or stopped, and another client notices nothing', async () => {
  let isOver = false;
  const otherClient = (async () => {
    let answers = 0;
    for (; !isOver; answers++) {
      const answer = await engine.answer(`SELECT count(*) AS n FROM (${LOG_ENTRIES})`);
      assert.equal(answer.toString(), '{"n":1000}\n');
      await delay(OTHER_CLIENT_PAUSE_MS);
    }
    return answers;
  })();
  let count = 0;
  try {
    const waiting = REFUSED.flatMap(([codes, statements]) =>
      statements.map((sql) => ({ sql, codes })),
    );
    const attack = async () => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        await assertRefused(next.sql, next.codes);
        count += 1;
      }
    };
    await Promise.all([attack(), attack()]);
  } finally {
    isOver = true;
  }
  assert.ok(count >= 60, `${count} statements`);
  assert.ok((await otherClient) >= 3);
  assert.equal(engine.pool.atWorkCount, 0);
});

async function assertRefused(sql: string, codes: readonly EngineErrorCode[]): Promise<void> {
  const what = sql.slice(0, 120);
  await assert.rejects(run(sql), (error) => {
    assert.ok(error instanceof EngineError, `${what}: ${error}`);
    assert.ok(codes.includes(error.code), `${what}: ${error.code} ${error.message.slice(0, 300)}`);
    assert.ok(error.message.length > 10 && error.message.length <= 4000, what);
    return true;
  });
}

/** Reads the whole answer without keeping it. */
async function run(sql: string): Promise<void> {
  const process = await engine.pool.acquire();
  try {
    await process.analyse(sql);
    const { body } = await process.run(runRequest({ limits: LIMITS }));
    for await (const _ of body);
  } finally {
    await engine.pool.release(process);
  }
}

function nested(start: string, open: string, middle: string, close: string, depth: number): string {
  return start + open.repeat(depth) + middle + close.repeat(depth);
}

/** Each has the rows of the one before, squared. */
function doublingTables(count: number): string {
  const tables = Array.from({ length: count }, (_, at) =>
    at === 0
      ? 'a0 AS (SELECT * FROM range(2))'
      : `a${at} AS (SELECT x.* FROM a${at - 1} x, a${at - 1} y)`,
  );
  return tables.join(', ');
}
