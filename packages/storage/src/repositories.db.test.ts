import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds, ticks } from '@tracelake/domain';
import {
  makeBlock,
  makeProcess,
  makeStream,
  newProcessId,
  newStreamId,
  storeProcess,
} from '../test/catalog-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { BlockRepository } from './block-repository.ts';
import { ensureLakeSettings, findLakeSettings } from './lake-settings.ts';
import { ProcessRepository } from './process-repository.ts';
import { StorageError } from './storage-error.ts';
import { StreamRepository } from './stream-repository.ts';

test('a process comes back as it was stored, extremes included, and its first write wins', async () => {
  await using fixture = await openTestDatabase();
  const processes = new ProcessRepository(fixture.db);
  const process = makeProcess({
    exe: `C:\\games\\"quoted' ☃ ${'x'.repeat(70_000)}`,
    tscFrequencyHz: 9_223_372_036_854_775_807n,
    startTicks: ticks(-9_223_372_036_854_775_808n),
    startNs: nanoseconds(-62_167_219_200_000_000_000n),
    parentProcessId: newProcessId(),
    properties: { __proto__x: 'y', 'a.b': '', ключ: '{"json":1}' },
  });
  assert.equal(await processes.insertIfAbsent(process), 'inserted');
  assert.deepEqual(await processes.find(process.processId), process);
  assert.equal(await processes.insertIfAbsent({ ...process, exe: 'other' }), 'exists');
  assert.deepEqual(await processes.find(process.processId), process);
  assert.equal(await processes.find(newProcessId()), undefined);
});

test('text that Postgres cannot hold is stored with replacement characters', async () => {
  await using fixture = await openTestDatabase();
  const processes = new ProcessRepository(fixture.db);
  const process = makeProcess({ exe: 'a\0b', properties: { 'k\0': 'v\ud800', ok: '\u0001' } });
  assert.equal(await processes.insertIfAbsent(process), 'inserted');
  const found = await processes.find(process.processId);
  assert.equal(found?.exe, 'a\uFFFDb');
  assert.deepEqual(found?.properties, { 'k\uFFFD': 'v\uFFFD', ok: '\u0001' });
});

test('processes are listed latest first, searched in any case, with what their blocks tell', async () => {
  await using fixture = await openTestDatabase();
  const processes = new ProcessRepository(fixture.db);
  const early = await storeProcess(fixture.db, {
    process: makeProcess({ exe: 'Editor_100%', startNs: nanoseconds(1_000_000n) }),
  });
  const late = await storeProcess(fixture.db, { tag: 'log', blockCount: 1 });
  await new BlockRepository(fixture.db).insertIfAbsent(
    makeBlock({
      processId: early.process.processId,
      endNs: nanoseconds(1_900_000_000_000_000_000n),
    }),
  );
  const all = await processes.list({ limit: 10 });
  assert.deepEqual(
    all.map((summary) => summary.process.processId),
    [late.process.processId, early.process.processId],
  );
  const [found, ...others] = await processes.list({ search: 'EDITOR_100%', limit: 10 });
  assert.deepEqual(others, []);
  assert.deepEqual(found, await processes.findSummary(early.process.processId));
  assert.equal(found?.blockCount, 4);
  assert.equal(found?.streamCount, 1);
  assert.equal(found?.cpuStreamCount, 1);
  assert.equal(found?.lastBlockEndNs, 1_900_000_000_000_000_000n);
  assert.equal(all[0]?.cpuStreamCount, 0);
  assert.equal((await processes.list({ limit: 1 })).length, 1);
  assert.equal(
    (await processes.list({ search: late.process.processId.slice(3, 20), limit: 9 })).length,
    1,
  );
  assert.equal((await processes.list({ search: 'editorx100', limit: 9 })).length, 0);
});

test('a stream comes back with its metadata, and streams that differ in anything differ in their hash', async () => {
  await using fixture = await openTestDatabase();
  const streams = new StreamRepository(fixture.db);
  const stream = makeStream({ tags: ['cpu', 'a,"b'], properties: { 'thread-id': '7', b: '' } });
  assert.equal(await streams.insertIfAbsent(stream), 'inserted');
  assert.equal(await streams.insertIfAbsent(stream), 'exists');
  const { metadataSha256, ...found } = (await streams.find(stream.streamId)) ?? assert.fail();
  assert.deepEqual(found, stream);
  const variants = [
    makeStream(),
    makeStream({ tags: ['log'] }),
    makeStream({ properties: {} }),
    makeStream({ objectsMetadata: [] }),
  ];
  const hashes = new Set([metadataSha256.toHex()]);
  for (const variant of variants) {
    await streams.insertIfAbsent(variant);
    hashes.add((await streams.find(variant.streamId))?.metadataSha256.toHex() ?? '');
  }
  assert.equal(hashes.size, variants.length + 1);
});

