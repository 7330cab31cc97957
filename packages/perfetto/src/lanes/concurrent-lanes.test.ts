/**
 * The lanes are checked against a slow placement written from the rule's words, and, apart from both, by
 * replaying what was emitted: on each lane time never goes back and every end closes the innermost begin.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@tracelake/test-kit';
import { ConcurrentLanes } from './concurrent-lanes.ts';
import type { LaneSpan } from './open-span-heap.ts';

interface Span {
  begin: number;
  end: number;
  id: number;
  parent: number;
}

type Event = { lane: number; time: number; id: number; kind: 'begin' | 'end' };

/** Times in the tests are small, so they are spread over both halves to exercise the comparison. */
function halves(time: number): { high: number; low: number } {
  return { high: Math.floor(time / 8) - 3, low: (time % 8) * 0x2000_0000 };
}

function timeOf(high: number, low: number): number {
  return (high + 3) * 8 + low / 0x2000_0000;
}

function laneSpan(span: Span): LaneSpan {
  const begin = halves(span.begin);
  const end = halves(span.end);
  return {
    beginHigh: begin.high,
    beginLow: begin.low,
    endHigh: end.high,
    endLow: end.low,
    idHigh: span.id % 3,
    idLow: span.id,
    parentHigh: span.parent % 3,
    parentLow: span.parent,
  };
}

function run(spans: readonly Span[], openMax?: number) {
  const events: Event[] = [];
  const stacks: number[][] = [];
  const lanes = new ConcurrentLanes((lane, high, low) => {
    const id = stacks[lane]?.pop() ?? -1;
    events.push({ lane, time: timeOf(high, low), id, kind: 'end' });
  }, openMax);
  const placed: number[] = [];
  for (const span of spans) {
    const lane = lanes.place(laneSpan(span));
    placed.push(lane);
    if (lane < 0) continue;
    stacks[lane] ??= [];
    stacks[lane].push(span.id);
    events.push({ lane, time: span.begin, id: span.id, kind: 'begin' });
  }
  lanes.closeAll();
  assert.equal(lanes.openCount, 0);
  return { events, placed, lanes };
}

function assertTrueNesting(spans: readonly Span[], events: readonly Event[]): void {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const lastTime = new Map<number, number>();
  const stacks = new Map<number, number[]>();
  let lastEnd = Number.NEGATIVE_INFINITY;
  for (const event of events) {
    assert.ok(event.time >= (lastTime.get(event.lane) ?? Number.NEGATIVE_INFINITY));
    lastTime.set(event.lane, event.time);
    const stack = stacks.get(event.lane) ?? [];
    stacks.set(event.lane, stack);
    if (event.kind === 'begin') stack.push(event.id);
    else {
      assert.equal(stack.pop(), event.id);
      assert.equal(event.time, byId.get(event.id)?.end);
      assert.ok(event.time >= lastEnd, 'ends leave in order of time over all lanes');
      lastEnd = event.time;
    }
  }
  for (const stack of stacks.values()) assert.deepEqual(stack, []);
}

/**
 * The rule in the plainest form: everything searched at each span. What ended by the begin closes first;
 * only where the parent itself ends at that very time do the parent and what was open before it stay.
 */
function placeSlowly(spans: readonly Span[]): number[] {
  let open: { span: Span; lane: number }[] = [];
  return spans.map((span) => {
    open = open.filter((other) => other.span.end >= span.begin);
    const parentAt = open.findLastIndex((other) => other.span.id === span.parent);
    const parent = open[parentAt];
    const kept = parent?.span.end === span.begin ? parentAt : -1;
    if (parent !== undefined) {
      open = open.filter((other, at) => at <= kept || other.span.end > span.begin);
    }
    if (parent !== undefined) {
      const top = open.findLast((other) => other.lane === parent.lane);
      if (top === parent && span.end <= parent.span.end) {
        open.push({ span, lane: parent.lane });
        return parent.lane;
      }
    }
    open = open.filter((other) => other.span.end > span.begin);
    let lane = 0;
    while (open.some((other) => other.lane === lane)) lane += 1;
    open.push({ span, lane });
    return lane;
  });
}

