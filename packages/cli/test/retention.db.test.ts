/**
 * Scenario: `tracelake retention` on rows and objects of several ages, interrupted and killed at any moment.
 * Guarantees: what is old goes whole and for good, all else stays; whoever can see a process has all of its objects;
 * what a kill left goes with the next run. e2e/src/retention.test.ts has it beside services at work.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import {
  type Database,
  migrate,
  type ObjectStore,
  openDatabase,
  openObjectStore,
  sql,
} from '@tracelake/storage';
import { startTestPostgres } from '@tracelake/test-kit';
import { runCommand } from './run-command.ts';
import { startTracelake } from './tracelake-process.ts';

interface Lake extends AsyncDisposable {
  readonly db: Database;
  readonly store: ObjectStore;
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
}

async function openLake(): Promise<Lake> {
  await using owned = new AsyncDisposableStack();
  const directory = await mkdtemp(path.join(tmpdir(), 'tracelake-retention-test-'));
  owned.defer(() => rm(directory, { recursive: true, force: true }));
  const postgres = owned.use(await startTestPostgres());
  const db = owned.use(openDatabase(postgres.url));
  await migrate(db);
  const url = pathToFileURL(path.join(directory, 'objects')).href;
  const store = owned.use(await openObjectStore(url));
  const env = { TRACELAKE_DATABASE_URL: postgres.url, TRACELAKE_OBJECT_STORE_URL: url };
  const kept = owned.move();
  return { db, store, directory, env, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

interface ProcessSpec {
  /** Of each block; the process and its stream came with the first. */
  readonly blockAgesDays: readonly number[];
  readonly hasRow?: boolean;
}

/** A process with a stream, blocks, a partition of each kind, and all their objects. */
async function addProcess({ db, store }: Lake, { blockAgesDays, hasRow = true }: ProcessSpec) {
  const [processId, streamId] = [randomUUID(), randomUUID()];
  const oldest = Math.max(...blockAgesDays);
  if (hasRow) {
    await db.query(sql`
      WITH streams AS (INSERT INTO streams (stream_id, process_id, dependencies_metadata, objects_metadata,
          metadata_sha256, tags, properties, insert_time)
        VALUES (${streamId}, ${processId}, '', '', sha256(''), '{cpu}', '{}',
          now() - ${oldest}::float8 * interval '1 day'))
      INSERT INTO processes (process_id, exe, username, realname, computer, distro, cpu_brand, tsc_frequency,
        start_time, start_ticks, insert_time, properties)
      VALUES (${processId}, '/usr/bin/game', '', '', '', '', '', 1, now(), 0,
        now() - ${oldest}::float8 * interval '1 day', '{}')`);
  }
  const blockIds = blockAgesDays.map(() => randomUUID());
  const keys = blockIds.map((id) => `blobs/${processId}/${streamId}/${id}`);
  await Promise.all(keys.map((key) => store.putIfAbsent(key, Buffer.from('bytes'))));
  await db.query(sql`
    INSERT INTO blocks (block_id, stream_id, process_id, begin_time, begin_ticks, end_time, end_ticks, nb_objects,
      object_offset, payload_size, content_sha256, insert_time)
    SELECT id::uuid, ${streamId}::uuid, ${processId}::uuid, now(), place, now() - place * interval '1 s', place, 1, 0, 5,
      sha256(''), now() - age * interval '1 day'
    FROM unnest(${blockIds}::text[], ${[...blockAgesDays]}::float8[]) WITH ORDINALITY AS block (id, age, place)`);
  for (const [view, instance] of [
    ['thread_spans', streamId],
    ['log_entries', processId],
  ] as const) {
    await addPartition({ db, store }, view, instance);
  }
  return { processId, streamId, blockIds, keys };
}

async function addPartition(
  { db, store }: Pick<Lake, 'db' | 'store'>,
  view: string,
  instance: string,
  age = '2 hours',
) {
  const key = `views/${view}/${instance}/2026-11-21/${randomUUID()}.parquet`;
  await store.putIfAbsent(key, Buffer.from('rows'));
  await db.query(sql`
    INSERT INTO partitions (partition_id, view_set, instance, schema_hash, kind, source_hash, begin_insert_time,
      end_insert_time, object_key, row_count, event_count, size_bytes, written_at)
    VALUES (${randomUUID()}, ${view}, ${instance}, 'aa', 'run', 'aa', now(), now(), ${key}, 1, 1, 4,
      now() - ${age}::interval)`);
  return key;
}

