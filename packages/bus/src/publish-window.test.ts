import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BusError } from './bus-error.ts';
import { PublishWindow } from './publish-window.ts';

const never = new AbortController().signal;

test('places go to the waiters in the order in which they came', async () => {
  const window = new PublishWindow(2, 10);
  const first = await window.enter(never);
  await window.enter(never);
  const order: number[] = [];
  const waiters = [0, 1, 2].map((index) =>
    window.enter(never).then((place) => {
      order.push(index);
      place[Symbol.dispose]();
    }),
  );
  assert.equal(window.waiting, 3);
  assert.equal(window.inFlight, 2);
  first[Symbol.dispose]();
  await Promise.all(waiters);
  assert.deepEqual(order, [0, 1, 2]);
  assert.equal(window.inFlight, 1);
});

test('a place given back twice is one place', async () => {
  const window = new PublishWindow(1, 10);
  const place = await window.enter(never);
  place[Symbol.dispose]();
  place[Symbol.dispose]();
  assert.equal(window.inFlight, 0);
  await window.enter(never);
  assert.equal(window.inFlight, 1);
});

test('more waiters than may wait are refused', async () => {
  const window = new PublishWindow(1, 1);
  await window.enter(never);
  const waiting = window.enter(AbortSignal.timeout(20));
  await assert.rejects(
    window.enter(never),
    (error) => error instanceof BusError && error.code === 'bus.overloaded' && error.retryable,
  );
  await assert.rejects(waiting, { name: 'TimeoutError' });
  assert.equal(window.waiting, 0);
});
