import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ProcessInfo, ticks } from '@tracelake/domain';
import {
  ASYNC_VIEW,
  LOG_VIEW,
  makeBlock,
  makeProcess,
  makeRun,
  makeStream,
  newBlockId,
  storeProcess,
  THREAD_VIEW,
} from '../test/catalog-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { BlockRepository } from './block-repository.ts';
import { PartitionCatalog } from './partition-catalog.ts';
import { sql } from './postgres/sql.ts';
import { StreamRepository } from './stream-repository.ts';

const SCHEMA = 'aa';

test('a committed partition comes back as it was, with its blocks in order and its carry', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const { stream, blocks } = await storeProcess(fixture.db);
  const key = { viewSet: THREAD_VIEW.name, instance: stream.streamId, schemaHash: SCHEMA };
  const carryOut = Uint8Array.of(1, 2, 255);
  const run = makeRun(blocks.toReversed(), { carryOutHash: 'c1', carryOut });
  const tail = makeRun([], {
    kind: 'tail',
    carryInHash: 'c1',
    objectKey: null,
    rowCount: 0,
    minEventNs: null,
    maxEventNs: null,
    sizeBytes: 0,
  });
  assert.equal(await catalog.commit({ ...key, replaces: [], insert: [tail, run] }), 'committed');
  const { carryOut: _, ...record } = { ...run, ...key };
  const listed = await catalog.listPartitions(THREAD_VIEW.name, stream.streamId);
  assert.deepEqual(listed, [record, { ...tail, ...key }]);
  assert.deepEqual(await catalog.loadCarry(run.partitionId), carryOut);
  assert.equal(await catalog.loadCarry(tail.partitionId), undefined);
  assert.equal(await catalog.loadCarry('none'), undefined);
  assert.deepEqual(await catalog.listRetirable({ limit: 10 }), []);
});

test('an empty carry is a carry', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const run = makeRun([makeBlock()], { carryOut: new Uint8Array(0) });
  const key = { viewSet: 'v', instance: 'i', schemaHash: SCHEMA };
  await catalog.commit({ ...key, replaces: [], insert: [run] });
  assert.deepEqual(await catalog.loadCarry(run.partitionId), new Uint8Array(0));
});

test('of two writers that race to cover the same block exactly one wins, and the other writes nothing', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  for (let round = 0; round < 20; round++) {
    const shared = makeBlock();
    const key = { viewSet: 'v', instance: `race-${round}`, schemaHash: SCHEMA };
    const writers = [0, 1, 2, 3].map((writer) => {
      const own = [makeBlock(), makeBlock()];
      const covered = writer % 2 === 0 ? [shared, ...own] : [...own, shared];
      return makeRun(covered, { objectKey: `views/v/${round}-${writer}` });
    });
    const outcomes = await Promise.all(
      writers.map((insert) => catalog.commit({ ...key, replaces: [], insert: [insert] })),
    );
    assert.equal(outcomes.filter((outcome) => outcome === 'committed').length, 1);
    const listed = await catalog.listPartitions('v', key.instance);
    assert.deepEqual(
      listed.map((partition) => partition.objectKey),
      [writers[outcomes.indexOf('committed')]?.objectKey],
    );
  }
});

test('of two writers that replace the same partitions exactly one wins, whatever order they name them in', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  for (let round = 0; round < 10; round++) {
    const key = { viewSet: 'v', instance: `replace-${round}`, schemaHash: SCHEMA };
    const [a, b] = [makeBlock(), makeBlock()];
    const old = [makeRun([a]), makeRun([b])];
    await catalog.commit({ ...key, replaces: [], insert: old });
    const ids = old.map((partition) => partition.partitionId);
    const outcomes = await Promise.all([
      catalog.commit({ ...key, replaces: ids, insert: [makeRun([a, b])] }),
      catalog.commit({ ...key, replaces: ids.toReversed(), insert: [makeRun([a, b])] }),
    ]);
    assert.deepEqual(outcomes.toSorted(), ['committed', 'conflict']);
    assert.equal((await catalog.listPartitions('v', key.instance)).length, 1);
  }
  const retired = await fixture.db.query<{ count: bigint }>(
    sql`SELECT count(*) AS count FROM retired_objects`,
  );
  assert.equal(retired[0]?.count, 20n);
});

