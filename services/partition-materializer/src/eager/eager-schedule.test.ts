import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EagerSchedule } from './eager-schedule.ts';

const logs = { viewSet: 'log_entries', instance: 'p1' };
const never = new AbortController().signal;

test('a burst of blocks is one build, due the quiet time after the first', async () => {
  const schedule = new EagerSchedule({ debounceMs: 40, capacity: 10 });
  const startMs = performance.now();
  const taken = schedule.take(never);
  schedule.note(logs);
  const again = setInterval(() => schedule.note(logs), 5);
  assert.deepEqual(await taken, logs);
  clearInterval(again);
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs >= 39 && tookMs < 500, `taken after ${tookMs} ms`);
});

test('news during a build is a build of its own', async () => {
  const schedule = new EagerSchedule({ debounceMs: 1, capacity: 10 });
  schedule.note(logs);
  await schedule.take(never);
  assert.equal(schedule.size, 0);
  schedule.note(logs);
  assert.deepEqual(await schedule.take(never), logs);
});

test('a full schedule refuses what it does not hold yet', () => {
  const schedule = new EagerSchedule({ debounceMs: 1000, capacity: 1 });
  assert.equal(schedule.note(logs), true);
  assert.equal(schedule.note({ ...logs, instance: 'p2' }), false);
  assert.equal(schedule.note(logs), true);
});

test('instances are taken in the order in which they are due', async () => {
  let nowMs = 0;
  const schedule = new EagerSchedule({ debounceMs: 100, capacity: 10, nowMs: () => nowMs });
  schedule.note({ ...logs, instance: 'late' }, 5000);
  schedule.note({ ...logs, instance: 'early' });
  nowMs = 6000;
  assert.equal((await schedule.take(never)).instance, 'early');
  assert.equal((await schedule.take(never)).instance, 'late');
});

test('whoever waits leaves when told to', async () => {
  const schedule = new EagerSchedule({ debounceMs: 1, capacity: 1 });
  const controller = new AbortController();
  const taken = schedule.take(controller.signal);
  controller.abort(new Error('stop'));
  await assert.rejects(taken, /stop/);
});
