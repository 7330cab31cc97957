/**
 * Scenario: blocks come one at a time into an eager view and into thread spans, each built at once.
 * Guarantees: runs stay few, rows stay those of one build, readers keep the files they have, builds are not held up.
 */

import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { TokenPool } from '@tracelake/channels';
import { createMetrics } from '@tracelake/service-kit';
import { objectKeys } from '@tracelake/storage';
import { type IngestRequest, RecordingBuilder } from '@tracelake/test-kit';
import { type BuildLab, openBuildLab, readMetric } from '../../test/build-lab.ts';
import { openTestLake, type TestLake } from '../../test/test-lake.ts';
import { partitionPaths, readViewRows } from '../../test/view-rows.ts';
import { sweepObjects } from '../object-sweeper.ts';
import { BuildActivity } from './build-activity.ts';
import { createCompactionMetrics } from './compaction-metrics.ts';
import { InstanceCompactor } from './instance-compactor.ts';

const signal = AbortSignal.timeout(300_000);
const metrics = createMetrics({ service: 'test' });
const activity = new BuildActivity();
let lake: TestLake;
let lab: BuildLab;
let compactor: InstanceCompactor;

before(async () => {
  lake = await openTestLake();
  lab = await openBuildLab(lake);
  const turn = new TokenPool(1);
  const options = { metrics: createCompactionMetrics(metrics), activity, turn };
  compactor = new InstanceCompactor({ ...options, deps: lab.dependencies });
});
after(async () => {
  await lab[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
});

const SPAN_COLUMNS = ['id', 'parent', 'depth', 'begin', 'end', 'name', 'open'];
const LOG_COLUMNS = ['stream_id', 'block_id', 'time', 'msg', 'properties'];

/** `count` blocks of a thread, spans left open over several of them, and as many of log lines. */
function record(count: number, seed: number) {
  const recording = new RecordingBuilder({ seed, frequencyHz: 1e9 });
  const thread = recording.addThread({ name: 'worker', id: '7' });
  const outer = { name: 'outer', target: 't', file: 'o.rs', line: 1 };
  const inner = { name: 'inner', target: 't', file: 'i.rs', line: 2 };
  thread.begin(outer, 10);
  for (let index = 0; index < count; index++) {
    const at = 1000 * (index + 1);
    thread.begin(inner, at);
    thread.end(inner, at + 300);
    if (index % 5 === 4) {
      thread.end(outer, at + 400);
      thread.begin(outer, at + 500);
    }
    thread.flushBlock();
    recording.log({ ticks: at, message: `line ${index}`, properties: { index: String(index) } });
    recording.logStream.flushBlock();
  }
  const requests = recording.requests();
  const isBlock = ({ path }: IngestRequest) => path.endsWith('insert_block');
  const { processId } = recording;
  const { streamId } = thread.stream;
  return {
    setup: requests.filter((request) => !isBlock(request)),
    blocks: requests.filter(isBlock),
    logs: { viewSet: 'log_entries', instance: processId, columns: LOG_COLUMNS },
    spans: { viewSet: 'thread_spans', instance: streamId, columns: SPAN_COLUMNS },
  };
}

type Target = ReturnType<typeof record>['logs'];

const runsOf = async ({ viewSet, instance }: Target) =>
  (await lake.catalog.listPartitions(viewSet, instance)).filter(({ kind }) => kind === 'run');

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

test('a hundred blocks, one at a time, end as a few runs with the rows of one build', async () => {
  const recorded = record(100, 71);
  const targets = [recorded.logs, recorded.spans];
  for (const request of recorded.setup) await lake.ingest(request);
  let runsMax = 0;
  for (const request of recorded.blocks) {
    await lake.ingest(request);
    for (const target of targets) {
      await lab.builder.build(target, signal);
      const { partitions } = await compactor.compact(target, signal);
      runsMax = Math.max(runsMax, partitions);
    }
  }
  assert(runsMax <= 17, `${runsMax} partitions`);
  await using straight = await openTestLake();
  await using straightLab = await openBuildLab(straight);
  for (const request of [...recorded.setup, ...recorded.blocks]) await straight.ingest(request);
  for (const target of targets) {
    const runs = await runsOf(target);
    assert(runs.length <= 16, `${target.viewSet}: ${runs.length} runs`);
    await straightLab.builder.build(target, signal);
    const rows = await readViewRows(lake, target);
    assert(rows.length >= 100);
    assert.deepEqual(rows, await readViewRows(straight, target));
    const again = await lab.builder.build(target, signal);
    assert.deepEqual([again.decision, again.built], ['current', 0]);
  }
  const built = await lab.metric(
    'tracelake_materializer_partitions_built_total{view="log_entries"}',
  );
  assert.equal(built, 100, 'merged runs are not counted as built');
  const runsIn = 'tracelake_materializer_compaction_runs_total{view="log_entries",direction="in"}';
  const merged = 'tracelake_materializer_compactions_total{view="log_entries",outcome="merged"}';
  const compactions = await readMetric(metrics, merged);
  assert(compactions >= 100 / 8 - 1);
  const runs = await runsOf(recorded.logs);
  assert.equal(await readMetric(metrics, runsIn), 100 + compactions - runs.length);
  assert(lab.logLines.some(({ msg }) => msg === 'partitions merged'));
});

test('who reads under a lease keeps the files that were merged, until the lease is closed', async () => {
  const recorded = record(10, 72);
  for (const request of recorded.setup) await lake.ingest(request);
  for (const request of recorded.blocks) {
    await lake.ingest(request);
    await lab.builder.build(recorded.spans, signal);
  }
  const { viewSet, instance } = recorded.spans;
  const rows = await readViewRows(lake, recorded.spans);
  const lease = await lake.catalog.openReadLease({ owner: 'test' });
  const paths = await partitionPaths(lake, viewSet, instance);
  const sweeper = { ...lab.dependencies, ...lake, orphanAgeMs: 3_600_000 };
  const { runsIn } = await compactor.compact(recorded.spans, signal);
  assert.equal(runsIn, 10);
  await sweepObjects(sweeper, signal);
  for (const path of paths) assert(await exists(path), path);
  assert.deepEqual(await readViewRows(lake, recorded.spans), rows);
  await lease[Symbol.asyncDispose]();
  await sweepObjects(sweeper, signal);
  const left = await partitionPaths(lake, viewSet, instance);
  for (const path of paths) assert.equal(await exists(path), left.includes(path), path);
});

test('builds and merges of the same instance at the same time: every block stays, none is held up', async () => {
  const recorded = record(40, 73);
  for (const request of recorded.setup) await lake.ingest(request);
  const target = recorded.spans;
  const stop = new AbortController();
  const merging = (async () => {
    let runs = 0;
    while (!stop.signal.aborted) runs += (await compactor.compact(target, signal)).runsIn;
    return runs;
  })();
  // Late ones and those in order: some rebuild the very runs that are being merged.
  const late = recorded.blocks.filter((_, index) => index % 14 === 6);
  const inOrder = recorded.blocks.filter((block) => !late.includes(block));
  try {
    for (const request of [...inOrder, ...late]) {
      await lake.ingest(request);
      using _build = activity.enter();
      await lab.builder.build(target, signal);
    }
  } finally {
    stop.abort();
  }
  const merged = await merging;
  assert(merged >= 8, `${merged} runs merged`);
  const again = await lab.builder.build(target, signal);
  assert.equal(again.decision, 'current');
  const rows = await readViewRows(lake, target);
  await using straight = await openTestLake();
  await using straightLab = await openBuildLab(straight);
  for (const request of [...recorded.setup, ...recorded.blocks]) await straight.ingest(request);
  await straightLab.builder.build(target, signal);
  assert.deepEqual(rows, await readViewRows(straight, target));
});

test('a payload that is gone does not take rows away: the runs stay as they are', async () => {
  const recorded = record(9, 74);
  for (const request of recorded.setup) await lake.ingest(request);
  const keys: string[] = [];
  for (const request of recorded.blocks) {
    const block = await lake.ingest(request);
    if (block?.streamId === recorded.spans.instance)
      keys.push(objectKeys.block(block.processId, block.streamId, block.blockId));
    await lab.builder.build(recorded.spans, signal);
  }
  const before = await readViewRows(lake, recorded.spans);
  await lake.objectStore.delete(keys[4] ?? '');
  const { runsIn, partitions } = await compactor.compact(recorded.spans, signal);
  assert.deepEqual([runsIn, partitions], [0, 10]);
  assert.deepEqual(await readViewRows(lake, recorded.spans), before);
  const refused = 'tracelake_materializer_compactions_total{view="thread_spans",outcome="refused"}';
  assert.equal(await readMetric(metrics, refused), 1);
});
