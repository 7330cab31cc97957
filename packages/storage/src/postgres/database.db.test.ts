import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startPostgres } from '@tracelake/local-servers';
import { openTestDatabase } from '../../test/storage-fixture.ts';
import { StorageError } from '../storage-error.ts';
import { openDatabase } from './database.ts';
import { sql } from './sql.ts';

const isUnavailable = (error: unknown) =>
  error instanceof StorageError && error.code === 'storage.database-unavailable' && error.retryable;

test('a signal ends a running statement at once, and the pool serves on', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  const reason = new Error('enough');
  const abort = new AbortController();
  const started = performance.now();
  const running = [
    db.query(sql`SELECT pg_sleep(30)`, abort.signal),
    db.transaction((transaction) => transaction.query(sql`SELECT pg_sleep(30)`), {
      signal: abort.signal,
    }),
  ];
  setTimeout(() => abort.abort(reason), 100);
  await Promise.all(running.map((statement) => assert.rejects(statement, reason)));
  assert.ok(performance.now() - started < 5_000);
  await assert.rejects(db.query(sql`SELECT 1`, abort.signal), reason);
  await Promise.all(Array.from({ length: 20 }, () => db.checkReady()));
});

test('a signal ends the wait for a connection, and no connection is lost by it', async () => {
  await using fixture = await openTestDatabase();
  await using db = openDatabase(fixture.url, { poolSize: 1 });
  const reason = new Error('enough');
  const holding = db.query(sql`SELECT pg_sleep(0.5)`);
  await delay(50);
  const abort = new AbortController();
  const waiting = db.query(sql`SELECT 1`, abort.signal);
  setTimeout(() => abort.abort(reason), 50);
  await assert.rejects(waiting, reason);
  await holding;
  await db.checkReady();
  assert.deepEqual(db.usage, { inUse: 0, waiting: 0, max: 1 });
});

test('the pool holds no more connections than it may, and refuses a crowd', async () => {
  await using fixture = await openTestDatabase();
  await using db = openDatabase(fixture.url, { poolSize: 2, applicationName: 'crowd' });
  const crowd = Array.from({ length: 260 }, () =>
    db.query(sql`SELECT pg_sleep(0.001)`).then(
      () => 'served',
      (error: StorageError) => error.code,
    ),
  );
  await delay(50);
  const [row] = await fixture.db.query<{ count: bigint }>(
    sql`SELECT count(*) AS count FROM pg_stat_activity WHERE application_name = 'crowd'`,
  );
  assert.ok((row?.count ?? 9n) <= 2n);
  const outcomes = Map.groupBy(await Promise.all(crowd), (outcome) => outcome);
  assert.ok((outcomes.get('served')?.length ?? 0) >= 200);
  assert.ok((outcomes.get('storage.database-overloaded')?.length ?? 0) > 0);
  assert.equal(outcomes.size, 2);
});

test('a transaction that throws leaves nothing, and its own error comes out as it was', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  await db.query(sql`CREATE TABLE t (n int)`);
  const mine = new Error('mine');
  const failing = db.transaction(async (transaction) => {
    await transaction.query(sql`INSERT INTO t VALUES (1)`);
    throw mine;
  });
  await assert.rejects(failing, mine);
  assert.deepEqual(await db.query(sql`SELECT * FROM t`), []);
  const writing = db.transaction(
    (transaction) => transaction.query(sql`INSERT INTO t VALUES (1)`),
    {
      readOnly: true,
    },
  );
  await assert.rejects(writing, StorageError);
  await assert.rejects(
    db.query(sql`SELECT nonsense`),
    (error) =>
      error instanceof StorageError &&
      error.code === 'storage.database-refused' &&
      !error.retryable,
  );
});

