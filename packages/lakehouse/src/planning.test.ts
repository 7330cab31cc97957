import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockId } from '@tracelake/domain';
import { canonicalLines, MemoryLake } from '@tracelake/test-kit';
import type { OracleEvent } from '../test/call-tree-oracle.ts';
import { makeBlock, makeContext, makeEvents, START_NS } from '../test/synthetic-stream.ts';
import type { PartitionRecord, SourceBlock } from './partition.ts';
import {
  isConsistent,
  layoutOf,
  mustRebuild,
  type PlanRequest,
  planInstance,
  planLayout,
  rebuildOf,
  type Segment,
} from './planning.ts';
import { schemaHashOf } from './source-hash.ts';
import type { SpanEvents } from './span-fold.ts';
import { view as threadSpans } from './views/thread-spans.ts';

type ThreadEvents = SpanEvents & { readonly skippedEvents: number };

const context = makeContext();
const schemaHash = schemaHashOf(threadSpans);

/** Blocks of one balanced span each, touching: `[0,10] [10,20] ...`, in the order of arrival of their numbers. */
function makeBlocks(count: number): {
  blocks: SourceBlock[];
  eventsOf: Map<BlockId, ThreadEvents>;
} {
  const eventsOf = new Map<BlockId, ThreadEvents>();
  const blocks = Array.from({ length: count }, (_, index) => {
    const begin = BigInt(index * 10);
    const event = (offset: bigint, kind: 'begin' | 'end'): OracleEvent => ({
      ...{ id: BigInt(index * 2) + offset, timeNs: START_NS + begin + 1n + offset, kind },
      ...{ name: 'f', line: 1 },
    });
    const events = [event(0n, 'begin'), event(1n, 'end')];
    const objectOffset = BigInt(index * 2);
    const block = makeBlock(index, {
      beginTicks: begin,
      endTicks: begin + 10n,
      objectOffset,
      events,
    });
    eventsOf.set(block.blockId, makeEvents(events));
    return block;
  });
  return { blocks, eventsOf };
}

function makeLake(eventsOf: ReadonlyMap<BlockId, ThreadEvents>, runEventsMax = 8) {
  const parse = (block: SourceBlock) => eventsOf.get(block.blockId);
  return new MemoryLake<ThreadEvents>({ view: threadSpans, context, parse, runEventsMax });
}

function request(lake: MemoryLake<ThreadEvents>, wanted: readonly SourceBlock[]): PlanRequest {
  return { view: threadSpans, schemaHash, context, wanted, partitions: lake.partitions };
}

test('nothing wanted and nothing there is current', () => {
  assert.deepEqual(makeLake(new Map()).plan([]), { decision: 'current' });
});

test('blocks in no run form runs within the cap, in stream order, and a tail', () => {
  const { blocks, eventsOf } = makeBlocks(10);
  const lake = makeLake(eventsOf);
  const plan = lake.plan(blocks.toReversed());
  assert(plan.decision === 'build');
  const sizes = plan.segments.map((segment) => blocksOf(segment).length);
  assert.deepEqual(sizes, [4, 4, 2]);
  assert.deepEqual(plan.segments.flatMap(blocksOf), blocks);
  assert.equal(plan.tailNeeded, true);
  assert.deepEqual(plan.retires, []);
});

test('a block bigger than the cap stands alone', () => {
  const { blocks, eventsOf } = makeBlocks(5);
  const big = blocks.map((block, index) => (index === 2 ? { ...block, objectCount: 100 } : block));
  const plan = makeLake(eventsOf).plan(big);
  assert(plan.decision === 'build');
  assert.deepEqual(
    plan.segments.map((segment) => blocksOf(segment).length),
    [2, 1, 2],
  );
});

test('what was built is not built again', () => {
  const { blocks, eventsOf } = makeBlocks(10);
  const lake = makeLake(eventsOf);
  assert.equal(lake.materialize(blocks).length, 4);
  assert.equal(lake.parsedCount, 10);
  assert.deepEqual(lake.plan(blocks), { decision: 'current' });
  assert.deepEqual(lake.materialize(blocks), []);
  assert.equal(lake.parsedCount, 10);
  assert.equal(isConsistent(request(lake, blocks)), 'complete');
});

test('one block, a partition of zero length, is not built again', () => {
  const { blocks, eventsOf } = makeBlocks(1);
  const lake = makeLake(eventsOf);
  lake.materialize(blocks);
  const [run] = lake.partitions;
  assert.equal(run?.beginInsertUs, run?.endInsertUs);
  assert.deepEqual(lake.materialize(blocks), []);
});

test('appending decodes the new blocks only and replaces only the tail', () => {
  const { blocks, eventsOf } = makeBlocks(20);
  const lake = makeLake(eventsOf);
  lake.materialize(blocks.slice(0, 12));
  const runsBefore = lake.partitions.filter(({ kind }) => kind === 'run');
  lake.parsedCount = 0;
  lake.materialize(blocks);
  assert.equal(lake.parsedCount, 8);
  for (const run of runsBefore) assert(lake.partitions.includes(run));
  assert.equal(lake.partitions.filter(({ kind }) => kind === 'tail').length, 1);
});