function randomSpans(seed: number): Span[] {
  const random = seededRandom(seed);
  const spans: Span[] = [];
  const count = 1 + random.int(60);
  const width = 4 + random.int(60);
  for (let id = 1; id <= count; id += 1) {
    const parent = random.int(3) === 0 ? 0 : random.int(id);
    const around = spans.find((span) => span.id === parent);
    const begin = around === undefined ? random.int(width) : around.begin + random.int(3);
    const room = around === undefined ? width : Math.max(1, around.end - begin + 2);
    spans.push({ begin, end: begin + random.int(room), id, parent });
  }
  return spans.sort((a, b) => a.begin - b.begin || a.id - b.id);
}

test('spans placed at random nest truly and sit where the rule says', () => {
  for (let seed = 1; seed <= 3000; seed += 1) {
    const spans = randomSpans(seed);
    const { events, placed } = run(spans);
    assert.deepEqual(placed, placeSlowly(spans), `seed ${seed}`);
    assertTrueNesting(spans, events);
  }
});

test('a child sits on its parent, a concurrent sibling on a lane of its own', () => {
  const { placed } = run([
    { begin: 0, end: 100, id: 1, parent: 0 },
    { begin: 10, end: 50, id: 2, parent: 1 },
    { begin: 20, end: 60, id: 3, parent: 1 },
    { begin: 30, end: 40, id: 4, parent: 3 },
    { begin: 70, end: 80, id: 5, parent: 1 },
    { begin: 90, end: 120, id: 6, parent: 1 },
  ]);
  assert.deepEqual(placed, [0, 0, 1, 1, 0, 1]);
});

test('a span without a parent never sits inside another that only happens to contain it', () => {
  const { placed } = run([
    { begin: 0, end: 100, id: 1, parent: 0 },
    { begin: 10, end: 20, id: 2, parent: 0 },
  ]);
  assert.deepEqual(placed, [0, 1]);
});

test('a span that begins where another ends takes its lane', () => {
  const { events, placed } = run([
    { begin: 0, end: 10, id: 1, parent: 0 },
    { begin: 10, end: 20, id: 2, parent: 0 },
  ]);
  assert.deepEqual(placed, [0, 0]);
  assert.deepEqual(
    events.map(({ kind, id }) => `${kind} ${id}`),
    ['begin 1', 'end 1', 'begin 2', 'end 2'],
  );
});

test('spans of no length nest in a parent of no length and follow one another', () => {
  const { events, placed } = run([
    { begin: 5, end: 5, id: 1, parent: 0 },
    { begin: 5, end: 5, id: 2, parent: 1 },
    { begin: 5, end: 5, id: 3, parent: 0 },
  ]);
  assert.deepEqual(placed, [0, 0, 0]);
  assert.deepEqual(
    events.map(({ kind, id }) => `${kind} ${id}`),
    ['begin 1', 'begin 2', 'end 2', 'end 1', 'begin 3', 'end 3'],
  );
});

test('no more spans are held open than allowed, and room comes back', () => {
  const { placed, lanes } = run(
    [
      { begin: 0, end: 10, id: 1, parent: 0 },
      { begin: 1, end: 10, id: 2, parent: 0 },
      { begin: 2, end: 10, id: 3, parent: 0 },
      { begin: 2, end: 9, id: 4, parent: 1 },
      { begin: 11, end: 12, id: 5, parent: 0 },
    ],
    2,
  );
  assert.deepEqual(placed, [0, 1, -1, -1, 0]);
  assert.equal(lanes.openSeenMax, 2);
});

test('a hundred thousand spans open at once are placed and closed in well under a second each way', () => {
  const count = 100_000;
  const spans = Array.from({ length: count }, (_, i) => ({
    begin: i,
    end: 2 * count - (i % 1000),
    id: i + 1,
    parent: 0,
  }));
  const { events, lanes } = run(spans);
  assert.equal(lanes.laneCount, count);
  assertTrueNesting(spans, events);
});