test('a block is inserted once, and sent again it is the same or different by its content', async () => {
  await using fixture = await openTestDatabase();
  const blocks = new BlockRepository(fixture.db);
  const block = makeBlock({
    beginTicks: ticks(-9_223_372_036_854_775_808n),
    endTicks: ticks(9_223_372_036_854_775_807n),
    objectOffset: 9_007_199_254_740_993n,
    objectCount: 2_147_483_647,
  });
  const other = { ...block, contentSha256: new Uint8Array(32) };
  assert.equal(await blocks.exists(block.blockId), false);
  assert.equal(await blocks.insertIfAbsent(block), 'inserted');
  assert.equal(await blocks.insertIfAbsent(block), 'exists-same');
  assert.equal(await blocks.insertIfAbsent(other), 'exists-different');
  assert.equal(await blocks.exists(block.blockId), true);
  const { insertTimeUs, ...found } = (await blocks.find(block.blockId)) ?? assert.fail();
  assert.deepEqual(found, block);
  assert.ok(Math.abs(Number(insertTimeUs / 1000n) - Date.now()) < 60_000);
});

test('a batch tells the outcome of each block, of one id given twice in it too', async () => {
  await using fixture = await openTestDatabase();
  const blocks = new BlockRepository(fixture.db);
  const [known, fresh, twice] = [makeBlock(), makeBlock(), makeBlock()];
  await blocks.insertIfAbsent(known);
  const results = await blocks.insertMany([
    twice,
    known,
    fresh,
    twice,
    { ...twice, contentSha256: new Uint8Array(32) },
    { ...known, contentSha256: new Uint8Array(32) },
  ]);
  assert.deepEqual(
    results.map((result) => result.outcome),
    ['inserted', 'exists-same', 'inserted', 'exists-same', 'exists-different', 'exists-different'],
  );
  assert.equal(results[2]?.insertTimeUs, (await blocks.find(fresh.blockId))?.insertTimeUs);
  assert.deepEqual(await blocks.insertMany([]), []);
});

test('of many writers of one batch of blocks, in any order, each block is inserted by one', async () => {
  await using fixture = await openTestDatabase();
  const blocks = new BlockRepository(fixture.db);
  const batch = Array.from({ length: 200 }, () => makeBlock());
  const outcomes = await Promise.all(
    [0, 1, 2, 3, 4, 5].map(async (writer) => {
      const order = writer % 2 === 0 ? batch : batch.toReversed();
      const results = await blocks.insertMany(order);
      return results.filter((result) => result.outcome === 'inserted').length;
    }),
  );
  assert.equal(
    outcomes.reduce((sum, count) => sum + count),
    batch.length,
  );
});

test('a row of telemetry cannot be changed, not even by SQL', async () => {
  await using fixture = await openTestDatabase();
  const { blocks } = await storeProcess(fixture.db);
  for (const table of ['processes', 'streams', 'blocks']) {
    const statement = { text: `UPDATE ${table} SET insert_time = now()`, values: [] };
    await assert.rejects(fixture.db.query(statement), /never changes/);
  }
  assert.equal(blocks.length, 3);
});

test('a block is wanted once its stream and its process are there, in whatever order they come', async () => {
  await using fixture = await openTestDatabase();
  const [processes, streams, blocks] = [
    new ProcessRepository(fixture.db),
    new StreamRepository(fixture.db),
    new BlockRepository(fixture.db),
  ];
  const process = makeProcess();
  const stream = makeStream({ processId: process.processId });
  const block = makeBlock({ processId: process.processId, streamId: stream.streamId });
  const filters = [
    { streamTag: 'cpu', processId: process.processId },
    { streamTag: 'cpu', streamId: stream.streamId },
  ];
  const wantedCounts = () =>
    Promise.all(filters.map(async (filter) => (await blocks.listWanted(filter)).length));
  await blocks.insertIfAbsent(block);
  assert.deepEqual(await wantedCounts(), [0, 0]);
  assert.equal(await blocks.countPending(60_000), 1);
  await streams.insertIfAbsent(stream);
  assert.deepEqual(await wantedCounts(), [0, 0]);
  assert.deepEqual(await streams.listCpuStreamsOf(process.processId), [
    await streams.find(stream.streamId),
  ]);
  await processes.insertIfAbsent(process);
  assert.deepEqual(await wantedCounts(), [1, 1]);
  assert.equal(await blocks.countPending(60_000), 0);
  assert.deepEqual(await blocks.listWanted({ streamTag: 'log', processId: process.processId }), []);
});

