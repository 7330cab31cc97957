/**
 * Scenario: a lake that is empty, small, behind in several ways, or too large to be counted.
 * Guarantees: each figure is what its name says, and a look at a large table reads a sample of it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { type LakeFigures, readLakeFigures } from './lake-figures.ts';
import { LaneLeaseRepository } from './lane-lease-repository.ts';
import type { Database, Queryable } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';

const LANES = 4;

const look = (db: Queryable): Promise<LakeFigures> => readLakeFigures(db, { lanes: LANES });

interface BlockRows {
  readonly count: number;
  readonly payloadBytes: number;
  readonly ageMs?: number;
  readonly process?: string;
  readonly stream?: string;
}

const PROCESS = '11111111-1111-4111-8111-111111111111';
const STREAM = '22222222-2222-4222-8222-222222222222';
const NOWHERE = '33333333-3333-4333-8333-333333333333';

/** Rows as ingest writes them, but all in one statement. */
async function insertBlocks(db: Queryable, rows: BlockRows): Promise<void> {
  const { count, payloadBytes, ageMs = 0, process = PROCESS, stream = STREAM } = rows;
  await db.query(sql`
    INSERT INTO blocks (block_id, stream_id, process_id, begin_time, begin_ticks, end_time, end_ticks,
      nb_objects, object_offset, payload_size, content_sha256, insert_time)
    SELECT gen_random_uuid(), ${stream}::uuid, ${process}::uuid, now(), 0, now(), 1, 1, n,
      ${payloadBytes}::bigint, sha256(n::text::bytea),
      clock_timestamp() - ${ageMs}::double precision * interval '1 millisecond'
    FROM generate_series(1, ${count}::integer) AS n`);
}

async function insertParents(db: Database): Promise<void> {
  await db.query(sql`
    INSERT INTO processes (process_id, exe, username, realname, computer, distro, cpu_brand,
      tsc_frequency, start_time, start_ticks, properties)
    VALUES (${PROCESS}, '', '', '', '', '', '', 1, now(), 0, '{}')`);
  await db.query(sql`
    INSERT INTO streams (stream_id, process_id, dependencies_metadata, objects_metadata,
      metadata_sha256, tags, properties)
    VALUES (${STREAM}, ${PROCESS}, '', '', sha256(''), '{}', '{}')`);
}

test('an empty lake has nothing, and its lanes have no owner yet', async () => {
  await using test = await openTestDatabase();
  assert.deepEqual(await look(test.db), {
    blocks: 0,
    blobBytes: 0,
    partitionBytes: 0,
    oldestBlockUs: undefined,
    unannouncedRows: 0,
    unannouncedOldestMs: 0,
    pendingBlocks: 0,
    rejectedBlocks: 0,
    lanesWithoutOwner: LANES,
  });
});

test('blocks, bytes and the oldest block of a small lake are exact', async () => {
  await using test = await openTestDatabase();
  await insertParents(test.db);
  const hourMs = 3_600_000;
  await insertBlocks(test.db, { count: 30, payloadBytes: 1000 });
  await insertBlocks(test.db, { count: 1, payloadBytes: 7, ageMs: 48 * hourMs });
  await test.db.query(sql`
    INSERT INTO partitions (partition_id, view_set, instance, schema_hash, kind, source_hash,
      begin_insert_time, end_insert_time, object_key, row_count, event_count, size_bytes)
    SELECT n::text, 'log_entries', 'i', 'h', 'run', 's', now(), now(), n::text, 1, 1, 500
    FROM generate_series(1, 3) AS n`);
  const figures = await look(test.db);
  assert.equal(figures.blocks, 31);
  assert.equal(figures.blobBytes, 30_007);
  assert.equal(figures.partitionBytes, 1500);
  const ageMs = Date.now() - Number(figures.oldestBlockUs) / 1000;
  assert.ok(Math.abs(ageMs - 48 * hourMs) < 60_000, `the oldest is ${ageMs} ms old`);
});

test('rows that the bus does not know are counted, and the oldest of any kind tells the age', async () => {
  await using test = await openTestDatabase();
  await test.db.query(sql`
    INSERT INTO unannounced (kind, id, since)
    SELECT kind, gen_random_uuid(), clock_timestamp() - age * interval '1 second'
    FROM (VALUES ('block', 5), ('block', 3), ('stream', 90), ('process', 1)) AS rows (kind, age)`);
  const figures = await look(test.db);
  assert.equal(figures.unannouncedRows, 4);
  assert.ok(figures.unannouncedOldestMs >= 90_000, String(figures.unannouncedOldestMs));
  assert.ok(figures.unannouncedOldestMs < 150_000, String(figures.unannouncedOldestMs));
});

test('a block is pending until its stream and its process are there, one of last week is not looked at', async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  await insertBlocks(db, { count: 5, payloadBytes: 1 });
  assert.equal((await look(db)).pendingBlocks, 5);
  await insertParents(db);
  assert.equal((await look(db)).pendingBlocks, 0);
  await insertBlocks(db, { count: 2, payloadBytes: 1, stream: NOWHERE });
  await insertBlocks(db, { count: 3, payloadBytes: 1, process: NOWHERE });
  await insertBlocks(db, { count: 9, payloadBytes: 1, process: NOWHERE, ageMs: 7 * 86_400_000 });
  assert.equal((await look(db)).pendingBlocks, 5);
});

test('rejected blocks are counted for each view, and lanes until somebody holds them', async () => {
  await using test = await openTestDatabase();
  await test.db.query(sql`
    INSERT INTO rejected_blocks (view_set, block_id, reason)
    VALUES ('a', ${PROCESS}, 'bad'), ('b', ${PROCESS}, 'bad'), ('a', ${STREAM}, 'bad')`);
  const leases = new LaneLeaseRepository(test.db);
  for (const lane of [0, 2]) await leases.acquire({ lane, owner: 'me', ttlMs: 60_000 });
  await leases.acquire({ lane: 3, owner: 'gone', ttlMs: 0 });
  const figures = await look(test.db);
  assert.equal(figures.rejectedBlocks, 3);
  assert.equal(figures.lanesWithoutOwner, 2);
});

test('of a large table a sample is read, and the estimate is near', async () => {
  await using test = await openTestDatabase();
  const count = 80_000;
  const rowsRead = (db: Queryable) =>
    db.query<{ read: bigint }>(sql`
      SELECT seq_tup_read AS read FROM pg_stat_user_tables WHERE relname = 'blocks'`);
  await test.db.session(async (session) => {
    await insertBlocks(session, { count: count / 2, payloadBytes: 1000 });
    await insertBlocks(session, { count: count / 2, payloadBytes: 3000 });
    // A session tells of its rows a second later: on top of what ANALYZE found, unless it has told before.
    await session.query(sql`SELECT pg_stat_force_next_flush()`);
    await session.query(sql`ANALYZE blocks`);
    const [before] = await rowsRead(session);
    const figures = await look(session);
    assert.ok(Math.abs(figures.blocks / count - 1) < 0.1, `${figures.blocks} blocks`);
    const bytes = count * 2000;
    assert.ok(Math.abs(figures.blobBytes / bytes - 1) < 0.2, `${figures.blobBytes} bytes`);
    assert.equal(figures.pendingBlocks, 20_000);
    await session.query(sql`SELECT pg_stat_force_next_flush()`);
    const [after] = await rowsRead(session);
    const readRows = Number(after?.read) - Number(before?.read);
    assert.ok(readRows > 0 && readRows < count / 3, `${readRows} rows were read`);
  });
});