test('a commit that replaces a partition which is gone, or counts on a predecessor which changed, changes nothing', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const key = { viewSet: 'v', instance: 'i', schemaHash: SCHEMA };
  const [first, second] = [makeBlock(), makeBlock()];
  const run = makeRun([first], { carryOutHash: 'c1' });
  await catalog.commit({ ...key, replaces: [], insert: [run] });
  const next = makeRun([second], { carryInHash: 'c1' });
  const attempts = [
    { ...key, replaces: ['gone'], insert: [next] },
    { ...key, replaces: [run.partitionId, 'gone'], insert: [next] },
    { ...key, replaces: [], insert: [next], expectPredecessorCarryHash: 'c0' },
    { ...key, replaces: [run.partitionId], insert: [next], expectPredecessorCarryHash: 'c1' },
    { ...key, schemaHash: 'bb', replaces: [run.partitionId], insert: [next] },
  ];
  for (const attempt of attempts) assert.equal(await catalog.commit(attempt), 'conflict');
  const unchanged = await catalog.listPartitions('v', 'i');
  assert.deepEqual(
    unchanged.map((partition) => partition.partitionId),
    [run.partitionId],
  );
  assert.deepEqual(await catalog.listRetirable({ limit: 10 }), []);
  const good = { ...key, replaces: [], insert: [next], expectPredecessorCarryHash: 'c1' };
  assert.equal(await catalog.commit(good), 'committed');
});

test('a predecessor that is being replaced makes one of the two commits lose', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  for (let round = 0; round < 10; round++) {
    const key = { viewSet: 'v', instance: `predecessor-${round}`, schemaHash: SCHEMA };
    const [first, late, second] = [makeBlock(), makeBlock(), makeBlock()];
    const run = makeRun([first], { carryOutHash: 'old' });
    await catalog.commit({ ...key, replaces: [], insert: [run] });
    const [replaced, followed] = await Promise.all([
      catalog.commit({
        ...key,
        replaces: [run.partitionId],
        insert: [makeRun([first, late], { carryOutHash: 'new' })],
      }),
      catalog.commit({
        ...key,
        replaces: [],
        insert: [makeRun([second], { carryInHash: 'old' })],
        expectPredecessorCarryHash: 'old',
      }),
    ]);
    // Whichever came first: the follower never stands after the old carry was already gone.
    assert.equal(replaced, 'committed');
    assert.ok(followed === 'committed' || followed === 'conflict');
    const hashes = (await catalog.listPartitions('v', key.instance)).map((p) => p.carryOutHash);
    assert.equal(hashes.includes('new'), true);
    assert.equal(hashes.length, followed === 'committed' ? 2 : 1);
  }
});

test('an instance has at most one tail', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const key = { viewSet: 'v', instance: 'i', schemaHash: SCHEMA };
  const tail = makeRun([], { kind: 'tail' });
  assert.equal(await catalog.commit({ ...key, replaces: [], insert: [tail] }), 'committed');
  const second = makeRun([], { kind: 'tail' });
  assert.equal(await catalog.commit({ ...key, replaces: [], insert: [second] }), 'conflict');
  const replacing = { ...key, replaces: [tail.partitionId], insert: [second] };
  assert.equal(await catalog.commit(replacing), 'committed');
  assert.deepEqual(await catalog.listRetirable({ limit: 10 }), [tail.objectKey]);
});

test('the same content of two schemas, views or instances does not clash', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const block = makeBlock();
  const keys = [
    { viewSet: 'v', instance: 'i', schemaHash: 'aa' },
    { viewSet: 'v', instance: 'i', schemaHash: 'bb' },
    { viewSet: 'w', instance: 'i', schemaHash: 'aa' },
    { viewSet: 'v', instance: 'j', schemaHash: 'aa' },
  ];
  for (const [index, key] of keys.entries()) {
    const run = makeRun([block], { partitionId: 'same', objectKey: `views/${index}` });
    assert.equal(await catalog.commit({ ...key, replaces: [], insert: [run] }), 'committed');
  }
});

