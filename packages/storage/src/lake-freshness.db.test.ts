/**
 * Scenario: an instance of which some blocks are covered by runs that fit, that do not, or that are in each
 * other's way.
 * Guarantees: what is told from facts of each partition is what a plan over all covered blocks tells.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BlockId, nanoseconds, ticks } from '@tracelake/domain';
import {
  calibrate,
  chooseCalibrationEvidence,
  compareStreamOrder,
  isConsistent,
  isCoverageConsistent,
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
import type { SnapshotView } from './lake-snapshot.ts';
import { PartitionCatalog } from './partition-catalog.ts';
import type { NewPartition } from './partition-rows.ts';
import type { Database } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';
import { StreamRepository } from './stream-repository.ts';

const SCHEMA_HASH = 'aa';
const VIEWS = [
  { view: THREAD_VIEW, folds: true },
  { view: ASYNC_VIEW, folds: false },
] as const;

interface Instance {
  readonly view: SnapshotView;
  readonly folds: boolean;
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
    for (const { view, folds } of VIEWS) {
      const one = await storeInstance(fixture.db, catalog, { view, folds, random });
      const runs = cutRuns(one, random);
      const key = { viewSet: view.name, instance: one.instance, schemaHash: SCHEMA_HASH };
      const insert = [...runs, ...tailsOf(one, runs, random)];
      assert.equal(await catalog.commit({ ...key, replaces: [], insert }), 'committed');
      if (random.int(8) === 0) await deleteBlock(fixture.db, runs[0]?.blockIds[0]);
      const isComplete = await decideBoth(catalog, one);
      const outcome = `${view.name} ${isComplete}`;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  }
  // All of it was met.
  assert.equal(outcomes.size, 4, JSON.stringify([...outcomes]));
});

async function decideBoth(
  catalog: PartitionCatalog,
  { view, folds, instance }: Instance,
): Promise<boolean> {
  const request = { view, instance, schemaHash: SCHEMA_HASH };
  const whole = await catalog.loadSnapshot(request);
  const { process, streams, partitions, schemaHash } = whole;
  assert.ok(process !== undefined);
  const covered = new Set(partitions.flatMap(({ blockIds }) => blockIds));
  const wanted = whole.wanted.filter(({ blockId }) => covered.has(blockId));
  const evidence = chooseCalibrationEvidence(process, whole.calibrationCandidates);
  const context = { process, streams, calibration: calibrate(process, evidence) };
  const plan = { view: { folds }, schemaHash, context, wanted, partitions };
  const expected = isConsistent(plan) === 'complete';
  const lake = { instances: [request], globals: [], processes: [] };
  const [found, ...others] = (await catalog.loadLakeSnapshot(lake)).instances;
  assert.ok(found !== undefined && others.length === 0);
  assert.equal(isCoverageConsistent({ folds }, found.partitions), expected);
  assert.equal(found.known, whole.wanted.length);
  assert.equal(found.covered, wanted.length);
  return expected;
}

async function storeInstance(
  db: Database,
  catalog: PartitionCatalog,
  { view, folds, random }: { view: SnapshotView; folds: boolean; random: SeededRandom },
): Promise<Instance> {
  const tscFrequencyHz = random.int(2) === 0 ? 0n : 3_000_000_000n;
  const owner = makeProcess({ tscFrequencyHz });
  const { process, stream } = await storeProcess(db, { process: owner, blockCount: 0 });
  const { processId } = process;
  const second = makeStream({ processId });
  await new StreamRepository(db).insertIfAbsent(second);
  const streamIds = [stream.streamId, folds ? stream.streamId : second.streamId];
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
  const { streams, wanted, calibrationCandidates } = await catalog.loadSnapshot(request);
  const evidence = chooseCalibrationEvidence(process, calibrationCandidates);
  const context = { process, streams, calibration: calibrate(process, evidence) };
  return { view, folds, instance, blocks: wanted, context };
}

/** Mostly as a plan would cut; now and then shuffled, with another carry, or made of other content. */
function cutRuns({ folds, blocks, context }: Instance, random: SeededRandom): NewPartition[] {
  const ordered = [...blocks];
  if (random.int(5) === 0) random.shuffle(ordered);
  const runs: NewPartition[] = [];
  let carryHash: string | null = null;
  for (let at = 0; at < ordered.length; ) {
    const length = 1 + random.int(4);
    // Whatever a run has, it was folded in order.
    const ofRun = ordered.slice(at, at + length).sort(folds ? compareStreamOrder : () => 0);
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
  { folds, context }: Instance,
  runs: readonly NewPartition[],
  random: SeededRandom,
): NewPartition[] {
  if (runs.length === 0 || (random.int(8) === 0 ? folds : !folds)) return [];
  const last = random.int(8) === 0 ? 'another' : (runs.at(-1)?.carryOutHash ?? null);
  const sourceHash = sourceHashOf({ context, blocks: [], carryInHash: last });
  const empty = { objectKey: null, rowCount: 0, minEventNs: null, maxEventNs: null, sizeBytes: 0 };
  return [makeRun([], { kind: 'tail', carryInHash: last, sourceHash, ...empty })];
}

async function deleteBlock(db: Database, blockId: BlockId | undefined): Promise<void> {
  if (blockId !== undefined) await db.query(sql`DELETE FROM blocks WHERE block_id = ${blockId}`);
}
