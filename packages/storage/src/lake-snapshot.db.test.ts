import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds } from '@tracelake/domain';
import { ASYNC_VIEW, makeBlock, storeProcess } from '../test/catalog-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { BlockRepository } from './block-repository.ts';
import { type CatalogTable, readCatalogLines } from './catalog-lines.ts';
import { PartitionCatalog } from './partition-catalog.ts';

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
