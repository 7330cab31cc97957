/**
 * Scenario: a process's blocks come late, twice, damaged, and several builders want the same.
 * Guarantees: rows are those of a build from nothing, only what changed is decoded, nothing half done shows.
 */

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { TokenPool } from '@tracelake/channels';
import { type IngestRequest, RecordingBuilder, seededRandom } from '@tracelake/test-kit';
import { decodeBlockEnvelope } from '@tracelake/transit';
import { type BuildLab, openBuildLab } from '../../test/build-lab.ts';
import { openTestLake, type TestLake } from '../../test/test-lake.ts';
import { readViewRows } from '../../test/view-rows.ts';
import { BlockReader } from './block-reader.ts';

const signal = AbortSignal.timeout(300_000);
let lake: TestLake;
let lab: BuildLab;

before(async () => {
  lake = await openTestLake();
  lab = await openBuildLab(lake);
});
after(async () => {
  await lab[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
});

const SPAN_COLUMNS = ['id', 'parent', 'depth', 'hash', 'begin', 'end', 'duration', 'name', 'open'];
const ASYNC_COLUMNS = ['stream_id', 'block_id', 'time', 'event_type', 'span_id', 'name'];
const LOG_COLUMNS = ['stream_id', 'block_id', 'time', 'level', 'target', 'msg', 'properties'];

let nextSeed = 1000;

interface Recorded {
  readonly processId: string;
  readonly streamId: string;
  readonly setup: IngestRequest[];
  readonly blocks: IngestRequest[];
}

/** Spans that stay open over several blocks, async spans and log lines, in `count` blocks of each stream. */
function record(count: number, seed = nextSeed++): Recorded {
  const recording = new RecordingBuilder({ seed, frequencyHz: 1e9 });
  const thread = recording.addThread({ name: 'worker', id: '7' });
  const outer = { name: 'outer', target: 't', file: 'o.rs', line: 1 };
  const inner = { name: 'inner', target: 't', file: 'i.rs', line: 2 };
  thread.begin(outer, 10);
  for (let index = 0; index < count; index++) {
    const at = 1000 * (index + 1);
    thread.begin(inner, at);
    thread.asyncBegin({ scope: outer, ticks: at + 1, spanId: index });
    thread.end(inner, at + 300);
    if (index % 3 === 2) {
      thread.end(outer, at + 400);
      thread.begin(outer, at + 500);
    }
    thread.asyncEnd({ scope: outer, ticks: at + 600, spanId: index });
    thread.flushBlock();
    recording.log({ ticks: at, message: `line ${index}`, properties: { index: String(index) } });
    recording.logStream.flushBlock();
  }
  const requests = recording.requests();
  const isBlock = ({ path }: IngestRequest) => path.endsWith('insert_block');
  return {
    processId: recording.processId,
    streamId: thread.stream.streamId,
    setup: requests.filter((request) => !isBlock(request)),
    blocks: requests.filter(isBlock),
  };
}

async function ingestAll(requests: readonly IngestRequest[], into = lake): Promise<void> {
  for (const request of requests) await into.ingest(request);
}

const threadBlocks = ({ blocks, streamId }: Recorded) =>
  blocks.filter(({ body }) => decodeBlockEnvelope(body).streamId === streamId);

const spansOf = ({ streamId }: Recorded) => ({ viewSet: 'thread_spans', instance: streamId });
const asyncOf = ({ processId }: Recorded) => ({ viewSet: 'async_events', instance: processId });
const logsOf = ({ processId }: Recorded) => ({ viewSet: 'log_entries', instance: processId });

async function readAll(recorded: Recorded, from = lake): Promise<string[][][]> {
  return [
    await readViewRows(from, { ...spansOf(recorded), columns: SPAN_COLUMNS }),
    await readViewRows(from, { ...asyncOf(recorded), columns: ASYNC_COLUMNS }),
    await readViewRows(from, { ...logsOf(recorded), columns: LOG_COLUMNS }),
  ];
}

async function buildAll(recorded: Recorded, by = lab): Promise<void> {
  for (const target of [spansOf(recorded), asyncOf(recorded), logsOf(recorded)]) {
    await by.builder.build(target, signal);
  }
}

test('whatever the order of arrival and the builds between, rows are those of one build', async () => {
  const random = seededRandom(Number(process.env.TEST_SEED ?? Date.now() % 1_000_000));
  console.log(`seed ${random.seed}`);
  for (let round = 0; round < 6; round++) {
    const recorded = record(4 + random.int(10));
    await using straight = await openTestLake();
    await using straightLab = await openBuildLab(straight);
    await ingestAll([...recorded.setup, ...recorded.blocks], straight);
    await buildAll(recorded, straightLab);
    const requests = random.shuffle([...recorded.setup, ...recorded.blocks]);
    for (const request of requests) {
      await lake.ingest(request);
      if (random.int(4) === 0) await lake.ingest(random.pick(requests));
      if (random.int(3) === 0) await buildAll(recorded).catch(ignoreUnknown);
    }
    await buildAll(recorded);
    assert.deepEqual(await readAll(recorded), await readAll(recorded, straight), `round ${round}`);
  }
});

function ignoreUnknown(error: unknown): void {
  assert.equal((error as { code?: string }).code, 'materializer.unknown-instance');
}

test('appended blocks are the only ones decoded', async () => {
  const recorded = record(6);
  const blocks = threadBlocks(recorded);
  await ingestAll([...recorded.setup, ...blocks.slice(0, 4)]);
  const first = await lab.builder.build(spansOf(recorded), signal);
  assert.equal(first.blocksDecoded, 4);
  await ingestAll(blocks.slice(4));
  const second = await lab.builder.build(spansOf(recorded), signal);
  assert.equal(second.blocksDecoded, 2);
  assert.equal((await lab.builder.build(spansOf(recorded), signal)).decision, 'current');
});

test('a late block rebuilds its own run and no other', async () => {
  const recorded = record(9);
  const blocks = threadBlocks(recorded);
  const arrive = async (...indexes: number[]) => {
    await ingestAll(indexes.map((index) => blocks[index] as IngestRequest));
    return await lab.builder.build(spansOf(recorded), signal);
  };
  await ingestAll(recorded.setup);
  await arrive(0, 1);
  // Block 3 is not there yet: the chain ends before block 4.
  await arrive(2, 4, 5);
  // The outer span has been closed and opened again in block 8.
  await arrive(6, 7, 8);
  const before = await lake.catalog.listPartitions('thread_spans', recorded.streamId);
  const report = await arrive(3);
  // Its run is {2, 4, 5}; what the run hands on has changed with it, and so the one after it is rebuilt.
  assert.equal(report.blocksDecoded, 4 + 3);
  const now = await lake.catalog.listPartitions('thread_spans', recorded.streamId);
  assert.ok(now.some(({ partitionId }) => partitionId === before[0]?.partitionId));

  await arrive();
  await ingestAll(recorded.blocks);
  const logs = await lab.builder.build(logsOf(recorded), signal);
  assert.equal(logs.blocksDecoded, 9);
  await ingestAll(record(1, 77).blocks);
  assert.equal((await lab.builder.build(logsOf(recorded), signal)).decision, 'current');
});

test('a block that cannot be decoded is rejected and listed, and the rest goes on', async () => {
  const recorded = record(5);
  const [damaged, truncated, ...good] = threadBlocks(recorded);
  assert.ok(damaged && truncated);
  await ingestAll([...recorded.setup, ...good]);
  const damagedBlock = decodeBlockEnvelope(damaged.body);
  await lake.ingestBlock(damagedBlock, {
    ...damagedBlock.payload,
    objects: Uint8Array.of(1, 2, 3, 4),
  });
  const truncatedBlock = decodeBlockEnvelope(truncated.body);
  await lake.ingestBlock(truncatedBlock, Uint8Array.of(0xa2));
  const report = await lab.builder.build(asyncOf(recorded), signal);
  const ids = [damagedBlock.blockId, truncatedBlock.blockId].sort();
  assert.deepEqual(report.rejected.map(({ blockId }) => blockId).sort(), ids);
  for (const { reason } of report.rejected) assert.match(reason, /^transit\./);
  assert.equal(report.blocksDecoded, 3);
  const listed = await lake.catalog.listRejected({ viewSet: 'async_events', limit: 100 });
  assert.deepEqual(listed.map(({ blockId }) => blockId).sort(), ids);
  const rows = await readViewRows(lake, { ...asyncOf(recorded), columns: ASYNC_COLUMNS });
  assert.equal(rows.length, 6);
  const again = await lab.builder.build(asyncOf(recorded), signal);
  assert.equal(again.decision, 'current');
  assert.deepEqual(again.rejected.map(({ blockId }) => blockId).sort(), ids);
});

test('a block whose payload is gone is rejected by name', async () => {
  const recorded = record(3);
  await ingestAll([...recorded.setup, ...recorded.blocks]);
  const [first] = threadBlocks(recorded);
  assert.ok(first);
  const { processId, streamId, blockId } = decodeBlockEnvelope(first.body);
  await lake.objectStore.delete(`blobs/${processId}/${streamId}/${blockId}`);
  const report = await lab.builder.build(spansOf(recorded), signal);
  assert.deepEqual(
    report.rejected.map((one) => [one.blockId, one.reason.split(':')[0]]),
    [[blockId, 'storage.object-missing']],
  );
});

test('of many that ask at once, one builds', async () => {
  const recorded = record(8);
  await ingestAll([...recorded.setup, ...recorded.blocks]);
  await using other = await openBuildLab(lake);
  const builders = [lab.builder, other.builder, lab.builder, other.builder, lab.builder];
  const reports = await Promise.all(
    builders.map((builder) => builder.build(spansOf(recorded), signal)),
  );
  assert.equal(reports.filter(({ decision }) => decision === 'written').length, 1);
  assert.equal(new Set(reports.map(({ sourceHash }) => sourceHash)).size, 1);
});

test('two that build the same, because a claim had expired, commit it once', async () => {
  for (let round = 0; round < 5; round++) {
    const recorded = record(6);
    await ingestAll([...recorded.setup, ...recorded.blocks]);
    const settings = { ...lab.dependencies.settings, claimMs: 1 };
    await using first = await openBuildLab(lake, { overrides: { settings } });
    await using second = await openBuildLab(lake, { overrides: { settings } });
    const work = [first, second, first, second].map(({ builder }) =>
      builder.build(asyncOf(recorded), signal).catch((error) => {
        // Whoever notices that its claim is lost gives up; the bus delivers its request again.
        assert.equal((error as { code?: string }).code, 'materializer.claim-timeout');
      }),
    );
    await Promise.all(work);
    await lab.builder.build(asyncOf(recorded), signal);
    const rows = await readViewRows(lake, { ...asyncOf(recorded), columns: ASYNC_COLUMNS });
    assert.equal(rows.length, 12);
    const covered = (await lake.catalog.listPartitions('async_events', recorded.processId))
      .flatMap(({ blockIds }) => blockIds)
      .sort();
    assert.equal(new Set(covered).size, covered.length);
  }
});

test('a build that is given up leaves nothing to see and no file behind', async () => {
  const recorded = record(30);
  await ingestAll([...recorded.setup, ...recorded.blocks]);
  for (const delayMs of [0, 2, 5, 10, 20, 40]) {
    const controller = new AbortController();
    const reason = new Error('given up');
    setTimeout(() => controller.abort(reason), delayMs);
    const outcome = await lab.builder
      .build(spansOf(recorded), controller.signal)
      .catch((error) => error);
    if (!(outcome instanceof Error)) break;
    // Node's own calls wrap the signal's reason in an AbortError; which of them waits is chance.
    assert.equal(outcome.name === 'AbortError' ? outcome.cause : outcome, reason, outcome.message);
    const partitions = await lake.catalog.listPartitions('thread_spans', recorded.streamId);
    assert.equal(partitions.length, 0, `after ${delayMs} ms`);
  }
  assert.deepEqual(await readdir(lab.tempDir), []);
  assert.equal(lab.dependencies.reader.heldBytes, 0);
  assert.equal(lab.dependencies.cpuTokens.inUse, 0);
  const report = await lab.builder.build(spansOf(recorded), signal);
  assert.ok(report.decision === 'written' || report.partitions > 0);
});

test('a budget smaller than any payload and one worker still build everything', async () => {
  const recorded = record(10);
  await ingestAll([...recorded.setup, ...recorded.blocks]);
  const reader = new BlockReader({ objectStore: lake.objectStore, payloadBytesMax: 10 });
  const settings = { ...lab.dependencies.settings, workers: 1, channelDepth: 1 };
  const overrides = { reader, cpuTokens: new TokenPool(1), settings };
  await using narrow = await openBuildLab(lake, { overrides });
  const targets = [spansOf(recorded), asyncOf(recorded), logsOf(recorded)];
  const reports = await Promise.all(targets.map((target) => narrow.builder.build(target, signal)));
  assert.deepEqual(
    reports.map(({ blocksDecoded }) => blocksDecoded),
    [10, 10, 10],
  );
  assert.equal(reader.heldBytes, 0);
});

test('what does not exist, and what is no instance, is refused by name', async () => {
  const build = (viewSet: string, instance: string) =>
    lab.builder.build({ viewSet, instance }, signal);
  const absent = '00000000-0000-4000-8000-000000000000';
  await assert.rejects(build('async_events', absent), { code: 'materializer.unknown-instance' });
  await assert.rejects(build('async_events', 'global'), { code: 'lakehouse.bad-instance' });
  await assert.rejects(build('no_such_view', absent), { code: 'lakehouse.unknown-view' });
});

test('metrics and log tell what was built and what was left alone', async () => {
  const recorded = record(2);
  await ingestAll([...recorded.setup, ...recorded.blocks]);
  await using own = await openBuildLab(lake);
  await own.builder.build(logsOf(recorded), signal);
  await own.builder.build(logsOf(recorded), signal);
  const view = 'view="log_entries"';
  const count = (name: string) => own.metric(`tracelake_materializer_${name}`);
  assert.equal(await count(`builds_total{${view},outcome="written"}`), 1);
  assert.equal(await count(`builds_total{${view},outcome="current"}`), 1);
  assert.equal(await count(`partitions_built_total{${view}}`), 1);
  assert.equal(await count(`blocks_folded_total{${view}}`), 2);
  assert.equal(await count(`rows_written_total{${view}}`), 2);
  assert.equal(await count(`lag_ms_count{${view}}`), 2);
  assert.equal(await own.metric('tracelake_cpu_queue_depth'), 0);
  assert.equal(await own.metric('tracelake_cpu_queue_wait_ms_count'), 2);
  const messages = own.logLines.map(({ msg }) => msg);
  assert.deepEqual(messages, ['partition written', 'partition up to date']);
});