test('a late block inside a run decodes that run only', () => {
  const { blocks, eventsOf } = makeBlocks(20);
  const lake = makeLake(eventsOf);
  // Block 9 lies inside the ticks of block 8, so its absence breaks no chain.
  const wide = blocks.map((block, index) =>
    index === 8 ? { ...block, endTicks: blocks[9]?.endTicks ?? block.endTicks } : block,
  );
  const late = wide[9] as SourceBlock;
  lake.materialize(wide.filter((block) => block !== late));
  lake.parsedCount = 0;
  const built = lake.materialize(wide);
  assert.equal(lake.parsedCount, 5, 'the four blocks of its run and the late one');
  assert.deepEqual(
    built.map(({ kind }) => kind),
    ['run', 'run', 'tail'],
  );
  assert.deepEqual(
    canonicalLines(threadSpans, lake.rows()),
    canonicalLines(threadSpans, lake.buildAtOnce(wide)),
  );
});

test('a late block that joins two chains builds later runs until their carry is what it was', () => {
  const { blocks, eventsOf } = makeBlocks(20);
  // A gap before block 12: from there on nothing depends on what was before.
  const gapped = blocks.map((block, index) => (index < 12 ? block : shift(block, 1000n)));
  const lake = makeLake(eventsOf);
  const late = gapped[2] as SourceBlock;
  lake.materialize(gapped.filter((block) => block !== late));
  lake.parsedCount = 0;
  lake.materialize(gapped);
  assert(lake.parsedCount < 15, `${lake.parsedCount} blocks decoded`);
  const lastRun = lake.partitions.filter(({ kind }) => kind === 'run').at(-1);
  assert.equal(isConsistent(request(lake, gapped)), 'complete');
  assert(lastRun !== undefined);
  assert.deepEqual(
    canonicalLines(threadSpans, lake.rows()),
    canonicalLines(threadSpans, lake.buildAtOnce(gapped)),
  );
});

function shift(block: SourceBlock, by: bigint): SourceBlock {
  const [beginTicks, endTicks] = [block.beginTicks + by, block.endTicks + by];
  return { ...block, beginTicks, endTicks } as SourceBlock;
}

test('a deleted block makes its run stale, and a run without blocks is retired', () => {
  const { blocks, eventsOf } = makeBlocks(12);
  const lake = makeLake(eventsOf);
  lake.materialize(blocks);
  const without = blocks.filter((_, index) => index !== 5);
  const plan = lake.plan(without);
  assert(plan.decision === 'build');
  assert.deepEqual(
    plan.segments.map((segment) => (segment.kind === 'build' ? segment.reason : 'kept')),
    ['kept', 'block deleted', 'kept'],
  );
  lake.materialize(without);
  assert.deepEqual(lake.plan(without), { decision: 'current' });

  lake.materialize(without.slice(4));
  assert.deepEqual(lake.plan(without.slice(4)), { decision: 'current' });
  lake.materialize([]);
  assert.deepEqual(lake.partitions, []);
});

test('another calibration, process row or stream makes every run stale', () => {
  const { blocks, eventsOf } = makeBlocks(12);
  const lake = makeLake(eventsOf);
  lake.materialize(blocks);
  lake.context = { ...context, calibration: { ...context.calibration, frequencyHz: 2e9 } };
  const plan = lake.plan(blocks);
  assert(plan.decision === 'build');
  assert(plan.segments.every(({ kind }) => kind === 'build'));
  lake.materialize(blocks);
  assert.deepEqual(lake.plan(blocks), { decision: 'current' });
  const [stream] = context.streams.values();
  assert(stream !== undefined);
  const renamed = { ...stream, properties: { ...stream.properties, 'thread-name': 'other' } };
  lake.context = { ...lake.context, streams: new Map([[stream.streamId, renamed]]) };
  assert.equal(lake.plan(blocks).decision, 'build');
});

test('partitions of another schema hash do not count', () => {
  const { blocks, eventsOf } = makeBlocks(12);
  const lake = makeLake(eventsOf);
  lake.materialize(blocks);
  const plan = planInstance({ ...request(lake, blocks), schemaHash: 'another' });
  assert(plan.decision === 'build');
  assert(plan.segments.every(({ kind }) => kind === 'build'));
  assert.deepEqual(plan.retires, [], 'they are not ours to take away');
});

