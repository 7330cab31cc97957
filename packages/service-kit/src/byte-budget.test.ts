import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteBudget } from './byte-budget.ts';
import { InFlightTracker } from './in-flight-tracker.ts';

test('reservations never pass the capacity and come back once', () => {
  const budget = new ByteBudget(100);
  const first = budget.tryReserve(60);
  assert.ok(first);
  assert.equal(budget.tryReserve(41), undefined);
  assert.equal(first.tryGrow(41), false);
  assert.equal(first.tryGrow(40), true);
  assert.equal(budget.usedBytes, 100);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(budget.usedBytes, 0);
  assert.throws(() => first.tryGrow(1), /invariant/);
});

test('drained waits for the last of what is under way, or for the signal', async () => {
  const tracker = new InFlightTracker();
  await tracker.drained();
  const first = tracker.begin();
  const second = tracker.begin();
  await assert.rejects(tracker.drained(AbortSignal.timeout(5)), { name: 'TimeoutError' });
  const drained = tracker.drained();
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(tracker.count, 1);
  second[Symbol.dispose]();
  await drained;
});
