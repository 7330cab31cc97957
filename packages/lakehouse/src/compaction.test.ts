/**
 * Promises of compaction, on a catalog in memory: whatever is merged, the rows of an instance and what is current
 * stay; runs stay few and no block is written again often, whether blocks come singly, in bursts or in any order.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockId } from '@tracelake/domain';
import {
  blocksOf,
  canonicalLines,
  decodeLimits,
  forEachSeed,
  loadRecordedProcess,
  MemoryLake,
  type SeededRandom,
  seededRandom,
} from '@tracelake/test-kit';
import type { OracleEvent } from '../test/call-tree-oracle.ts';
import { PartitionLedger } from '../test/partition-ledger.ts';
import {
  makeBlock,
  makeContext,
  makeEvents,
  makeStream,
  START_NS,
} from '../test/synthetic-stream.ts';
import { COMPACTION_GROWTH_MIN, COMPACTION_WIDTH, planCompaction } from './compaction.ts';
import type { PartitionRecord, SourceBlock } from './partition.ts';
import { layoutOf, planInstance, RUN_EVENTS_MAX } from './planning.ts';
import { schemaHashOf } from './source-hash.ts';
import type { SpanEvents } from './span-fold.ts';
import { compareStreamOrder } from './stream-order.ts';
import { createViewRegistry } from './view-registry.ts';
import { view as threadSpans } from './views/thread-spans.ts';

const context = makeContext();
const schemaHash = schemaHashOf(threadSpans);

type ThreadEvents = SpanEvents & { readonly skippedEvents: number };

/** Blocks that overlap, with an outer span left open over three of them and an inner one in each. */
function makeSpanBlocks(count: number) {
  const eventsOf = new Map<BlockId, ThreadEvents>();
  const blocks = Array.from({ length: count }, (_, index) => {
    const beginTicks = BigInt(index * 10);
    const events: OracleEvent[] = [];
    const add = (kind: 'begin' | 'end', name: string) => {
      const at = BigInt(events.length);
      const id = BigInt(index * 10) + at;
      events.push({ id, timeNs: START_NS + beginTicks + 1n + at, kind, name, line: 1 });
    };
    if (index % 3 === 0) add('begin', 'outer');
    add('begin', 'inner');
    add('end', 'inner');
    if (index % 3 === 2) add('end', 'outer');
    const endTicks = beginTicks + 25n;
    const block = makeBlock(index, { beginTicks, endTicks, objectOffset: beginTicks, events });
    eventsOf.set(block.blockId, makeEvents(events));
    return block;
  });
  return { blocks, eventsOf };
}

function makeLake(eventsOf: ReadonlyMap<BlockId, ThreadEvents>, runEventsMax = RUN_EVENTS_MAX) {
  const parse = (block: SourceBlock) => eventsOf.get(block.blockId);
  return new MemoryLake<ThreadEvents>({ view: threadSpans, context, parse, runEventsMax });
}

const log = (base: number, of: number) => Math.log(of) / Math.log(base);

const plainBlocks = (count: number, eventsPerBlock = 1) =>
  Array.from({ length: count }, (_, index) => ({
    ...makeBlock(index, {
      beginTicks: BigInt(index * 10),
      endTicks: BigInt(index * 10 + 10),
      objectOffset: BigInt(index),
      events: [],
    }),
    objectCount: eventsPerBlock,
  }));

const maxRewrites = (ledger: PartitionLedger) => Math.max(0, ...ledger.rewrites.values());

function meanRewrites(ledger: PartitionLedger): number {
  let total = 0;
  for (const count of ledger.rewrites.values()) total += count;
  return total / ledger.wanted.length;
}

test('blocks that come one at a time end in a few runs per power of the width, each rewritten as often', (t) => {
  const count = 1000;
  const ledger = new PartitionLedger();
  for (const block of plainBlocks(count)) {
    ledger.arrive([block]);
    ledger.compact();
  }
  const tiers = Math.ceil(log(COMPACTION_WIDTH, count));
  t.diagnostic(
    `${count} blocks: at most ${ledger.runsMax} runs, ${maxRewrites(ledger)} rewrites, mean ${meanRewrites(ledger)}`,
  );
  assert(ledger.runsMax <= COMPACTION_WIDTH * tiers, `${ledger.runsMax} runs`);
  assert(maxRewrites(ledger) <= tiers, `${maxRewrites(ledger)} rewrites`);
});

