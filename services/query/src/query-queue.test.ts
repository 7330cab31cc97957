import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QueryQueue } from './query-queue.ts';

const never = new AbortController().signal;

test('queries run in the order they came, and one too many is turned away', async () => {
  const queue = new QueryQueue({ running: 1, waiting: 2 });
  const order: string[] = [];
  const first = await queue.enter(never);
  const others = ['second', 'third'].map(async (name) => {
    using _place = await queue.enter(never);
    order.push(name);
  });
  await assert.rejects(queue.enter(never), { code: 'query.queue-full' });
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await Promise.all(others);
  assert.deepEqual(order, ['second', 'third']);
  assert.deepEqual([queue.running, queue.waiting], [0, 0]);
});

test('who leaves the queue gives up only its own place', async () => {
  const queue = new QueryQueue({ running: 1, waiting: 2 });
  const first = await queue.enter(never);
  const leaver = new AbortController();
  const left = queue.enter(leaver.signal);
  const stays = queue.enter(never);
  leaver.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  first[Symbol.dispose]();
  (await stays)[Symbol.dispose]();
  assert.deepEqual([queue.running, queue.waiting], [0, 0]);
});
