/**
 * Scenario: an instance of which some blocks are covered by runs that fit, that do not, or that are in each
 * other's way.
 * Guarantees: what is told from facts of each partition is what a plan over all blocks tells, and so is the plan.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BlockId, nanoseconds, type ProcessId, type StreamId, ticks } from '@tracelake/domain';
import {
  calibrate,
  chooseCalibrationEvidence,
  compareInsertOrder,
  compareStreamOrder,
  isConsistent,
  isCoverageConsistent,
  type LayoutRequest,
  planInstance,
  planLayout,
  type RunContext,
  type SourceBlock,
  sourceHashOf,
} from '@tracelake/lakehouse';
import { type SeededRandom, seededRandom } from '@tracelake/test-kit';
import {
  ASYNC_VIEW,
  makeBlock,
  makeProcess,
  makeRun,
  makeStream,
  storeProcess,
  THREAD_VIEW,
} from '../test/catalog-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { BlockRepository } from './block-repository.ts';
import type { InstanceRequest } from './instance-snapshot.ts';
import type { SnapshotView } from './lake-snapshot.ts';
import { PartitionCatalog } from './partition-catalog.ts';
import type { NewPartition } from './partition-rows.ts';
import type { Database } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';
import { StreamRepository } from './stream-repository.ts';

const SCHEMA_HASH = 'aa';
const VIEWS = [THREAD_VIEW, ASYNC_VIEW];

interface Instance {
  readonly view: InstanceRequest['view'];
  readonly instance: string;
  readonly blocks: readonly SourceBlock[];
  readonly context: RunContext;
}

test('partitions fit together by their facts when they do by their blocks', async () => {
  const seed = Number(process.env.TRACELAKE_TEST_SEED ?? Date.now() % 1_000_000);
  console.log(`seed ${seed}`);
  const random = seededRandom(seed);
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const outcomes = new Map<string, number>();
  for (let round = 0; round < 25; round++) {
    for (const view of VIEWS) {
      const one = await storeInstance(fixture.db, catalog, { view, random });
      const runs = cutRuns(one, random);
      const key = { viewSet: view.name, instance: one.instance, schemaHash: SCHEMA_HASH };
      const insert = [...runs, ...tailsOf(one, runs, random)];
      assert.equal(await catalog.commit({ ...key, replaces: [], insert }), 'committed');
      if (random.int(8) === 0) await deleteBlock(fixture.db, runs[0]?.blockIds[0]);
      const isComplete = await decideBoth(fixture.db, catalog, one);
      const outcome = `${view.name} ${isComplete}`;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  }
  // All of it was met.
  assert.equal(outcomes.size, 4, JSON.stringify([...outcomes]));
});

async function decideBoth(
  db: Database,
  catalog: PartitionCatalog,
  { view, instance }: Instance,
): Promise<boolean> {
  const request = { view, instance, schemaHash: SCHEMA_HASH };
  const { process, streams, calibrationCandidates, layout } = await catalog.loadSnapshot(request);
  assert.ok(process !== undefined && layout !== undefined);
  const evidence = chooseCalibrationEvidence(process, calibrationCandidates);
  const context = { process, streams, calibration: calibrate(process, evidence) };
  const partitions = await catalog.listPartitions(view.name, instance);
  const all = await listWanted(db, view, instance);
  const covered = new Set(partitions.flatMap(({ blockIds }) => blockIds));
  const wanted = all.filter(({ blockId }) => covered.has(blockId));
  const plan = { view, schemaHash: SCHEMA_HASH, context, partitions };
  const expected = isConsistent({ ...plan, wanted }) === 'complete';
  const lake = { instances: [request], globals: [], processes: [] };
  const [found, ...others] = (await catalog.loadLakeSnapshot(lake)).instances;
  assert.ok(found !== undefined && others.length === 0);
  assert.equal(isCoverageConsistent(view, found.partitions), expected);
  assert.equal(found.known, all.length);
  assert.equal(found.covered, wanted.length);
  assert.deepEqual(planLayout(layout), planInstance({ ...plan, wanted: all }));
  await checkParts(catalog, request, layout);
  return expected;
}

/** What one plan may not take is left, and only that. */
async function checkParts(
  catalog: PartitionCatalog,
  request: InstanceRequest,
  whole: LayoutRequest,
): Promise<void> {
  for (const unplacedMax of [1, whole.unplaced.length]) {
    const { layout } = await catalog.loadSnapshot({ ...request, unplacedMax });
    assert.deepEqual(layout?.unplaced, whole.unplaced.slice(0, unplacedMax));
    assert.equal(layout?.isPartial, whole.unplaced.length > unplacedMax);
  }
}