test('a snapshot of a stream holds its process, stream, partitions of one schema, and what they do not cover as wanted', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const { process, stream, blocks } = await storeProcess(fixture.db, { blockCount: 12 });
  await storeProcess(fixture.db);
  const key = { viewSet: THREAD_VIEW.name, instance: stream.streamId, schemaHash: SCHEMA };
  const run = makeRun(blocks.slice(0, 4));
  await catalog.commit({ ...key, replaces: [], insert: [run] });
  await catalog.commit({ ...key, schemaHash: 'old', replaces: [], insert: [makeRun(blocks)] });
  const rejected = blocks[2]?.blockId ?? assert.fail();
  await catalog.rejectBlock({ viewSet: THREAD_VIEW.name, blockId: rejected, reason: 'bad\0bytes' });
  const request = { view: THREAD_VIEW, instance: stream.streamId, schemaHash: SCHEMA };
  const snapshot = await catalog.loadSnapshot(request);
  assert.deepEqual(snapshot.process, process);
  assert.deepEqual([...snapshot.streams.keys()], [stream.streamId]);
  const { blockIds, ...summary } = run;
  assert.deepEqual(
    snapshot.partitions.map(({ partition }) => partition),
    [{ ...summary, ...key }],
  );
  // The hash of the run is none that blocks could have.
  assert.deepEqual(
    snapshot.layout?.runs.map(({ staleReason }) => staleReason),
    ['process, stream or calibration changed'],
  );
  assert.deepEqual(
    snapshot.layout?.unplaced.map(({ block, ownerId }) => [block.blockId, ownerId]),
    blocks.map(({ blockId }, index) => [blockId, index < 4 ? run.partitionId : undefined]),
  );
  const covered = await catalog.loadCoveredBlocks(key, [run.partitionId, 'none']);
  assert.deepEqual(
    covered.map(({ blockId }) => blockId),
    blockIds,
  );
  const all = blocks.map(({ blockId }) => blockId);
  const badOnes = [{ blockId: rejected, reason: 'bad\ufffdbytes' }];
  assert.deepEqual(await catalog.findRejected(THREAD_VIEW.name, all), badOnes);
  const rejectedBy = { viewSet: THREAD_VIEW.name, streamIds: [stream.streamId], limit: 10 };
  assert.deepEqual(await catalog.listRejectedOf(rejectedBy), badOnes);
  assert.deepEqual(snapshot.calibrationCandidates, []);
  const unknown = await catalog.loadSnapshot({ ...request, instance: process.processId });
  assert.equal(unknown.process, undefined);
  assert.equal(unknown.layout, undefined);
});

test('a snapshot of a process holds every span stream, however early it was registered, as of one moment', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const { process, stream, blocks } = await storeProcess(fixture.db);
  const second = makeStream({ processId: process.processId });
  const silent = makeStream({ processId: process.processId });
  const log = makeStream({ processId: process.processId, tags: ['log'] });
  for (const one of [second, silent, log])
    await new StreamRepository(fixture.db).insertIfAbsent(one);
  const more = makeBlock({ processId: process.processId, streamId: second.streamId });
  const logged = makeBlock({ processId: process.processId, streamId: log.streamId });
  await new BlockRepository(fixture.db).insertMany([more, logged]);
  const run = makeRun(blocks);
  const threadKey = { viewSet: THREAD_VIEW.name, instance: stream.streamId, schemaHash: SCHEMA };
  await catalog.commit({ ...threadKey, replaces: [], insert: [run] });
  const snapshot = await catalog.loadProcessSnapshot({
    processId: process.processId,
    views: [
      { view: THREAD_VIEW, schemaHash: SCHEMA },
      { view: ASYNC_VIEW, schemaHash: 'bb' },
    ],
  });
  assert.deepEqual(
    [...snapshot.streams.keys()].toSorted(),
    [stream.streamId, second.streamId].toSorted(),
  );
  const found = snapshot.instances
    .map((one) => [one.viewSet, one.instance, one.schemaHash, one.known, one.partitions.length])
    .toSorted();
  const expected = [
    [THREAD_VIEW.name, stream.streamId, SCHEMA, 3, 1],
    [THREAD_VIEW.name, second.streamId, SCHEMA, 1, 0],
    [ASYNC_VIEW.name, process.processId, 'bb', 4, 0],
  ].toSorted();
  assert.deepEqual(found, expected);
  assert.equal(snapshot.lastBlockEndNs, 1_763_690_002_000_002_000n);
});

