/**
 * Rows and traces are functions of the wanted blocks alone: any order of arrival, any cut into partitions, anything
 * that comes twice or late gives what one build over everything gives.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PartitionRecord, SourceBlock } from '@tracelake/lakehouse';
import {
  fixtureCases,
  forEachSeed,
  loadRecordedProcess,
  type RecordedProcess,
  recordedProcessOf,
  seededRandom,
} from '@tracelake/test-kit';
import { ArrivingProcess, type DecodedBlocks } from '../test/arriving-process.ts';
import { memoryTraceHash } from '../test/memory-trace.ts';
import { arriveAtRandom, randomChoice, tracePlanOf } from '../test/random-arrival.ts';
import { syntheticRecording } from '../test/synthetic-recording.ts';

const SYNTHETIC_SEEDS = { first: 100_000, count: 400 };
const ARRIVALS_OF_A_RECORDING = 5;
const FIXTURE_SEEDS = { first: 200_000, count: 40 };
const LATE_SEEDS = { first: 300_000, count: 400 };

/** Compares one random history with one build; `seed` decides everything about it. */
async function checkHistory(
  recorded: RecordedProcess,
  decoded: DecodedBlocks,
  seed: number,
): Promise<void> {
  const random = seededRandom(seed);
  const whole = new ArrivingProcess({ recorded, decoded }).addAll();
  whole.build();
  const piecemeal = arriveAtRandom(recorded, decoded, random);
  assert.deepEqual(piecemeal.rowLines(), whole.rowLines(), 'rows');
  const choice = randomChoice(recorded, random);
  const expected = tracePlanOf(whole, choice, ({ partitionId }) => partitionId);
  const actual = tracePlanOf(piecemeal, choice, () => String(random.next()));
  assert.equal(actual.plan.sourceHash, expected.plan.sourceHash, 'source hash');
  assert.equal(
    await memoryTraceHash(actual.plan, actual.files, choice.openSpansMax),
    await memoryTraceHash(expected.plan, expected.files, choice.openSpansMax),
    'trace',
  );
}

test('made-up recordings give the rows and the trace of one build, whatever came when', async (t) => {
  await forEachSeed(t, SYNTHETIC_SEEDS, async (seed) => {
    const recorded = recordedProcessOf(syntheticRecording(seed, 12).requests());
    const decoded: DecodedBlocks = new Map();
    for (let history = 0; history < ARRIVALS_OF_A_RECORDING; history += 1)
      await checkHistory(recorded, decoded, seed * ARRIVALS_OF_A_RECORDING + history);
  });
});

for (const name of fixtureCases()) {
  test(`the recording "${name}" gives the rows and the trace of one build, whatever came when`, async (t) => {
    const recorded = loadRecordedProcess(name);
    const decoded: DecodedBlocks = new Map();
    const seeds = name === 'spans' ? { ...FIXTURE_SEEDS, count: 3 } : FIXTURE_SEEDS;
    await forEachSeed(t, seeds, (seed) => checkHistory(recorded, decoded, seed));
  });
}

test('a late block costs its own run, and later ones of its thread only where the carry into them is another', async (t) => {
  const cost = { ofOneRun: 0, ofMore: 0 };
  await forEachSeed(t, LATE_SEEDS, (seed) => {
    const random = seededRandom(seed);
    const recorded = recordedProcessOf(syntheticRecording(seed, 12).requests());
    // Another calibration is another matter: it changes the time of every event.
    if (recorded.process.tscFrequencyHz === 0n) return;
    const runEventsMax = 5 + random.int(30);
    const lake = new ArrivingProcess({ recorded, decoded: new Map(), runEventsMax });
    for (const streamId of recorded.streams.keys()) lake.addStream(streamId);
    const late = random.pick(recorded.blocks);
    for (const block of recorded.blocks) if (block !== late) lake.addBlock(block);
    const before = lake.build().map((one) => ({ ...one, partitions: lake.partitions(one) }));
    lake.addBlock(late);
    for (const { viewSet, instance, built, blocksDecoded } of lake.build()) {
      const old = before.find((one) => one.viewSet === viewSet && one.instance === instance);
      if (viewSet === 'async_events') {
        assert.ok(blocksDecoded <= 1, 'async events need no other block');
      } else if (instance !== late.streamId) {
        assert.deepEqual(built, [], 'another thread');
      } else {
        const runs = built.filter(({ kind }) => kind === 'run');
        assertNeeded(runs, old?.partitions ?? [], late);
        cost[runs.length === 1 ? 'ofOneRun' : 'ofMore'] += 1;
      }
    }
  });
  t.diagnostic(`late blocks that cost one run: ${cost.ofOneRun}, more: ${cost.ofMore}`);
});

/** Each run is the late block's own, or one that was there and starts from another carry now. */
function assertNeeded(
  built: readonly PartitionRecord[],
  old: readonly PartitionRecord[],
  late: SourceBlock,
): void {
  const carryOf = new Map(old.map(({ blockIds, carryInHash }) => [blockIds.join(), carryInHash]));
  const own = built.filter(({ blockIds }) => !carryOf.has(blockIds.join()));
  assert.ok(own.some(({ blockIds }) => blockIds.includes(late.blockId)));
  const owners = own
    .flatMap(({ blockIds }) => blockIds)
    .filter((blockId) => blockId !== late.blockId)
    .map((blockId) => old.findIndex(({ blockIds }) => blockIds.includes(blockId)));
  assert.ok(new Set(owners).size <= 1, 'blocks of one run are decoded again');
  for (const run of built.filter((one) => !own.includes(one)))
    assert.notEqual(run.carryInHash, carryOf.get(run.blockIds.join()), 'the carry is the same');
}
