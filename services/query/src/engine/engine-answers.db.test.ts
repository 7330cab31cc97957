/**
 * Scenario: statements over a Parquet file, through a child process, in each format.
 * Guarantees: nanoseconds and 64-bit integers are exact everywhere, the range bounds what is read, and an
 * answer that was cut never looks whole.
 */

import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { ensureExists } from '@tracelake/domain';
import { type Dictionary, RecordBatchReader, type Table, tableFromIPC } from 'apache-arrow';
import {
  type EngineFixture,
  LOG_ENTRIES,
  logTable,
  runRequest,
  startEngine,
} from '../../test/engine-fixture.ts';
import { EngineError, type EngineErrorCode } from './engine-error.ts';

let engine: EngineFixture;
before(async () => {
  engine = await startEngine();
});
after(async () => {
  await engine[Symbol.asyncDispose]();
});

const VALUES = `SELECT 9007199254740993 AS large, 42::BIGINT AS small, 18446744073709551615::UBIGINT AS u,
  1763690000000000001 - 1 AS ns, 2.5::DOUBLE AS d, 1e10 AS e, 0.1::FLOAT AS f, true AS b, NULL::INTEGER AS n,
  'a "quoted", text' AS s, make_timestamp_ns(1763690000000000001) AS t, make_timestamp_ns(-1) AS before,
  [1, NULL] AS l, {'k': ['v']} AS st, 12.340::DECIMAL(10, 3) AS dec, (2::HUGEINT ** 3)::HUGEINT AS h,
  '\\xAB'::BLOB AS blob, DATE '2020-02-29' AS day, '' AS empty`;

test('JSON keeps nanoseconds, and integers that a double cannot hold as strings', async () => {
  const [row] = JSON.parse((await engine.answer(VALUES, { format: 'json' })).toString());
  assert.deepEqual(row, {
    large: '9007199254740993',
    small: 42,
    u: '18446744073709551615',
    ns: 1763690000000000000,
    d: 2.5,
    e: 1e10,
    f: 0.1,
    b: true,
    n: null,
    s: 'a "quoted", text',
    t: '2025-11-21T01:53:20.000000001Z',
    before: '1969-12-31T23:59:59.999999999Z',
    l: [1, null],
    st: { k: ['v'] },
    dec: 12.34,
    h: 8,
    blob: 'qw==',
    day: '2020-02-29',
    empty: '',
  });
});

test('CSV tells null from the empty text and quotes what needs it', async () => {
  const lines = (await engine.answer(VALUES, { format: 'csv' })).toString().split('\n');
  assert.equal(lines[0], 'large,small,u,ns,d,e,f,b,n,s,t,before,l,st,dec,h,blob,day,empty');
  assert.equal(
    lines[1],
    '9007199254740993,42,18446744073709551615,1763690000000000000,2.5,10000000000,0.1,true,,' +
      '"a ""quoted"", text",2025-11-21T01:53:20.000000001Z,1969-12-31T23:59:59.999999999Z,' +
      '"[1,null]","{""k"":[""v""]}",12.340,8,qw==,2020-02-29,""',
  );
});

test('Arrow keeps each value, its type and the time zone', async () => {
  const table = tableFromIPC(await engine.answer(VALUES, { format: 'arrow' }));
  const raw = (name: string) => table.getChild(name)?.data[0]?.values;
  assert.equal(raw('large')[0], 9007199254740993n);
  assert.equal(raw('u')[0], 18446744073709551615n);
  assert.equal(raw('t')[0], 1763690000000000001n);
  assert.equal(raw('before')[0], -1n);
  assert.equal(String(typeOf(table, 't')), 'Timestamp<NANOSECOND, UTC>');
  assert.equal(String(typeOf(table, 's')), 'Dictionary<Int32, Utf8>');
  assert.equal(String(typeOf(table, 'dec')), 'Decimal[10e+3]');
  assert.equal(table.getChild('s')?.get(0), 'a "quoted", text');
  assert.equal(table.getChild('n')?.get(0), null);
  assert.deepEqual([...first(table, 'l')], [1, null]);
  assert.deepEqual([...first(table, 'st').k], ['v']);
  assert.equal(raw('dec')[0], 12340);
  assert.equal(raw('h')[0], 8);
  assert.equal(table.getChild('b')?.get(0), true);
  assert.deepEqual([...first(table, 'blob')], [0xab]);
});