const retention = (lake: Lake, ...argv: string[]) =>
  runCommand(['retention', ...argv], { env: lake.env });

async function countOf({ db }: Lake, table: string): Promise<number> {
  const [row] = await db.query<{ counts: Record<string, number> }>(sql`
    SELECT json_build_object('processes', (SELECT count(*) FROM processes), 'streams', (SELECT count(*) FROM streams),
      'blocks', (SELECT count(*) FROM blocks), 'partitions', (SELECT count(*) FROM partitions),
      'retired_objects', (SELECT count(*) FROM retired_objects)) AS counts`);
  return row?.counts[table] ?? assert.fail(table);
}

async function keysOf({ store }: Lake, prefix: string): Promise<string[]> {
  return (await Array.fromAsync(store.list(prefix))).map(({ key }) => key).toSorted();
}

test('a process of which nothing has come for the age goes whole, and the others stay as they are', async () => {
  await using lake = await openLake();
  const old = await addProcess(lake, { blockAgesDays: [50, 40, 31] });
  const young = await addProcess(lake, { blockAgesDays: [50, 29] });
  // The block that came last is not the one that ends last by its client's clock.
  const late = await addProcess(lake, { blockAgesDays: [50, 40, 1] });
  const dry = await retention(lake, '--older-than', '30d', '--dry-run');
  assert.equal(dry.status, 0, dry.stderr);
  assert.match(dry.stdout, new RegExp(`^${old.processId}  .* 3 blocks \\(15 B\\), 2 partitions`));
  assert.match(dry.stdout, /\n1 processes, 3 blocks \(15 B\), 2 partitions would go/);
  assert.equal(await countOf(lake, 'blocks'), 8);
  const { status, stdout, stderr } = await retention(lake, '--older-than', '30d', '--json');
  assert.equal(status, 0, stderr);
  const [receipt, sum] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const counts = { blocks: 3, block_bytes: 15, partitions: 2 };
  const { newest, ...named } = receipt;
  assert.match(newest, /^\d{4}-\d\d-\d\dT.*Z$/);
  assert.deepEqual(named, { process_id: old.processId, exe: '/usr/bin/game', ...counts });
  assert.deepEqual(sum, { processes: 1, ...counts, is_dry_run: false });
  assert.match(stderr, new RegExp(`${late.processId}: stays`));
  assert.deepEqual(await keysOf(lake, 'blobs/'), [...young.keys, ...late.keys].toSorted());
  assert.ok(!existsSync(path.join(lake.directory, 'objects/blobs', old.processId)));
  assert.equal(await countOf(lake, 'processes'), 2);
  assert.equal(await countOf(lake, 'streams'), 2);
  assert.equal(await countOf(lake, 'partitions'), 4);
  assert.equal(await countOf(lake, 'retired_objects'), 2, 'for the sweeper');
  const again = await retention(lake, '--older-than', '30d');
  assert.match(again.stdout, /^0 processes, 0 blocks \(0 B\), 0 partitions gone/);
});

test('a process that is named goes whatever its age, and with an age only when it is that old', async () => {
  await using lake = await openLake();
  const { processId } = await addProcess(lake, { blockAgesDays: [0.1, 0] });
  await addProcess(lake, { blockAgesDays: [50] });
  const young = await retention(lake, '--process', processId, '--older-than', '2h');
  assert.match(young.stderr, /stays, something of it came since/);
  const { status, stdout } = await retention(lake, '--process', processId);
  assert.equal(status, 0);
  assert.match(stdout, /\n1 processes, 2 blocks \(10 B\), 2 partitions gone/);
  assert.match(
    (await retention(lake, '--process', processId)).stderr,
    /nobody knows it, or it is gone/,
  );
  assert.equal(await countOf(lake, 'blocks'), 1);
});

test('the limit takes the oldest processes first', async () => {
  await using lake = await openLake();
  const ages = [35, 60, 45];
  const added = [];
  for (const age of ages) added.push(await addProcess(lake, { blockAgesDays: [age] }));
  const { stdout } = await retention(lake, '--older-than', '30d', '--limit', '2');
  const order = [added[1], added[2]].map((one) => one?.processId);
  assert.deepEqual(
    stdout
      .split('\n')
      .slice(0, 2)
      .map((line) => line.slice(0, 36)),
    order,
  );
  assert.equal(await countOf(lake, 'processes'), 1);
});

