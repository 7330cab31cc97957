import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@tracelake/test-kit';
import { ThreadLanes } from './thread-lanes.ts';

interface Span {
  begin: number;
  end: number;
  id: number;
  parent: number;
  depth: number;
}

function run(spans: readonly Span[]) {
  const stacks = new Map<number, Span[]>();
  const log: string[] = [];
  const lastTime = new Map<number, number>();
  const advance = (lane: number, time: number) => {
    assert.ok(time >= (lastTime.get(lane) ?? 0), `lane ${lane} goes back in time`);
    lastTime.set(lane, time);
  };
  const lanes = new ThreadLanes((lane, _high, low) => {
    const closed = stacks.get(lane)?.pop();
    assert.equal(closed?.end, low, 'an end closes its own begin');
    advance(lane, low);
    log.push(`${lane} end ${closed?.id}`);
  });
  const placed = spans.map((span) => {
    const lane = lanes.place({
      beginHigh: 0,
      beginLow: span.begin,
      endHigh: 0,
      endLow: span.end,
      idHigh: 0,
      idLow: span.id,
      parentHigh: 0,
      parentLow: span.parent,
      depth: span.depth,
    });
    advance(lane, span.begin);
    const stack = stacks.get(lane) ?? [];
    stacks.set(lane, stack);
    stack.push(span);
    log.push(`${lane} begin ${span.id}`);
    return { lane, around: stack.length - 1 };
  });
  lanes.closeAll();
  assert.equal(lanes.openCount, 0);
  for (const stack of stacks.values()) assert.deepEqual(stack, []);
  return { placed, log };
}

/** Calls as a thread makes them: a clock that may stand still, spans begun and ended in order. */
function randomCalls(seed: number): Span[] {
  const random = seededRandom(seed);
  const spans: Span[] = [];
  const stack: Span[] = [];
  let time = 0;
  let id = 0;
  for (let step = 0; step < 120; step += 1) {
    time += random.int(3) === 0 ? 1 + random.int(4) : 0;
    if (stack.length === 0 || random.int(2) === 0) {
      const parent = stack.at(-1)?.id ?? -1;
      const span = { begin: time, end: time, id, parent, depth: stack.length + 1 };
      spans.push(span);
      stack.push(span);
    } else {
      const closed = stack.pop();
      if (closed !== undefined) closed.end = time;
    }
    id += 1;
  }
  for (const span of stack) span.end = time;
  return spans.sort((a, b) => a.begin - b.begin || a.id - b.id);
}

test('calls in order stay on the thread at the depth they had, whatever the clock did', () => {
  for (let seed = 1; seed <= 2000; seed += 1) {
    const spans = randomCalls(seed);
    const { placed } = run(spans);
    assert.deepEqual(
      placed,
      spans.map(({ depth }) => ({ lane: 0, around: depth - 1 })),
      `seed ${seed}`,
    );
  }
});

test('spans that end in any order never misplace an end', () => {
  for (let seed = 1; seed <= 2000; seed += 1) {
    const random = seededRandom(seed);
    const spans = randomCalls(seed);
    for (const span of spans) {
      if (random.int(5) === 0) span.end = span.begin + random.int(40);
    }
    run(spans);
  }
});

test('a span that outlives its parent moves off the thread with its children', () => {
  const { placed } = run([
    { begin: 0, end: 10, id: 1, parent: -1, depth: 1 },
    { begin: 5, end: 20, id: 2, parent: 1, depth: 2 },
    { begin: 6, end: 8, id: 3, parent: 2, depth: 3 },
    { begin: 12, end: 14, id: 4, parent: 2, depth: 3 },
    { begin: 21, end: 22, id: 5, parent: -1, depth: 1 },
  ]);
  assert.deepEqual(
    placed.map(({ lane }) => lane),
    [0, 1, 1, 1, 0],
  );
});

test('at one time the end of a sibling comes before the next begin', () => {
  const { log } = run([
    { begin: 0, end: 10, id: 1, parent: -1, depth: 1 },
    { begin: 0, end: 5, id: 2, parent: 1, depth: 2 },
    { begin: 5, end: 10, id: 3, parent: 1, depth: 2 },
    { begin: 10, end: 10, id: 4, parent: 1, depth: 2 },
    { begin: 10, end: 11, id: 5, parent: -1, depth: 1 },
  ]);
  assert.deepEqual(log, [
    '0 begin 1',
    '0 begin 2',
    '0 end 2',
    '0 begin 3',
    '0 end 3',
    '0 begin 4',
    '0 end 4',
    '0 end 1',
    '0 begin 5',
    '0 end 5',
  ]);
});

test('calls ten thousand deep are held', () => {
  const spans = Array.from({ length: 10_000 }, (_, i) => ({
    begin: i,
    end: 40_000 - i,
    id: i,
    parent: i - 1,
    depth: i + 1,
  }));
  assert.equal(run(spans).placed.at(-1)?.around, 9999);
});