test('Arrow answers of many batches keep every row, null and text', async () => {
  const sql = `SELECT i, CASE WHEN i % 5 = 0 THEN NULL ELSE 'text number ' || (i % 3000) END AS low,
    'distinct text ' || i AS high, CASE WHEN i % 7 = 0 THEN NULL ELSE i END AS maybe
    FROM range(100000) t(i)`;
  const bytes = await engine.answer(sql, { format: 'arrow' });
  let row = 0;
  for (const batch of RecordBatchReader.from(bytes)) {
    const [i, low, high, maybe] = ['i', 'low', 'high', 'maybe'].map((name) => batch.getChild(name));
    for (let at = 0; at < batch.numRows; at++, row++) {
      assert.equal(i?.get(at), BigInt(row));
      assert.equal(low?.get(at), row % 5 === 0 ? null : `text number ${row % 3000}`);
      assert.equal(high?.get(at), `distinct text ${row}`);
      assert.equal(maybe?.get(at), row % 7 === 0 ? null : BigInt(row));
    }
  }
  assert.equal(row, 100_000);
});

test('an answer without rows still has its columns', async () => {
  const sql = `SELECT time, msg FROM (${LOG_ENTRIES}) WHERE false`;
  const answer = async (format: 'json' | 'ndjson' | 'csv' | 'arrow') =>
    await engine.answer(sql, { format });
  assert.deepEqual(JSON.parse((await answer('json')).toString()), []);
  assert.equal((await answer('ndjson')).toString(), '');
  assert.equal((await answer('csv')).toString(), 'time,msg\n');
  const table = tableFromIPC(await answer('arrow'));
  assert.deepEqual(table.schema.names, ['time', 'msg']);
  assert.equal(table.numRows, 0);
});

test('the range is inclusive at both ends, and open where it is not given', async () => {
  const sql = `SELECT count(*) AS n, epoch_ns(min(time)) AS a, epoch_ns(max(time)) AS b FROM (${LOG_ENTRIES})`;
  const within = await engine.answer(sql, { range: { beginNs: 10n, endNs: 20n } });
  assert.equal(within.toString(), '{"n":11,"a":10,"b":20}\n');
  const from = await engine.answer(sql, { range: { beginNs: 990n } });
  assert.equal(from.toString(), '{"n":10,"a":990,"b":999}\n');
});

test('tables join with themselves, through CTEs and views, and may be empty', async () => {
  const sql = `WITH a AS (${LOG_ENTRIES}) SELECT count(*) AS n FROM a JOIN a AS b USING (time)
    WHERE a.msg = 'message 1'`;
  assert.equal((await engine.answer(sql)).toString(), '{"n":333}\n');
  const tables = [logTable('s1', [])];
  assert.equal((await engine.answer(sql, { tables })).toString(), '{"n":0}\n');
});

test('parameters keep their types, and their number is checked', async () => {
  const sql = 'SELECT $1 + 1 AS a, $2 AS b, $3 AS c, $4 IS NULL AS d, $1 AS again';
  const params = [9007199254740993n, "it's; --", 0.5, null];
  assert.equal(
    (await engine.answer(sql, { params })).toString(),
    '{"a":9007199254740994,"b":"it\'s; --","c":0.5,"d":true,"again":"9007199254740993"}\n',
  );
  await assertFails(engine.answer('SELECT $1', { params: [] }), 'query.bad-parameter');
  await assertFails(engine.answer('SELECT 1', { params: [1] }), 'query.bad-parameter');
});