test('what belongs to no process goes too: old blocks, partitions of late builds, objects without a row', async () => {
  await using lake = await openLake();
  const pending = await addProcess(lake, { blockAgesDays: [50, 40], hasRow: false });
  const waiting = await addProcess(lake, { blockAgesDays: [50, 1], hasRow: false });
  const old = await addProcess(lake, { blockAgesDays: [50] });
  const [stray, fresh] = [randomUUID(), randomUUID()].map(
    (id) => `blobs/${old.processId}/${old.streamId}/${id}`,
  );
  for (const key of [stray, fresh])
    await lake.store.putIfAbsent(key ?? '', Buffer.from('never acknowledged'));
  const hoursAgo = Date.now() / 1000 - 7200;
  await utimes(path.join(lake.directory, 'objects', stray ?? ''), hoursAgo, hoursAgo);
  const late = await addPartition(lake, 'async_events', randomUUID());
  const justNow = await addPartition(lake, 'async_events', randomUUID(), '1 minute');
  const { status, stderr } = await retention(lake, '--older-than', '30d');
  assert.equal(status, 0, stderr);
  assert.deepEqual(await keysOf(lake, 'blobs/'), [...waiting.keys, fresh].toSorted());
  assert.equal(await countOf(lake, 'blocks'), 2);
  const left = await lake.db.query<{ object_key: string }>(
    sql`SELECT object_key FROM partitions WHERE view_set = 'async_events'`,
  );
  assert.deepEqual(
    left.map((row) => row.object_key),
    [justNow],
  );
  assert.notEqual(late, justNow);
  assert.ok(pending.keys.length > 0);
});

test('killed at any moment, it leaves nothing half seen, and the next run ends the work', async () => {
  await using lake = await openLake();
  const blockAgesDays = Array.from({ length: 1200 }, () => 40);
  const kept = await addProcess(lake, { blockAgesDays: [1] });
  let killed = 0;
  for (const left of [1199, 900, 500, 1]) {
    const { processId, keys } = await addProcess(lake, { blockAgesDays });
    const argv = ['retention', '--older-than', '30d', '--concurrency', '1'];
    const running = startTracelake(argv, lake.directory, undefined, lake.env);
    const prefix = `blobs/${processId}/`;
    while (running.child.exitCode === null && (await keysOf(lake, prefix)).length > left)
      await delay(1);
    running.child.kill('SIGKILL');
    const { signal } = await running.ended;
    if (signal === 'SIGKILL') killed += 1;
    await assertWhole(lake);
    const objects = await keysOf(lake, prefix);
    assert.ok(objects.length < keys.length);
    const { status, stderr } = await retention(lake, '--older-than', '30d');
    assert.equal(status, 0, stderr);
    assert.deepEqual(await keysOf(lake, 'blobs/'), kept.keys);
    assert.equal(await countOf(lake, 'blocks'), 1);
    assert.equal(await countOf(lake, 'partitions'), 2);
  }
  assert.ok(killed >= 2, `killed ${killed} times before it was done`);
});

test('a store that is not the lake’s is refused before a row goes', async () => {
  await using lake = await openLake();
  await addProcess(lake, { blockAgesDays: [50] });
  const other = pathToFileURL(path.join(lake.directory, 'other')).href;
  const env = { ...lake.env, TRACELAKE_OBJECT_STORE_URL: other };
  const { status, stderr } = await runCommand(['retention', '--older-than', '30d'], { env });
  assert.equal(status, 1);
  assert.match(stderr, /none of the 1 blocks that came last.*nothing is deleted/);
  assert.equal(await countOf(lake, 'processes'), 1);
});

test('a command line that could delete more than was meant is refused', async () => {
  for (const [argv, reason] of [
    [[], /--older-than or --process must say/],
    [['--older-than', '30'], /must be an age/],
    [['--older-than', '59m'], /must be 1h at least/],
    [['--process', 'x'], /must be a process id/],
    [['--older-than', '30d'], /TRACELAKE_DATABASE_URL must be set/],
  ] as const) {
    const { status, stderr } = await runCommand(['retention', ...argv]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, reason);
  }
});

/** Whoever is seen has all that its rows name. */
async function assertWhole({ db, store }: Lake): Promise<void> {
  const rows = await db.query<{ object_key: string }>(sql`
    SELECT 'blobs/' || b.process_id || '/' || b.stream_id || '/' || b.block_id AS object_key
    FROM blocks b JOIN processes p ON p.process_id = b.process_id
    UNION ALL SELECT object_key FROM partitions`);
  const there = new Set((await Array.fromAsync(store.list(''))).map(({ key }) => key));
  assert.deepEqual(
    rows.filter((row) => !there.has(row.object_key)),
    [],
  );
}