function listWanted(db: Database, view: SnapshotView, instance: string): Promise<SourceBlock[]> {
  const { streamTag } = view;
  return new BlockRepository(db).listWanted(
    view.instanceRule === 'process'
      ? { streamTag, processId: instance as ProcessId }
      : { streamTag, streamId: instance as StreamId },
  );
}

async function storeInstance(
  db: Database,
  catalog: PartitionCatalog,
  { view, random }: { view: InstanceRequest['view']; random: SeededRandom },
): Promise<Instance> {
  const tscFrequencyHz = random.int(2) === 0 ? 0n : 3_000_000_000n;
  const owner = makeProcess({ tscFrequencyHz });
  const { process, stream } = await storeProcess(db, { process: owner, blockCount: 0 });
  const { processId } = process;
  const second = makeStream({ processId });
  await new StreamRepository(db).insertIfAbsent(second);
  const streamIds = [stream.streamId, view.folds ? stream.streamId : second.streamId];
  const rows = Array.from({ length: 1 + random.int(12) }, () => {
    const beginTicks = ticks(BigInt(random.int(6)));
    const endNs = nanoseconds(process.startNs + BigInt(random.int(1000)) * 1_000_000n);
    return makeBlock({
      ...{ processId, streamId: streamIds[random.int(2)] ?? stream.streamId },
      ...{ beginTicks, endTicks: ticks(beginTicks + BigInt(random.int(2))), endNs },
      objectOffset: BigInt(random.int(2)),
    });
  });
  await new BlockRepository(db).insertMany(rows);
  const instance = view.instanceRule === 'stream' ? stream.streamId : processId;
  const request = { view, instance, schemaHash: SCHEMA_HASH };
  const { streams, calibrationCandidates } = await catalog.loadSnapshot(request);
  const wanted = await listWanted(db, view, instance);
  const evidence = chooseCalibrationEvidence(process, calibrationCandidates);
  const context = { process, streams, calibration: calibrate(process, evidence) };
  return { view, instance, blocks: wanted, context };
}

/** Mostly as a plan would cut; now and then shuffled, with another carry, or made of other content. */
function cutRuns({ view, blocks, context }: Instance, random: SeededRandom): NewPartition[] {
  const { folds } = view;
  const order = folds ? compareStreamOrder : compareInsertOrder;
  const ordered = blocks.toSorted(order);
  if (random.int(5) === 0) random.shuffle(ordered);
  const runs: NewPartition[] = [];
  let carryHash: string | null = null;
  for (let at = 0; at < ordered.length; ) {
    const length = 1 + random.int(4);
    // Whatever a run has, it was folded in order.
    const ofRun = ordered.slice(at, at + length).sort(order);
    at += length;
    // Left out: a gap that may lie inside what comes later.
    if (random.int(8) === 0) continue;
    const carryInHash = random.int(12) === 0 ? 'another' : carryHash;
    const carryOutHash = folds ? (random.int(6) === 0 ? null : `c${runs.length}`) : null;
    const sourceHash = sourceHashOf({ context, blocks: ofRun, carryInHash });
    const insertTimes = ofRun.map(({ insertTimeUs }) => insertTimeUs).sort();
    runs.push(
      makeRun(ofRun, {
        ...{ carryInHash, carryOutHash },
        sourceHash: random.int(20) === 0 ? 'stale' : sourceHash,
        beginInsertUs: insertTimes[0] ?? 0n,
        endInsertUs: insertTimes.at(-1) ?? 0n,
      }),
    );
    carryHash = carryOutHash;
  }
  return runs;
}

function tailsOf(
  { view, context }: Instance,
  runs: readonly NewPartition[],
  random: SeededRandom,
): NewPartition[] {
  if (runs.length === 0 || (random.int(8) === 0 ? view.folds : !view.folds)) return [];
  const last = random.int(8) === 0 ? 'another' : (runs.at(-1)?.carryOutHash ?? null);
  const sourceHash = sourceHashOf({ context, blocks: [], carryInHash: last });
  const empty = { objectKey: null, rowCount: 0, minEventNs: null, maxEventNs: null, sizeBytes: 0 };
  return [makeRun([], { kind: 'tail', carryInHash: last, sourceHash, ...empty })];
}

async function deleteBlock(db: Database, blockId: BlockId | undefined): Promise<void> {
  if (blockId !== undefined) await db.query(sql`DELETE FROM blocks WHERE block_id = ${blockId}`);
}
