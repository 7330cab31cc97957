import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ticks } from '@tracelake/domain';
import { rowObjects, seededRandom } from '@tracelake/test-kit';
import { scopeHash } from '@tracelake/transit';
import { type OracleEvent, oracleRows } from '../test/call-tree-oracle.ts';
import {
  makeContext,
  makeEvents,
  makeStream,
  START_NS,
  THREAD_NAME,
} from '../test/synthetic-stream.ts';
import { columnMemory } from './column-memory.ts';
import type { RowColumns } from './row-columns.ts';
import { decodeSpanCarry, encodeSpanCarry, SPAN_DEPTH_MAX } from './span-carry.ts';
import { SpanFold } from './span-fold.ts';
import { SPAN_COLUMNS } from './span-rows.ts';

const { calibration } = makeContext();

type EventText = readonly [kind: 'begin' | 'end', name: string, timeNs: number];

function eventsOf(firstId: number, texts: readonly EventText[]): OracleEvent[] {
  return texts.map(([kind, name, timeNs], index) => ({
    ...{ id: BigInt(firstId + index), timeNs: START_NS + BigInt(timeNs), kind, name, line: 1 },
  }));
}

function add(
  fold: SpanFold,
  range: [number, number],
  firstId: number,
  texts: readonly EventText[],
) {
  const [beginTicks, endTicks] = range.map(BigInt) as [bigint, bigint];
  fold.addBlock({ beginTicks, endTicks }, THREAD_NAME, makeEvents(eventsOf(firstId, texts)));
}

/** `id parent depth name begin-end`, a star for open ones, times from the start. */
function lines(rows: RowColumns | undefined): string[] {
  if (rows === undefined) return [];
  return rowObjects({ columns: SPAN_COLUMNS }, rows).map((row) => {
    const [begin, end] = [row.begin, row.end].map((time) => Number((time as bigint) - START_NS));
    assert.equal(row.duration, BigInt((end ?? 0) - (begin ?? 0)));
    const { id, parent, depth, name, open } = row;
    return `${id} ${parent} ${depth} ${name} ${begin}-${end}${open ? '*' : ''}`;
  });
}

test('spans have the ids of their begin events, and the thread has a row of depth 0', () => {
  const fold = new SpanFold(calibration, undefined);
  add(fold, [0, 1000], 10, [
    ['begin', 'a', 100],
    ['begin', 'a1', 150],
    ['end', 'a1', 200],
    ['begin', 'a2', 250],
    ['end', 'a2', 300],
    ['end', 'a', 500],
    ['begin', 'b', 600],
    ['end', 'b', 700],
  ]);
  assert.deepEqual(lines(fold.toColumns()), [
    '10 -1 1 a 100-500',
    '11 10 2 a1 150-200',
    '13 10 2 a2 250-300',
    '16 -1 1 b 600-700',
  ]);
  assert.deepEqual(lines(fold.tail()), [`-1 0 0 ${THREAD_NAME} 0-1000`]);
  const [thread] = rowObjects({ columns: SPAN_COLUMNS }, fold.tail() as RowColumns);
  assert.equal(thread?.hash, scopeHash(THREAD_NAME, '', '', 0));
});

test('a span over two blocks and two runs is one span', () => {
  const first = new SpanFold(calibration, undefined);
  add(first, [0, 1000], 0, [['begin', 'a', 100]]);
  assert.deepEqual(lines(first.toColumns()), []);
  assert.deepEqual(lines(first.tail()), [`-1 0 0 ${THREAD_NAME} 0-1000`, '0 -1 1 a 100-1000*']);
  const second = new SpanFold(calibration, first.carry());
  add(second, [1000, 2000], 1, [['end', 'a', 1300]]);
  assert.deepEqual(lines(second.toColumns()), ['0 -1 1 a 100-1300']);
  assert.deepEqual(lines(second.tail()), [`-1 0 0 ${THREAD_NAME} 0-2000`]);
});

test('a name is the same in the next run, whatever its characters', () => {
  for (const name of ['', '\ufeff', '\0', '\ufffd', '東京 🗼']) {
    const first = new SpanFold(calibration, undefined);
    add(first, [0, 1000], 0, [['begin', name, 100]]);
    const second = new SpanFold(calibration, first.carry());
    add(second, [1000, 2000], 1, [['end', name, 1300]]);
    assert.deepEqual(lines(second.toColumns()), [`0 -1 1 ${name} 100-1300`]);
  }
});