test('the candidates for calibration hold the evidence that all blocks would give', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const process: ProcessInfo = makeProcess({ tscFrequencyHz: 0n });
  const { stream } = await storeProcess(fixture.db, { process, blockCount: 0 });
  // End 900, 1,024, 1,500 and 2,047 ms after the start: the evidence is the least end_ticks from 1,024 ms on.
  const ends = [900n, 1024n, 1500n, 2047n];
  const blocks = ends.map((ms, index) =>
    makeBlock({
      processId: process.processId,
      streamId: stream.streamId,
      endNs: (process.startNs + ms * 1_000_000n) as ProcessInfo['startNs'],
      endTicks: ticks([1n, 30n, 20n, 40n][index] ?? 0n),
    }),
  );
  await new BlockRepository(fixture.db).insertMany(blocks);
  const request = { view: LOG_VIEW, instance: process.processId, schemaHash: SCHEMA };
  const snapshot = await catalog.loadSnapshot(request);
  assert.deepEqual(
    snapshot.calibrationCandidates.map((block) => block.blockId),
    [blocks[3]?.blockId, blocks[2]?.blockId],
  );
});

test('rejections follow the commits that cover the blocks', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const key = { viewSet: 'v', instance: 'i', schemaHash: SCHEMA };
  const [good, bad] = [makeBlock(), makeBlock()];
  const run = makeRun([good, bad]);
  const rejected = [{ blockId: bad.blockId, reason: 'truncated' }];
  await catalog.commit({ ...key, replaces: [], insert: [run], rejected });
  const listed = await catalog.listRejected({ viewSet: 'v', limit: 10 });
  assert.deepEqual(
    listed.map(({ blockId, reason }) => ({ blockId, reason })),
    rejected,
  );
  assert.deepEqual(await catalog.listRejected({ viewSet: 'w', limit: 10 }), []);
  const newer = {
    ...key,
    schemaHash: 'bb',
    replaces: [],
    insert: [makeRun([good, bad])],
    rejected: [],
  };
  await catalog.commit(newer);
  assert.deepEqual(await catalog.listRejected({ limit: 10 }), []);
});

test('a claim is held by one, kept by renewing, and free once released or expired', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const claim = { viewSet: 'v', instance: 'i', ttlMs: 60_000 };
  const tries = await Promise.all(
    ['a', 'b', 'c', 'd'].map((owner) => catalog.tryClaim({ ...claim, owner })),
  );
  assert.equal(tries.filter((held) => held).length, 1);
  const owner = ['a', 'b', 'c', 'd'][tries.indexOf(true)] ?? '';
  assert.equal(await catalog.renewClaim({ ...claim, owner }), true);
  assert.equal(await catalog.renewClaim({ ...claim, owner: 'x' }), false);
  await catalog.releaseClaim({ ...claim, owner: 'x' });
  assert.equal(await catalog.tryClaim({ ...claim, owner: 'x' }), false);
  await catalog.releaseClaim({ ...claim, owner });
  assert.equal(await catalog.tryClaim({ ...claim, owner: 'y', ttlMs: 1 }), true);
  await fixture.db.query(sql`SELECT pg_sleep(0.01)`);
  assert.equal(await catalog.renewClaim({ ...claim, owner: 'y', ttlMs: 1 }), true);
  await fixture.db.query(sql`SELECT pg_sleep(0.01)`);
  assert.equal(await catalog.tryClaim({ ...claim, owner: 'z' }), true);
  assert.equal(await catalog.renewClaim({ ...claim, owner: 'y' }), false);
});