test('a chain of runs with a broken carry, or with no tail of its own, is incomplete', () => {
  const { blocks, eventsOf } = makeBlocks(12);
  const lake = makeLake(eventsOf);
  lake.materialize(blocks);
  const whole = request(lake, blocks);
  const variants: Record<string, PartitionRecord[]> = {
    'no tail': lake.partitions.filter(({ kind }) => kind === 'run'),
    'a missing run': lake.partitions.slice(1),
    'another carry-in': lake.partitions.map((one, index) =>
      index === 1 ? { ...one, carryInHash: 'other' } : one,
    ),
    'another carry-out': lake.partitions.map((one, index) =>
      index === 1 ? { ...one, carryOutHash: 'other' } : one,
    ),
    'two tails': [...lake.partitions, ...lake.partitions.filter(({ kind }) => kind === 'tail')],
  };
  assert.equal(isConsistent(whole), 'complete');
  for (const [name, partitions] of Object.entries(variants))
    assert.equal(isConsistent({ ...whole, partitions }), 'incomplete', name);
  assert.equal(isConsistent({ ...whole, wanted: blocks.slice(1) }), 'incomplete');
});

test('a kept run is built again when the carry before it is another', () => {
  const { blocks, eventsOf } = makeBlocks(8);
  const lake = makeLake(eventsOf);
  lake.materialize(blocks);
  const [, second] = lake.partitions;
  assert(second !== undefined);
  const keep = { kind: 'keep', partition: second, blockCount: 4, weight: 4 } as const;
  assert.equal(mustRebuild(keep, second.carryInHash), false);
  assert.equal(mustRebuild(keep, 'other'), true);
  assert.deepEqual(rebuildOf(keep, blocks.slice(4)), {
    kind: 'build',
    blocks: blocks.slice(4),
    replaces: [second.partitionId],
    reason: 'carry-in changed',
  });
});

test('a block that cannot be decoded is covered, counts as missing data, and is not tried again', () => {
  const { blocks, eventsOf } = makeBlocks(12);
  const bad = blocks[5] as SourceBlock;
  eventsOf.delete(bad.blockId);
  const lake = makeLake(eventsOf);
  lake.materialize(blocks);
  assert.deepEqual(lake.plan(blocks), { decision: 'current' });
  assert.equal(lake.partitions.flatMap(({ blockIds }) => blockIds).length, 12);
  const threads = canonicalLines(threadSpans, lake.rows()).filter((line) => line.startsWith('-1|'));
  assert.equal(threads.length, 2, 'a chain before it and one after it');

  const allBad = makeLake(new Map());
  allBad.materialize(blocks);
  assert.deepEqual(allBad.plan(blocks), { decision: 'current' });
  assert.deepEqual(canonicalLines(threadSpans, allBad.rows()), []);
});

test('a run that another writer made across blocks not yet seen by it is built again', () => {
  const { blocks, eventsOf } = makeBlocks(6);
  const lake = makeLake(eventsOf, 100);
  const outer = blocks.filter((_, index) => index < 2 || index > 3);
  lake.materialize(outer);
  const withoutTail = lake.stored.filter(({ record }) => record.kind === 'run');
  const inner = makeLake(eventsOf, 100);
  inner.materialize(blocks.slice(2, 4));
  lake.stored = [...withoutTail, ...inner.stored];
  assert.equal(isConsistent(request(lake, blocks)), 'incomplete');
  lake.materialize(blocks);
  assert.equal(isConsistent(request(lake, blocks)), 'complete');
  assert.deepEqual(
    canonicalLines(threadSpans, lake.rows()),
    canonicalLines(threadSpans, lake.buildAtOnce(blocks)),
  );
});

test('blocks that say they are empty fill a run all the same', () => {
  const empty = makeBlocks(5000).blocks.map((block) => ({ ...block, objectCount: 0 }));
  const plan = planInstance({ ...request(makeLake(new Map()), empty) });
  assert(plan.decision === 'build');
  assert.deepEqual(
    plan.segments.map((segment) => blocksOf(segment).length),
    [4096, 904],
  );
});

test('a plan of the first blocks only leaves the rest, and plans in parts end as one plan does', () => {
  const { blocks, eventsOf } = makeBlocks(30);
  const whole = makeLake(eventsOf);
  whole.materialize(blocks);
  const late = blocks.filter((_, index) => index % 7 === 3);
  const early = blocks.filter((block) => !late.includes(block));
  const lake = makeLake(eventsOf);
  lake.materialize(early);
  const layout = layoutOf(request(lake, blocks));
  assert.ok(layout.unplaced.length > 6);
  for (let known = 1; known < layout.unplaced.length; known++) {
    const unplaced = layout.unplaced.slice(0, known);
    const part = planLayout({ ...layout, unplaced, isPartial: true });
    assert(part.decision === 'build');
    assert.deepEqual(
      part.segments.flatMap(blocksOf),
      unplaced.map(({ block }) => block),
    );
    assert.equal(part.tailNeeded, false);
    assert.deepEqual(part.retires, []);
    // Nothing is kept behind the last block, whose carry is not known yet.
    assert.equal(part.segments.at(-1)?.kind, 'build');
  }
  const all = planLayout(layout);
  assert.deepEqual(all, planInstance(request(lake, blocks)));
});

function blocksOf(segment: Segment): readonly SourceBlock[] {
  return segment.kind === 'build' ? segment.blocks : [];
}