test('bursts of any size keep runs few, and no block is rewritten more often than its run can grow', async (t) => {
  await forEachSeed(t, { first: 300, count: 12 }, (seed) => {
    const random = seededRandom(seed);
    const folds = random.int(2) === 0;
    const ledger = new PartitionLedger({ folds });
    const waiting = plainBlocks(700);
    const burst = 2 ** random.int(8);
    while (waiting.length > 0) {
      ledger.arrive(waiting.splice(0, 1 + random.int(random.int(8) === 0 ? burst : 4)));
      if (random.int(3) > 0) ledger.compact();
    }
    ledger.compact();
    const tiers = Math.ceil(log(COMPACTION_WIDTH, ledger.wanted.length)) + 1;
    const left = ledger.partitions.length;
    assert(left <= COMPACTION_WIDTH * tiers, `${left} runs`);
    const growths = log(COMPACTION_GROWTH_MIN, ledger.wanted.length);
    assert(maxRewrites(ledger) <= growths, `${maxRewrites(ledger)} rewrites`);
    assert.deepEqual(planCompaction(layoutOf(ledger.request())), [], 'merged again');
  });
});

test('a backlog of single blocks is merged at once, and then there is nothing left to merge', () => {
  const ledger = new PartitionLedger();
  for (const block of plainBlocks(600)) ledger.arrive([block]);
  assert.equal(ledger.partitions.length, 600);
  assert.deepEqual(
    ledger.compact().map(({ partitions }) => partitions.length),
    [600],
  );
  assert.equal(ledger.partitions.length, 1);
  assert.deepEqual(ledger.compact(), []);
  assert.deepEqual(planInstance(ledger.request()), { decision: 'current' });
});

test('no merged run has more events than a run may have, and runs fill up to it', async (t) => {
  await forEachSeed(t, { first: 400, count: 12 }, (seed) => {
    const random = seededRandom(seed);
    const runEventsMax = 50 + random.int(100);
    const ledger = new PartitionLedger({ runEventsMax });
    // Large blocks, some larger than a run may be, keep small ones apart.
    const hasLarge = random.int(2) === 0;
    const blocks = plainBlocks(500).map((block) => {
      const isLarge = hasLarge && random.int(40) === 0;
      return { ...block, objectCount: random.int(isLarge ? 2 * runEventsMax : 12) };
    });
    const eventsOf = new Map(blocks.map((block) => [block.blockId, block.objectCount]));
    const sizeOf = ({ blockIds }: PartitionRecord) =>
      blockIds.reduce((sum, id) => sum + (eventsOf.get(id) ?? 0), 0);
    for (const block of blocks) {
      ledger.arrive([block]);
      for (const { blocks: merged } of ledger.compact()) {
        const events = merged.reduce((sum, one) => sum + one.objectCount, 0);
        assert(events <= runEventsMax, `${events} events of ${runEventsMax}`);
      }
    }
    const full = ledger.partitions.filter((run) => sizeOf(run) > runEventsMax / 2).length;
    const total = blocks.reduce((sum, one) => sum + one.objectCount, 0);
    assert(full <= (2 * total) / runEventsMax);
    const small = ledger.partitions.length - full;
    const gaps = hasLarge ? full + 1 : 1;
    assert(small <= 2 * COMPACTION_WIDTH * gaps, `${small} small, ${full} full`);
    // Filling up is one rewrite more.
    assert(maxRewrites(ledger) <= log(COMPACTION_GROWTH_MIN, runEventsMax) + 2);
  });
});

test('runs of a stream in any order of arrival: few are left and each merge multiplies its runs', async (t) => {
  await forEachSeed(t, { first: 500, count: 20 }, (seed) => {
    const random = seededRandom(seed);
    const ledger = new PartitionLedger({ folds: true });
    const blocks = random.shuffle(plainBlocks(200));
    for (const block of blocks) {
      ledger.arrive([block]);
      for (const { partitions, blocks: merged } of ledger.compact()) {
        const largest = Math.max(...partitions.map(({ blockIds }) => blockIds.length));
        assert(merged.length >= COMPACTION_GROWTH_MIN * largest);
        assert.deepEqual(merged, merged.toSorted(compareStreamOrder));
      }
      assert.deepEqual(planInstance(ledger.request()), { decision: 'current' });
    }
    assert(ledger.partitions.length <= COMPACTION_WIDTH * 3, `${ledger.partitions.length} runs`);
  });
});

test('merging leaves rows, carries and currency as they are, whatever came in whatever order', async (t) => {
  await forEachSeed(t, { first: 600, count: 200 }, (seed) => {
    const random = seededRandom(seed);
    const stream = makeStream(random, 40);
    const lake = makeLake(new Map(stream.eventsOf), 5 + random.int(200));
    const waiting = arrivalOf(stream.blocks, random);
    const wanted: SourceBlock[] = [];
    while (waiting.length > 0) {
      wanted.push(...waiting.splice(0, 1 + random.int(3)));
      lake.materialize(wanted);
      if (random.int(3) === 0) continue;
      const before = canonicalLines(threadSpans, lake.rows());
      // News that nobody has looked at yet is in nobody's way.
      const known = random.int(4) === 0 ? [...wanted, ...waiting.slice(0, 2)] : wanted;
      lake.compact(known);
      assert.equal(lake.plan(wanted).decision, 'current');
      assert.deepEqual(canonicalLines(threadSpans, lake.rows()), before);
    }
    const direct = canonicalLines(threadSpans, lake.buildAtOnce(stream.blocks));
    assert.deepEqual(canonicalLines(threadSpans, lake.rows()), direct);
  });
});

