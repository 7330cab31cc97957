/**
 * The promise of the partition model: the rows of an instance are a function of its wanted blocks alone, whatever
 * the order of arrival, the cuts into runs, repeats and deletions on the way.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  blocksOf,
  canonicalLines,
  decodeLimits,
  fixtureCases,
  forEachSeed,
  loadRecordedProcess,
  MemoryLake,
  type RecordedProcess,
  rowObjects,
  type SeededRandom,
  seededRandom,
} from '@tracelake/test-kit';
import { oracleRows } from '../test/call-tree-oracle.ts';
import { makeStream, THREAD_NAME } from '../test/synthetic-stream.ts';
import type { SourceBlock } from './partition.ts';
import { RUN_EVENTS_MAX } from './planning.ts';
import { compareStreamOrder } from './stream-order.ts';
import type { ViewSet } from './view.ts';
import { createViewRegistry } from './view-registry.ts';
import { view as threadSpans } from './views/thread-spans.ts';

const SYNTHETIC_SEEDS = { first: 1000, count: 1500 };
const RECORDED_SEEDS = { first: 5000, count: 60 };

/** Blocks arrive in batches; now and then one goes away again or the same is asked twice. */
function arrive<Parsed>(
  lake: MemoryLake<Parsed>,
  blocks: readonly SourceBlock[],
  random: SeededRandom,
  check: (wanted: readonly SourceBlock[]) => void,
): void {
  const waiting = random.int(2) === 0 ? [...blocks] : random.shuffle([...blocks]);
  const wanted: SourceBlock[] = [];
  while (waiting.length > 0) {
    wanted.push(...waiting.splice(0, 1 + random.int(4)));
    const shown = random.shuffle([...wanted]);
    if (random.int(10) === 0) shown.splice(random.int(shown.length), 1);
    lake.materialize(shown);
    check(shown);
  }
  lake.materialize(wanted);
}

test('spans of made-up streams: any arrival, any cut, the rows of one build and of an independent tree', async (t) => {
  await forEachSeed(t, SYNTHETIC_SEEDS, (seed) => {
    const random = seededRandom(seed);
    const stream = makeStream(random, 14);
    const lake = new MemoryLake({
      view: threadSpans,
      context: stream.context,
      parse: (block) => stream.eventsOf.get(block.blockId),
      runEventsMax: 1 + random.int(20),
    });
    arrive(lake, stream.blocks, random, (wanted) => {
      lake.parsedCount = 0;
      assert.deepEqual(lake.materialize(wanted), [], 'asked twice');
      assert.equal(lake.parsedCount, 0, 'asked twice');
      if (random.int(4) > 0) return;
      const ordered = wanted.toSorted(compareStreamOrder);
      assert.deepEqual(
        canonicalLines(threadSpans, lake.rows()),
        canonicalLines(threadSpans, lake.buildAtOnce(ordered)),
        `${wanted.length} blocks`,
      );
    });
    const lines = canonicalLines(threadSpans, lake.rows());
    assert.deepEqual(lines, canonicalLines(threadSpans, lake.buildAtOnce(stream.blocks)));
    const tree = oracleRows(stream.oracleBlocks, THREAD_NAME);
    assert.deepEqual(lines.map(lineOfTree), tree.map(treeLine).sort());
  });
});

function treeLine(row: ReturnType<typeof oracleRows>[number]): string {
  const { id, parent, depth, begin, end, name, line, open } = row;
  return [id, parent, depth, begin, end, name, line, open].join('|');
}

/** Drops what the tree does not have: hash, duration, target, filename. */
function lineOfTree(line: string): string {
  const [id, parent, depth, , begin, end, , name, , , lineNumber, open] = line.split('|');
  return [id, parent, depth, begin, end, name, lineNumber, open].join('|');
}

function lakeOf(view: ViewSet, recorded: RecordedProcess, runEventsMax: number) {
  const cache = new Map<string, unknown>();
  const parse = (block: SourceBlock): unknown => {
    const stream = recorded.streams.get(block.streamId);
    const payload = recorded.payloads.get(block.blockId);
    assert(stream !== undefined && payload !== undefined);
    const { process, context } = recorded;
    const { calibration } = context;
    const parsed =
      cache.get(block.blockId) ??
      view.parseBlock({ process, stream, block, payload, calibration, limits: decodeLimits });
    cache.set(block.blockId, parsed);
    return parsed;
  };
  const makeLake = () => new MemoryLake({ view, context: recorded.context, parse, runEventsMax });
  return makeLake;
}

const LARGE = new Set(['spans', 'logs', 'metrics']);

for (const name of fixtureCases()) {
  test(`rows of the recording "${name}" do not depend on the order of arrival or on the cuts`, async (t) => {
    const recorded = loadRecordedProcess(name);
    const seeds = { ...RECORDED_SEEDS, ...(LARGE.has(name) && { count: 2 }) };
    for (const view of createViewRegistry().list()) {
      const instances =
        view.instanceRule === 'process'
          ? [blocksOf(recorded, { tag: view.streamTag })]
          : [...recorded.streams.keys()].map((streamId) =>
              blocksOf(recorded, { tag: view.streamTag, streamId }),
            );
      for (const blocks of instances.filter(({ length }) => length > 0)) {
        const makeLake = lakeOf(view, recorded, [1, 50, RUN_EVENTS_MAX][blocks.length % 3] ?? 1);
        const ordered = blocks.toSorted(compareStreamOrder);
        const wanted = canonicalLines(view, makeLake().buildAtOnce(ordered));
        await forEachSeed(t, seeds, (seed) => {
          const lake = makeLake();
          arrive(lake, blocks, seededRandom(seed), (shown) =>
            assert.deepEqual(lake.materialize(shown), []),
          );
          assert.deepEqual(canonicalLines(view, lake.rows()), wanted);
        });
      }
    }
  });
}

test('a view that does not fold decodes each block once, however late it comes', () => {
  const recorded = loadRecordedProcess('small');
  const view = createViewRegistry().get('async_events');
  const blocks = blocksOf(recorded, { tag: view.streamTag });
  assert(blocks.length > 2);
  const lake = lakeOf(view, recorded, RUN_EVENTS_MAX)();
  for (let known = 1; known <= blocks.length; known++) {
    lake.parsedCount = 0;
    lake.materialize(blocks.toReversed().slice(0, known));
    assert.equal(lake.parsedCount, 1);
  }
});

test('the same blocks give the same rows in the same order, whatever order they came in', () => {
  const recorded = loadRecordedProcess('small');
  for (const view of createViewRegistry()
    .list()
    .filter(({ folds }) => !folds)) {
    const blocks = blocksOf(recorded, { tag: view.streamTag });
    const [forward, backward] = [blocks, blocks.toReversed()].map((ordered) =>
      lakeOf(view, recorded, RUN_EVENTS_MAX)()
        .buildAtOnce(ordered)
        .map((rows) => rowObjects(view, rows)),
    );
    assert.deepEqual(forward, backward, view.name);
  }
});