test('EXPLAIN names its sources and is not run', async () => {
  const process = await engine.pool.acquire();
  const { explain, sources } = await process.analyse(`/* why */ explain ${LOG_ENTRIES}`);
  assert.equal(explain, true);
  assert.equal(sources.length, 1);
  await assertFails(process.run(runRequest({})), 'query.engine-failed');
  await engine.pool.release(process);
});

test('no file opens but those of the statement itself', async () => {
  const tables = [
    logTable('s1', [engine.logFile]),
    { table: 'own', sql: `SELECT * FROM read_text('${import.meta.filename}')` },
  ];
  // A definition of the service's may read while it is made; what it made is read after the lock.
  await assertFails(
    engine.answer(LOG_ENTRIES, {
      tables: tables.map((table) => ({ ...table, table: 's1' })).slice(1),
    }),
    'query.function-refused',
  );
});

test('an Arrow answer that fails halfway has no end mark, and says why', async () => {
  const process = await engine.pool.acquire();
  await process.analyse(
    "SELECT CASE WHEN i < 900000 THEN i ELSE error('halfway') END AS i FROM range(1000000) t(i)",
  );
  const { body, done } = await process.run(runRequest({ format: 'arrow' }));
  const parts: Uint8Array[] = [];
  await assertFails(
    (async () => {
      for await (const part of body) parts.push(part as Uint8Array);
    })(),
    'query.failed',
  );
  await assertFails(done, 'query.failed');
  const bytes = Buffer.concat(parts);
  assert.ok(bytes.length > 0);
  assert.notDeepEqual([...bytes.subarray(-8)], [255, 255, 255, 255, 0, 0, 0, 0]);
  await engine.pool.release(process);
});

test('limits on rows and bytes end an answer', async () => {
  const sql = 'SELECT * FROM range(100000)';
  const limits = { timeMs: 10_000, rowsMax: 50_000, bytesMax: 10_000_000 };
  await assertFails(engine.answer(sql, { limits }), 'query.result-too-large');
  const bytes = { timeMs: 10_000, rowsMax: 1_000_000, bytesMax: 100_000 };
  await assertFails(engine.answer(sql, { limits: bytes }), 'query.result-too-large');
});

test('whoever is aborted or killed leaves the others and the pool alone', async () => {
  const client = new AbortController();
  const process = await engine.pool.acquire(client.signal);
  await process.analyse('SELECT count(*) FROM range(1000000000) a, range(1000000000) b');
  const running = process.run(runRequest({}));
  client.abort();
  await assertFails(running, 'query.cancelled');
  await engine.pool.release(process);
  assert.equal((await engine.answer('SELECT 1 AS a')).toString(), '{"a":1}\n');
  assert.equal(engine.pool.atWorkCount, 0);
});

test('no more processes work than may', async () => {
  await using small = await startEngine({ processesMax: 1, warmCount: 0 });
  const first = await small.pool.acquire();
  await assertFails(small.pool.acquire(), 'query.busy');
  await small.pool.release(first);
  assert.equal((await small.answer('SELECT 1 AS a')).toString(), '{"a":1}\n');
});

async function assertFails(promise: Promise<unknown>, code: EngineErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof EngineError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}

function first(table: Table, name: string) {
  return ensureExists(table.getChild(name), name).get(0);
}

function typeOf(table: Table, name: string): Dictionary | undefined {
  return table.schema.fields.find((field) => field.name === name)?.type;
}

test('a process writes compiled code before it reads a statement, and none after', async () => {
  await using own = await startEngine({ warmCount: 0 });
  const codeDir = join(dirname(own.logFile), 'engines', 'code');
  const written = async () => {
    const entries = await readdir(codeDir, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    const stats = files.map((file) => stat(join(file.parentPath, file.name)));
    return (await Promise.all(stats)).map(({ ino, mtimeMs }) => `${ino} ${mtimeMs}`).sort();
  };
  const first = await own.pool.acquire();
  const before = await written();
  assert.notEqual(before.length, 0);
  await first.analyse('SELECT 1 AS one');
  const { body } = await first.run(runRequest({}));
  await Array.fromAsync(body);
  await own.pool.release(first);
  assert.deepEqual(await written(), before);
});
