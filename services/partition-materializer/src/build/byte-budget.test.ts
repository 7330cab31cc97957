import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ByteBudget } from './byte-budget.ts';

const never = new AbortController().signal;

test('reservations wait in line and never exceed the budget', async () => {
  const budget = new ByteBudget(100);
  const first = await budget.reserve(60, never);
  const order: string[] = [];
  const large = budget.reserve(80, never).then((held) => {
    order.push('large');
    return held;
  });
  const small = budget.reserve(10, never).then((held) => {
    order.push('small');
    return held;
  });
  await setImmediate();
  assert.deepEqual(order, [], 'a small one does not overtake a large one');
  first[Symbol.dispose]();
  const held = await Promise.all([large, small]);
  assert.equal(budget.usedBytes, 90);
  for (const one of held) {
    one[Symbol.dispose]();
    one[Symbol.dispose]();
  }
  assert.equal(budget.usedBytes, 0);
});

test('a payload larger than the budget passes alone', async () => {
  const budget = new ByteBudget(100);
  const whole = await budget.reserve(1_000_000, never);
  assert.equal(budget.usedBytes, 100);
  whole[Symbol.dispose]();
  assert.equal(budget.usedBytes, 0);
});

test('whoever gives up leaves the line to the next', async () => {
  const budget = new ByteBudget(100);
  const first = await budget.reserve(50, never);
  const controller = new AbortController();
  const given = budget.reserve(100, controller.signal);
  const next = budget.reserve(50, never);
  controller.abort(new Error('gone'));
  await assert.rejects(given, /gone/);
  const held = await next;
  assert.equal(budget.usedBytes, 100);
  held[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(budget.usedBytes, 0);
});
