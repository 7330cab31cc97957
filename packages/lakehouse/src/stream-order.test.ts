import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@tracelake/test-kit';
import { makeBlock } from '../test/synthetic-stream.ts';
import { compareInsertOrder, compareStreamOrder, groupChains } from './stream-order.ts';

function chains(...ranges: [number, number][]): number[][] {
  const blocks = ranges.map(([begin, end], index) => ({
    ...{ index, beginTicks: BigInt(begin), endTicks: BigInt(end) },
  }));
  return groupChains(blocks).map((chain) => chain.map(({ index }) => index));
}

test('a chain ends only where the next block begins after everything before it', () => {
  assert.deepEqual(chains([0, 105], [100, 205], [200, 305]), [[0, 1, 2]]);
  assert.deepEqual(chains([0, 100], [100, 200], [200, 300]), [[0, 1, 2]]);
  assert.deepEqual(chains([0, 100], [500, 600]), [[0], [1]]);
  assert.deepEqual(chains([0, 105], [100, 205], [400, 505], [500, 600], [900, 950]), [
    [0, 1],
    [2, 3],
    [4],
  ]);
  assert.deepEqual(chains([0, 1000], [10, 20], [1000, 1100]), [[0, 1, 2]]);
  assert.deepEqual(chains([0, 100], [100, 100], [100, 200]), [[0, 1, 2]]);
  assert.deepEqual(chains([0, 100], [101, 200]), [[0], [1]]);
  assert.deepEqual(chains(), []);
});

function block(index: number, begin: number, end: number, offset: number, insertTimeUs = 0n) {
  const [beginTicks, endTicks] = [BigInt(begin), BigInt(end)];
  const objectOffset = BigInt(offset);
  return makeBlock(index, { beginTicks, endTicks, objectOffset, events: [], insertTimeUs });
}

test('stream order is by begin, end, offset and id, whatever the order of arrival', () => {
  const ordered = [
    block(9, 0, 10, 5),
    block(1, 5, 6, 9),
    block(2, 5, 8, 0),
    block(3, 5, 8, 1),
    block(4, 5, 8, 1),
  ];
  for (let seed = 1; seed <= 50; seed++) {
    const shuffled = seededRandom(seed).shuffle([...ordered]);
    assert.deepEqual(shuffled.sort(compareStreamOrder), ordered);
  }
});

test('order of arrival is total too', () => {
  const ordered = [block(9, 7, 9, 0, 1n), block(1, 5, 6, 0, 2n), block(2, 5, 6, 0, 2n)];
  for (let seed = 1; seed <= 50; seed++) {
    const shuffled = seededRandom(seed).shuffle([...ordered]);
    assert.deepEqual(shuffled.sort(compareInsertOrder), ordered);
  }
});
