import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { workBounded } from './bounded-work.ts';

const { signal } = new AbortController();

test('every item is worked on once, so many at a time, and no item is taken before its turn', async () => {
  let taken = 0;
  let running = 0;
  let runningMax = 0;
  const done: number[] = [];
  function* items() {
    for (; taken < 50; taken++) yield taken;
  }
  await workBounded(
    items(),
    4,
    async (item) => {
      running++;
      runningMax = Math.max(runningMax, running);
      assert.ok(taken - done.length <= 8, `${taken} taken, ${done.length} done`);
      await delay(1);
      running--;
      done.push(item);
    },
    signal,
  );
  assert.equal(runningMax, 4);
  assert.deepEqual(
    done.toSorted((a, b) => a - b),
    Array.from({ length: 50 }, (_, index) => index),
  );
});

test('the first failure ends the others and is the one that is thrown', async () => {
  const ended: unknown[] = [];
  const work = async (item: number, itemSignal: AbortSignal) => {
    if (item === 2) throw new Error('item 2');
    await delay(60_000, undefined, { signal: itemSignal }).catch((error: Error) => {
      ended.push(item);
      throw error;
    });
  };
  await assert.rejects(workBounded([0, 1, 2, 3, 4, 5], 3, work, signal), /item 2/);
  assert.deepEqual(ended, [0, 1]);
});

test('a caller that goes away ends it with the reason', async () => {
  const abort = new AbortController();
  const work = async (_item: number, itemSignal: AbortSignal) => {
    abort.abort(new Error('gone'));
    await delay(60_000, undefined, { signal: itemSignal });
  };
  await assert.rejects(workBounded([1, 2, 3], 2, work, abort.signal), /gone/);
});