test('where data is missing, open spans end with their chain and ends without begins stand alone', () => {
  const fold = new SpanFold(calibration, undefined);
  add(fold, [0, 100], 0, [['begin', 'a', 10]]);
  add(fold, [101, 200], 1, [['end', 'a', 150]]);
  assert.deepEqual(lines(fold.toColumns()), [
    `-1 0 0 ${THREAD_NAME} 0-100`,
    '0 -1 1 a 10-100*',
    '1 -1 1 a 101-150*',
  ]);
  assert.equal(fold.orphanEnds, 1);
});

test('touching, overlapping and contained blocks are one chain', () => {
  const fold = new SpanFold(calibration, undefined);
  add(fold, [0, 1000], 0, [['begin', 'a', 10]]);
  add(fold, [10, 20], 1, []);
  add(fold, [1000, 1100], 1, [['end', 'a', 1050]]);
  assert.deepEqual(lines(fold.toColumns()), ['0 -1 1 a 10-1050']);
  assert.deepEqual(lines(fold.tail()), [`-1 0 0 ${THREAD_NAME} 0-1100`]);
});

test('a mismatched end closes the nearest open span of its own scope and counts', () => {
  const fold = new SpanFold(calibration, undefined);
  add(fold, [0, 100], 0, [
    ['begin', 'a', 1],
    ['begin', 'a', 2],
    ['begin', 'b', 3],
    ['end', 'a', 4],
    ['begin', 'c', 5],
    ['end', 'c', 6],
    ['end', 'b', 7],
    ['begin', 'd', 8],
    ['end', 'd', 9],
    ['end', 'a', 10],
  ]);
  assert.deepEqual(lines(fold.toColumns()), [
    '0 -1 1 a 1-10',
    '1 0 2 a 2-4',
    '2 1 3 b 3-7',
    '4 2 4 c 5-6',
    '7 0 2 d 8-9',
  ]);
  assert.equal(fold.mismatchedEnds, 1);
});

test('ends without a begin take no room from the spans that begin after them', () => {
  for (const count of [1, 63, 64, 65, 200]) {
    const fold = new SpanFold(calibration, undefined);
    const texts: EventText[] = [];
    for (let n = 0; n < count; n++) texts.push(['end', 'orphan', 10 + n]);
    for (let n = 0; n < count; n++) texts.push(['begin', 'nested', 1000 + n]);
    for (let n = 0; n < count; n++) texts.push(['end', 'nested', 2000 + n]);
    add(fold, [0, 5000], 0, texts);
    const rows = lines(fold.toColumns());
    const orphans = Array.from({ length: count }, (_, n) => `${n} -1 1 orphan 0-${10 + n}*`);
    const nested = Array.from({ length: count }, (_, n) => {
      const parent = n === 0 ? -1 : count + n - 1;
      return `${count + n} ${parent} ${n + 1} nested ${1000 + n}-${1999 + count - n}`;
    });
    assert.deepEqual(rows, [...orphans, ...nested]);
  }
});

test('a chain without thread spans has no rows, and no spans are made of block times', () => {
  const fold = new SpanFold(calibration, undefined);
  add(fold, [0, 100], 0, []);
  add(fold, [500, 600], 5, []);
  assert.deepEqual(lines(fold.toColumns()), []);
  assert.equal(fold.tail(), undefined);
});

test('events outside the ticks of their block stay', () => {
  const fold = new SpanFold(calibration, undefined);
  add(fold, [100, 200], 0, [
    ['begin', 'early', 50],
    ['end', 'early', 60],
    ['begin', 'late', 250],
    ['end', 'lost', 40],
  ]);
  assert.deepEqual(lines(fold.toColumns()), ['3 -1 1 lost 40-40*', '0 -1 1 early 50-60']);
  assert.deepEqual(lines(fold.tail()), [`-1 0 0 ${THREAD_NAME} 100-200`, '2 -1 1 late 250-250*']);
});