test('instances with uncovered wanted blocks are listed as behind, longest waiting first', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const first = await storeProcess(fixture.db, { tag: 'log', blockCount: 2 });
  const second = await storeProcess(fixture.db, { tag: 'log', blockCount: 1 });
  const spans = await storeProcess(fixture.db, { tag: 'cpu', blockCount: 2 });
  await new BlockRepository(fixture.db).insertIfAbsent(makeBlock());
  const viewSets = [
    { view: LOG_VIEW, schemaHash: SCHEMA },
    { view: THREAD_VIEW, schemaHash: SCHEMA },
  ];
  const expected = [
    { viewSet: 'log_entries', instance: first.process.processId, blockCount: 2 },
    { viewSet: 'log_entries', instance: second.process.processId, blockCount: 1 },
    { viewSet: 'thread_spans', instance: spans.stream.streamId, blockCount: 2 },
  ];
  for (const withinMs of [undefined, 60_000]) {
    const filter = { viewSets, limit: 10, ...(withinMs === undefined ? {} : { withinMs }) };
    const behind = await catalog.listInstancesBehind(filter);
    assert.deepEqual(
      behind.map(({ viewSet, instance, blockCount }) => ({ viewSet, instance, blockCount })),
      expected,
    );
    assert.equal(behind[2]?.processId, spans.process.processId);
  }
  const key = { viewSet: 'log_entries', instance: first.process.processId, schemaHash: SCHEMA };
  const [covered] = first.blocks;
  await catalog.commit({ ...key, replaces: [], insert: [makeRun(covered ? [covered] : [])] });
  const left = await catalog.listInstancesBehind({ viewSets, limit: 1 });
  assert.deepEqual(
    left.map((one) => [one.viewSet, one.blockCount]),
    [
      ['log_entries', 1],
      ['thread_spans', 2],
    ],
  );
  await fixture.db.query(sql`SELECT pg_sleep(0.05)`);
  assert.deepEqual(await catalog.listInstancesBehind({ viewSets, limit: 9, withinMs: 1 }), []);
});

test('a stream that comes late makes its old blocks count as new', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const { process } = await storeProcess(fixture.db, { blockCount: 0 });
  const stream = makeStream({ processId: process.processId });
  const block = makeBlock({
    blockId: newBlockId(),
    processId: process.processId,
    streamId: stream.streamId,
  });
  await new BlockRepository(fixture.db).insertIfAbsent(block);
  await fixture.db.query(sql`SELECT pg_sleep(0.3)`);
  await new StreamRepository(fixture.db).insertIfAbsent(stream);
  const filter = { viewSets: [{ view: THREAD_VIEW, schemaHash: SCHEMA }], limit: 9, withinMs: 250 };
  const behind = await catalog.listInstancesBehind(filter);
  assert.deepEqual(
    behind.map((one) => one.instance),
    [stream.streamId],
  );
});

test('a snapshot never shows a partition of blocks that it does not show', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const { process, stream } = await storeProcess(fixture.db, { blockCount: 0 });
  const key = { viewSet: THREAD_VIEW.name, instance: stream.streamId, schemaHash: SCHEMA };
  const blocks = new BlockRepository(fixture.db);
  let isWriting = true;
  const writing = (async () => {
    for (let index = 0; index < 60; index++) {
      const block = makeBlock({ processId: process.processId, streamId: stream.streamId });
      await blocks.insertIfAbsent(block);
      assert.equal(
        await catalog.commit({ ...key, replaces: [], insert: [makeRun([block])] }),
        'committed',
      );
    }
    isWriting = false;
  })();
  const views = [{ view: THREAD_VIEW, schemaHash: SCHEMA }];
  while (isWriting) {
    const request = { view: THREAD_VIEW, instance: stream.streamId, schemaHash: SCHEMA };
    const all = await catalog.loadProcessSnapshot({ processId: process.processId, views });
    for (const { covered, partitions } of all.instances) {
      const built = partitions.reduce((sum, partition) => sum + partition.blockCount, 0);
      assert.equal(covered, built);
    }
    const state = await catalog.loadSnapshot(request);
    assert.ok(state.partitions.every((one) => one.presentCount === one.blockCount));
  }
  await writing;
});
