import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds } from '@tracelake/domain';
import {
  ASYNC_VIEW,
  makeBlock,
  makeRun,
  makeStream,
  storeProcess,
} from '../test/catalog-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { BlockRepository } from './block-repository.ts';
import { type CatalogTable, readCatalogLines } from './catalog-lines.ts';
import { PartitionCatalog } from './partition-catalog.ts';
import { StreamRepository } from './stream-repository.ts';

const SCHEMA_HASH = 'aa';

test('a global view has an instance for each process with blocks of its tag in the range', async () => {
  await using fixture = await openTestDatabase();
  const first = await storeProcess(fixture.db, { blockCount: 2 });
  const second = await storeProcess(fixture.db, { blockCount: 1 });
  await storeProcess(fixture.db, { blockCount: 0 });
  const catalog = new PartitionCatalog(fixture.db);
  const load = async (blocksBetween?: { beginNs: bigint; endNs: bigint }) => {
    const global = { view: ASYNC_VIEW, schemaHash: SCHEMA_HASH };
    const range = blocksBetween as never;
    const snapshot = await catalog.loadLakeSnapshot({
      instances: [],
      globals: [blocksBetween === undefined ? global : { ...global, blocksBetween: range }],
      processes: [],
    });
    return snapshot.instances.map((one) => one.instance).sort();
  };
  const both = [first, second].map((one) => one.process.processId as string).sort();
  assert.deepEqual(await load(), both);
  const late = nanoseconds(2n ** 60n * 4n);
  const block = makeBlock({
    processId: second.process.processId,
    streamId: second.stream.streamId,
    beginNs: late,
    endNs: late,
  });
  await new BlockRepository(fixture.db).insertMany([block]);
  assert.deepEqual(await load({ beginNs: late, endNs: late }), [second.process.processId]);
  assert.deepEqual(await load({ beginNs: late + 1000n, endNs: late + 1000n }), []);
});

test('an instance asked for twice comes once, with the process it belongs to', async () => {
  await using fixture = await openTestDatabase();
  const { process, blocks } = await storeProcess(fixture.db, { blockCount: 3 });
  const view = { view: ASYNC_VIEW, schemaHash: SCHEMA_HASH };
  const request = { ...view, instance: process.processId };
  const snapshot = await new PartitionCatalog(fixture.db).loadLakeSnapshot({
    instances: [request, request],
    globals: [view],
    processes: [{ processId: process.processId, views: [view] }],
  });
  const [one, ...others] = snapshot.instances;
  assert.equal(others.length, 0);
  assert.equal(one?.process?.processId, process.processId);
  assert.equal(one?.known, blocks.length);
});

test('tables come as lines of JSON, every row once over many pages', async () => {
  await using fixture = await openTestDatabase();
  const { process, stream, blocks } = await storeProcess(fixture.db, { blockCount: 3 });
  const many = Array.from({ length: 5001 }, () =>
    makeBlock({ processId: process.processId, streamId: stream.streamId }),
  );
  await new BlockRepository(fixture.db).insertMany(many);
  const catalog = new PartitionCatalog(fixture.db);
  for (const { blockId } of many.slice(0, 3)) {
    await catalog.rejectBlock({ viewSet: 'log_entries', blockId, reason: 'torn' });
  }
  const rows = new Map<CatalogTable, Record<string, unknown>[]>();
  await readCatalogLines(fixture.db, {
    tables: ['processes', 'streams', 'blocks', 'rejected_blocks', 'partitions'],
    async onLines(table, lines) {
      rows.set(table, [...(rows.get(table) ?? []), ...lines.map((line) => JSON.parse(line))]);
    },
  });
  const blockIds = (rows.get('blocks') ?? []).map((row) => row.block_id);
  assert.equal(blockIds.length, blocks.length + many.length);
  assert.equal(new Set(blockIds).size, blockIds.length);
  assert.equal(rows.get('rejected_blocks')?.length, 3);
  assert.equal(rows.get('partitions'), undefined);
  const [row] = rows.get('processes') ?? [];
  assert.equal(row?.process_id, process.processId);
  assert.deepEqual(JSON.parse(String(row?.properties)), process.properties);
  assert.match(String(rows.get('streams')?.[0]?.objects_metadata), /^\\x/);
});

test('the target of a later look is what was committed at the first, whatever the insert times say', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  const catalog = new PartitionCatalog(db);
  const { process, stream, blocks } = await storeProcess(db, { blockCount: 2 });
  const ids = { processId: process.processId, streamId: stream.streamId };
  const pendingStream = makeStream({ processId: process.processId });
  const pending = makeBlock({ ...ids, streamId: pendingStream.streamId });
  await new BlockRepository(db).insertMany([pending]);
  const request = {
    instances: [{ view: ASYNC_VIEW, schemaHash: SCHEMA_HASH, instance: process.processId }],
    globals: [],
    processes: [],
  };
  const inserted = Promise.withResolvers<void>();
  const looked = Promise.withResolvers<void>();
  const slowInsert = db.transaction(async (transaction) => {
    await new BlockRepository(transaction).insertMany([makeBlock(ids)]);
    inserted.resolve();
    await looked.promise;
  });
  await inserted.promise;
  const { moment, instances } = await catalog.loadLakeSnapshot(request);
  assert.deepEqual([instances[0]?.known, instances[0]?.target], [2, 2]);
  looked.resolve();
  // Its insert time is before the first look, its commit after it.
  await slowInsert;
  await new BlockRepository(db).insertMany([makeBlock(ids)]);
  // Makes a block wanted that was there at the first look.
  await new StreamRepository(db).insertIfAbsent(pendingStream);
  const run = makeRun([...blocks, pending]);
  const key = { viewSet: ASYNC_VIEW.name, instance: process.processId, schemaHash: SCHEMA_HASH };
  await catalog.commit({ ...key, replaces: [], insert: [run] });
  const later = await catalog.loadLakeSnapshot({ ...request, since: moment });
  const [one] = later.instances;
  assert.deepEqual([one?.known, one?.covered], [5, 3]);
  assert.deepEqual([one?.target, one?.targetCovered], [2, 2]);
  const again = await catalog.loadLakeSnapshot({ ...request, since: later.moment });
  assert.deepEqual([again.instances[0]?.target, again.instances[0]?.targetCovered], [5, 3]);
});

test('rejected blocks are counted by stream, and the first of them named', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const { process, stream, blocks } = await storeProcess(fixture.db, { blockCount: 30 });
  for (const { blockId } of blocks.slice(0, 25)) {
    await catalog.rejectBlock({ viewSet: ASYNC_VIEW.name, blockId, reason: 'torn' });
    await catalog.rejectBlock({ viewSet: 'another view', blockId, reason: 'torn' });
  }
  const snapshot = await catalog.loadProcessSnapshot({
    processId: process.processId,
    views: [{ view: ASYNC_VIEW, schemaHash: SCHEMA_HASH }],
  });
  const counted = snapshot.instances[0]?.blocksOf.get(stream.streamId);
  assert.equal(counted?.rejected, 25);
  const sorted = blocks.slice(0, 25).map(({ blockId }) => blockId as string);
  assert.deepEqual(counted?.rejectedIds, sorted.sort().slice(0, 20));
});
