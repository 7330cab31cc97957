import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shuffled } from './replay.ts';

const items = Array.from({ length: 50 }, (_, index) => index);

test('a seed decides the order, and the order holds each item once', () => {
  assert.deepEqual(shuffled(items, 7), shuffled(items, 7));
  assert.notDeepEqual(shuffled(items, 7), shuffled(items, 8));
  assert.deepEqual(
    shuffled(items, 7).toSorted((a, b) => a - b),
    items,
  );
});

test('shuffling leaves the given list as it was', () => {
  const before = [...items];
  shuffled(items, 1);
  assert.deepEqual(items, before);
});

test('every place can come first', () => {
  const firsts = new Set(Array.from({ length: 200 }, (_, seed) => shuffled([1, 2, 3, 4], seed)[0]));
  assert.deepEqual(firsts, new Set([1, 2, 3, 4]));
});