test('a block that names a stream of another process is wanted by neither', async () => {
  await using fixture = await openTestDatabase();
  const blocks = new BlockRepository(fixture.db);
  const mine = await storeProcess(fixture.db, { blockCount: 1 });
  const other = await storeProcess(fixture.db, { blockCount: 1 });
  await blocks.insertIfAbsent(
    makeBlock({ processId: mine.process.processId, streamId: other.stream.streamId }),
  );
  for (const { process, stream } of [mine, other]) {
    assert.equal(
      (await blocks.listWanted({ streamTag: 'cpu', processId: process.processId })).length,
      1,
    );
    assert.equal(
      (await blocks.listWanted({ streamTag: 'cpu', streamId: stream.streamId })).length,
      1,
    );
  }
});

test('what is stored is unannounced until it is marked, and then no more', async () => {
  await using fixture = await openTestDatabase();
  const { process, stream, blocks } = await storeProcess(fixture.db, { blockCount: 2 });
  const lonely = makeBlock();
  const repository = new BlockRepository(fixture.db);
  await repository.insertIfAbsent(lonely);
  const all = { olderThanMs: 0, limit: 10 };
  const listed = await repository.listUnannounced(all);
  assert.deepEqual(
    listed
      .map(({ blockId, tags, objectCount, payloadBytes }) => ({
        blockId,
        tags,
        objectCount,
        payloadBytes,
      }))
      .toSorted((a, b) => (a.blockId < b.blockId ? -1 : 1)),
    [
      ...blocks.map((block) => ({
        blockId: block.blockId,
        tags: ['cpu'],
        objectCount: 3,
        payloadBytes: 100,
      })),
      { blockId: lonely.blockId, tags: undefined, objectCount: 3, payloadBytes: 100 },
    ].toSorted((a, b) => (a.blockId < b.blockId ? -1 : 1)),
  );
  assert.deepEqual(await repository.listUnannounced({ olderThanMs: 60_000, limit: 10 }), []);
  assert.equal((await repository.listUnannounced({ olderThanMs: 0, limit: 2 })).length, 2);
  await repository.markAnnounced(listed.map((block) => block.blockId));
  await repository.markAnnounced(listed.map((block) => block.blockId));
  assert.deepEqual(await repository.listUnannounced(all), []);
  const processes = new ProcessRepository(fixture.db);
  assert.deepEqual(
    (await processes.listUnannounced(all)).map((p) => p.processId),
    [process.processId],
  );
  await processes.markAnnounced([process.processId]);
  assert.deepEqual(await processes.listUnannounced(all), []);
  const streams = new StreamRepository(fixture.db);
  const [unannounced] = await streams.listUnannounced(all);
  assert.equal(unannounced?.streamId, stream.streamId);
  assert.deepEqual(unannounced?.tags, ['cpu']);
  await repository.insertIfAbsent(lonely);
  assert.deepEqual(await repository.listUnannounced(all), []);
});

test('a lake keeps the number of lanes it was made with', async () => {
  await using fixture = await openTestDatabase();
  assert.equal(await findLakeSettings(fixture.db), undefined);
  await Promise.all([1, 2, 3].map(() => ensureLakeSettings(fixture.db, { lanes: 8 })));
  await assert.rejects(
    ensureLakeSettings(fixture.db, { lanes: 4 }),
    (error) =>
      error instanceof StorageError &&
      error.code === 'storage.lake-settings-mismatch' &&
      /TRACELAKE_LANES=8/.test(error.message),
  );
  assert.deepEqual(await findLakeSettings(fixture.db), { lanes: 8 });
});

test('streams of a process without blocks, and streams of other tags, are no span streams', async () => {
  await using fixture = await openTestDatabase();
  const streams = new StreamRepository(fixture.db);
  const { process, stream } = await storeProcess(fixture.db);
  await streams.insertIfAbsent(
    makeStream({ processId: process.processId, streamId: newStreamId() }),
  );
  const log = makeStream({ processId: process.processId, tags: ['log'] });
  await streams.insertIfAbsent(log);
  await new BlockRepository(fixture.db).insertIfAbsent(
    makeBlock({ processId: process.processId, streamId: log.streamId }),
  );
  const found = await streams.listCpuStreamsOf(process.processId);
  assert.deepEqual(
    found.map((one) => one.streamId),
    [stream.streamId],
  );
});