test('spans past the depth limit have no row, and those within keep their own ends', () => {
  const deep = SPAN_DEPTH_MAX + 10;
  const begins = Array.from({ length: deep }, (_, n): EventText => ['begin', 'f', n]);
  const ends = Array.from({ length: deep }, (_, n): EventText => ['end', 'f', deep + n]);
  const whole = new SpanFold(calibration, undefined);
  add(whole, [0, 10 * deep], 0, [...begins, ...ends]);
  assert.equal(whole.droppedSpans, 10);
  const rows = rowObjects({ columns: SPAN_COLUMNS }, whole.toColumns());
  assert.equal(rows.length, SPAN_DEPTH_MAX);
  for (const [index, row] of rows.entries()) {
    assert.equal(row.begin, START_NS + BigInt(index));
    assert.equal(row.end, START_NS + BigInt(2 * deep - 1 - index));
    assert.equal(row.depth, index + 1);
  }
  const first = new SpanFold(calibration, undefined);
  add(first, [0, deep], 0, begins);
  const second = new SpanFold(calibration, first.carry());
  add(second, [deep, 10 * deep], deep, ends);
  assert.deepEqual(second.toColumns(), whole.toColumns());
});

test('ends that never match cost no more than ends that do', () => {
  const begins = Array.from(
    { length: 60_000 },
    (_, n): EventText => ['begin', n % 2 ? 'a' : 'b', n],
  );
  const ends = Array.from({ length: 30_000 }, (_, n): EventText => ['end', 'b', 60_000 + n]);
  const orphans = Array.from({ length: 60_000 }, (_, n): EventText => ['end', 'x', 90_000 + n]);
  const fold = new SpanFold(calibration, undefined);
  const before = process.cpuUsage();
  add(fold, [0, 200_000], 0, [...begins, ...orphans, ...ends]);
  // A look at every open span for each end would be billions of steps; the CPU's own time, whoever else runs.
  assert(process.cpuUsage(before).user < 2_000_000);
  assert.equal(fold.mismatchedEnds, 30_000);
  assert.equal(fold.orphanEnds, 60_000);
});

test('the fold gives the rows of an independent call tree, cut into runs anywhere', (t) => {
  const firstSeed = 20_000;
  t.diagnostic(`seeds ${firstSeed} to ${firstSeed + 2_999}`);
  for (let seed = firstSeed; seed < firstSeed + 3_000; seed++) {
    const random = seededRandom(seed);
    const stream = makeStream(random, 12);
    let fold = new SpanFold(calibration, undefined);
    const built: RowColumns[] = [];
    for (const block of stream.blocks) {
      const events = stream.eventsOf.get(block.blockId);
      assert(events !== undefined);
      fold.addBlock(block, THREAD_NAME, events);
      if (random.int(3) > 0) continue;
      built.push(fold.toColumns());
      const carry = fold.carry();
      assert(carry !== undefined);
      assert.deepEqual(encodeSpanCarry(decodeSpanCarry(carry)), carry, `seed ${seed}`);
      fold = new SpanFold(calibration, carry);
      assert.deepEqual(fold.carry(), carry, `seed ${seed}`);
    }
    built.push(fold.toColumns());
    const tail = fold.tail();
    if (tail !== undefined) built.push(tail);
    const actual = built
      .flatMap((rows) => rowObjects({ columns: SPAN_COLUMNS }, rows))
      .map(({ id, parent, depth, begin, end, name, line, open }) =>
        [id, parent, depth, begin, end, name, line, open].join(' '),
      );
    const expected = oracleRows(stream.oracleBlocks, THREAD_NAME).map(
      ({ id, parent, depth, begin, end, name, line, open }) =>
        [id, parent, depth, begin, end, name, line, open].join(' '),
    );
    assert.deepEqual(actual.sort(), expected.sort(), `seed ${seed}`);
  }
});

test('rows of a run stand by begin and id', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const stream = makeStream(seededRandom(seed), 12);
    const fold = new SpanFold(calibration, undefined);
    for (const block of stream.blocks) {
      const events = stream.eventsOf.get(block.blockId);
      if (events !== undefined) fold.addBlock(block, THREAD_NAME, events);
    }
    const rows = rowObjects({ columns: SPAN_COLUMNS }, fold.toColumns());
    for (const [index, row] of rows.entries()) {
      const before = rows[index - 1];
      if (before === undefined) continue;
      const [a, b] = [before, row].map(({ begin, id }) => [begin, id] as [bigint, bigint]);
      assert(a !== undefined && b !== undefined);
      assert(a[0] < b[0] || (a[0] === b[0] && a[1] <= b[1]), `seed ${seed}`);
    }
  }
});