test('values cross exactly, and none is ever read as SQL', async () => {
  await using fixture = await openTestDatabase();
  const evil = `'; DROP TABLE blocks; -- \\ " $1`;
  const big = 9_223_372_036_854_775_807n;
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const [row] = await fixture.db.query<Record<string, unknown>>(
    sql`SELECT ${evil}::text AS text, ${[evil, '', 'null']}::text[] AS texts, ${big}::bigint AS big,
      ${[big, -big]}::bigint[] AS bigs, ${bytes}::bytea AS bytes, ${null}::text AS nothing,
      '2026-11-21 01:02:03.456789+00'::timestamptz AS time`,
  );
  assert.deepEqual(
    { ...row, time: typeof row?.time },
    {
      text: evil,
      texts: [evil, '', 'null'],
      big,
      bigs: [big, -big],
      bytes,
      nothing: null,
      time: 'string',
    },
  );
});

test('a server that is not there, stops, or is killed is unavailable; once it is back the same pool works', async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-outage-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const dataDir = join(directory, 'data');
  const first = await startPostgres({ dataDir, durable: false });
  const port = Number(new URL(first.url).port);
  const db = stack.use(openDatabase(first.url, { connectTimeoutMs: 2_000 }));
  await db.checkReady();
  const running = db.query(sql`SELECT pg_sleep(30)`);
  await delay(50);
  await Promise.all([assert.rejects(running, isUnavailable), first.stop()]);
  await assert.rejects(db.checkReady(), isUnavailable);
  const second = stack.use(await startPostgres({ dataDir, port, durable: false }));
  await db.checkReady();
  const inTransaction = db.transaction(async (transaction) => {
    process.kill(second.pid, 'SIGKILL');
    await second.exited;
    await delay(100);
    await transaction.query(sql`SELECT 1`);
  });
  await assert.rejects(inTransaction, isUnavailable);
  stack.use(await startPostgres({ dataDir, port, durable: false }));
  await db.checkReady();
});

test('a URL that is no database is refused without repeating its password', () => {
  assert.throws(
    () => openDatabase('mysql://u:secret@h/d'),
    (error) =>
      error instanceof StorageError &&
      error.code === 'storage.bad-database-url' &&
      !error.message.includes('secret'),
  );
});

test('rows come one at a time; what is thrown at one comes out, and the connection serves on', async () => {
  await using fixture = await openTestDatabase();
  await using db = openDatabase(fixture.url, { poolSize: 1 });
  const numbers: bigint[] = [];
  const mine = new Error('mine');
  const statement = sql`SELECT n FROM generate_series(1, ${10n}::bigint) AS n`;
  await db.connection((connection) =>
    connection.forEachRow<{ n: bigint }>(statement, ({ n }) => {
      numbers.push(n);
    }),
  );
  assert.deepEqual(numbers, [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n]);
  const throwing = db.connection((connection) =>
    connection.forEachRow(statement, () => {
      throw mine;
    }),
  );
  await assert.rejects(throwing, mine);
  const failing = db.connection((connection) =>
    connection.forEachRow(sql`SELECT 1 / (n - 5) FROM generate_series(1, 9) AS n`, () => {}),
  );
  await assert.rejects(failing, StorageError);
  await db.checkReady();
});

test('what one connection is asked at once is answered in order, a failure to whoever asked for it', async () => {
  await using fixture = await openTestDatabase();
  await using db = openDatabase(fixture.url, { poolSize: 1 });
  const outcomes = await db.connection((connection) =>
    Promise.allSettled([
      connection.query(sql`CREATE TABLE t (n int)`),
      connection.query(sql`INSERT INTO t VALUES (${1})`),
      connection.query(sql`SELECT nonsense`),
      connection.transaction(
        (transaction) => transaction.query<{ n: number }>(sql`SELECT n FROM t`),
        { isolation: 'repeatable read', readOnly: true },
      ),
    ]),
  );
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual((outcomes[3] as PromiseFulfilledResult<unknown>).value, [{ n: 1 }]);
  const [row] = await db.query<{ status: boolean }>(
    sql`SELECT pg_current_xact_id_if_assigned() IS NULL AS status`,
  );
  assert.equal(row?.status, true);
});