/** In order, shuffled, or in order but for a few. */
function arrivalOf(blocks: readonly SourceBlock[], random: SeededRandom): SourceBlock[] {
  const way = random.int(3);
  if (way === 0) return random.shuffle([...blocks]);
  const waiting = [...blocks];
  for (let late = way === 1 ? 0 : 3; late > 0; late--)
    waiting.push(...waiting.splice(random.int(waiting.length), 1));
  return waiting;
}

test('every view gives the same rows from merged runs', () => {
  const recorded = loadRecordedProcess('small');
  for (const view of createViewRegistry().list()) {
    const instances =
      view.instanceRule === 'process'
        ? [blocksOf(recorded, { tag: view.streamTag })]
        : [...recorded.streams.keys()].map((streamId) =>
            blocksOf(recorded, { tag: view.streamTag, streamId }),
          );
    for (const blocks of instances.filter(({ length }) => length > 0)) {
      const parse = (block: SourceBlock): unknown => {
        const stream = recorded.streams.get(block.streamId);
        const payload = recorded.payloads.get(block.blockId);
        assert(stream !== undefined && payload !== undefined);
        const { process, context: recordedContext } = recorded;
        const { calibration } = recordedContext;
        return view.parseBlock({
          ...{ process, stream, block, payload, calibration },
          limits: decodeLimits,
        });
      };
      const lake = new MemoryLake({ view, context: recorded.context, parse });
      for (let known = 1; known <= blocks.length; known++) {
        lake.materialize(blocks.slice(0, known));
        lake.compact(blocks.slice(0, known));
        assert.equal(lake.plan(blocks.slice(0, known)).decision, 'current', view.name);
      }
      assert.deepEqual(
        canonicalLines(view, lake.rows()),
        canonicalLines(view, lake.buildAtOnce(blocks.toSorted(compareStreamOrder))),
        view.name,
      );
    }
  }
});

test('a block that comes late into a merged run has that run alone built again', () => {
  const { blocks, eventsOf } = makeSpanBlocks(30);
  const lake = makeLake(eventsOf);
  // All of block 4's spans are closed in it, and its neighbours overlap: the carry is the same without it.
  const wanted = blocks.filter((_, index) => index !== 4);
  for (let known = 1; known <= wanted.length; known++) {
    lake.materialize(wanted.slice(0, known));
    lake.compact(wanted.slice(0, known));
  }
  const [, , , before, late, after] = blocks.map(({ blockId }) => blockId);
  assert(before !== undefined && late !== undefined && after !== undefined);
  const owner = lake.partitions.find(({ blockIds }) => blockIds.includes(before));
  assert(owner !== undefined);
  assert(owner.blockIds.includes(after), 'the neighbours are merged');
  const others = lake.partitions.filter((one) => one !== owner && one.kind === 'run');
  lake.parsedCount = 0;
  lake.materialize(blocks);
  assert.equal(lake.parsedCount, owner.blockIds.length + 1);
  for (const other of others) assert(lake.partitions.includes(other));
  assert.deepEqual(
    canonicalLines(threadSpans, lake.rows()),
    canonicalLines(threadSpans, lake.buildAtOnce(blocks)),
  );
});

test('runs behind one whose carry-in has changed wait until it is built again', () => {
  const { blocks, eventsOf } = makeSpanBlocks(24);
  const lake = makeLake(eventsOf);
  for (let known = 1; known <= blocks.length; known++) lake.materialize(blocks.slice(0, known));
  const changed = lake.partitions.find(({ blockIds }) => blockIds[0] === blocks[9]?.blockId);
  const partitions = lake.partitions.map((one) =>
    one === changed ? { ...one, carryOutHash: 'another' } : one,
  );
  const wanted = blocks;
  const request = { view: threadSpans, schemaHash, context, wanted, partitions };
  const groups = planCompaction(layoutOf(request));
  const blockIdsOf = new Map(partitions.map((one) => [one.partitionId, one.blockIds]));
  const merged = groups.map((group) =>
    group.partitions.flatMap(({ partitionId }) => blockIdsOf.get(partitionId) ?? []),
  );
  assert.deepEqual(merged, [blocks.slice(0, 10).map(({ blockId }) => blockId)]);
});