test('a carry that is cut short, too long or absurd is refused', () => {
  const fold = new SpanFold(calibration, undefined);
  add(fold, [0, 100], 0, [
    ['begin', 'naïve', 1],
    ['begin', 'b', 2],
  ]);
  const carry = fold.carry();
  assert(carry !== undefined);
  for (let size = 0; size < carry.length; size++)
    assert.throws(() => decodeSpanCarry(carry.subarray(0, size)), { code: 'lakehouse.bad-carry' });
  const longer = new Uint8Array(carry.length + 1);
  longer.set(carry);
  assert.throws(() => decodeSpanCarry(longer), { code: 'lakehouse.bad-carry' });
  const random = seededRandom(7);
  for (let round = 0; round < 3000; round++) {
    const bytes = carry.slice();
    bytes[random.int(bytes.length)] = random.int(256);
    try {
      new SpanFold(calibration, bytes).carry();
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'lakehouse.bad-carry');
    }
  }
});

test('ticks of a block that lie outside all time give the last time there is', () => {
  const fold = new SpanFold({ ...calibration, frequencyHz: 1 }, undefined);
  const events = makeEvents(eventsOf(0, [['begin', 'a', 1]]));
  fold.addBlock({ beginTicks: ticks(0n), endTicks: ticks(2n ** 62n) }, THREAD_NAME, events);
  const rows = rowObjects({ columns: SPAN_COLUMNS }, fold.tail() as RowColumns);
  assert.equal(rows[0]?.end, 2n ** 63n - 2n);
});

test('a block that ends before it begins ends where it begins', () => {
  const fold = new SpanFold(calibration, undefined);
  const first = { beginTicks: ticks(100n), endTicks: ticks(40n) };
  fold.addBlock(first, THREAD_NAME, makeEvents(eventsOf(0, [['begin', 'a', 110]])));
  const next = { beginTicks: ticks(100n), endTicks: ticks(120n) };
  fold.addBlock(next, THREAD_NAME, makeEvents(eventsOf(1, [['end', 'a', 115]])));
  assert.equal(rowObjects({ columns: SPAN_COLUMNS }, fold.toColumns()).length, 1);
  const backward = new SpanFold(calibration, undefined);
  backward.addBlock(first, THREAD_NAME, makeEvents(eventsOf(0, [['begin', 'a', 110]])));
  for (const row of rowObjects({ columns: SPAN_COLUMNS }, backward.tail() as RowColumns))
    assert.ok((row.end as bigint) >= (row.begin as bigint));
});

test('a duration of more than 64 bits stops at the longest', () => {
  const fold = new SpanFold({ ...calibration, frequencyHz: 1 }, undefined);
  const ends = { beginTicks: ticks(-(2n ** 62n)), endTicks: ticks(2n ** 62n) };
  fold.addBlock(ends, THREAD_NAME, makeEvents(eventsOf(0, [['begin', 'a', 1]])));
  const rows = rowObjects({ columns: SPAN_COLUMNS }, fold.tail() as RowColumns);
  assert.equal(rows[0]?.duration, 2n ** 63n - 1n);
});

test('rows come out the same from memory that held other rows', () => {
  const seeds = [1, 2, 3];
  const build = (seed: number): RowColumns => {
    const random = seededRandom(seed);
    const fold = new SpanFold(calibration, undefined);
    const texts: EventText[] = [];
    for (let index = 0; index < 40_000; index++) {
      texts.push(['begin', `s${random.int(9)}`, index * 10]);
      if (index % 100 !== 0) texts.push(['end', texts.at(-1)?.[1] ?? '', index * 10 + 5]);
    }
    add(fold, [0, 400_000], 0, texts);
    return fold.toColumns();
  };
  const fresh = seeds.map((seed) => structuredClone(build(seed)));
  for (const seed of seeds) {
    for (const column of build(seed).columns) {
      const { buffer } = column.type === 'string' ? column.codes : column.values;
      columnMemory.give(buffer);
    }
  }
  assert.ok(columnMemory.keptBytes > 0);
  assert.deepEqual(
    seeds.map((seed) => structuredClone(build(seed))),
    fresh,
  );
  columnMemory.free();
});
