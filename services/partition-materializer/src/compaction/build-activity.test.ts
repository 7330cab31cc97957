import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BuildActivity } from './build-activity.ts';

const never = new AbortController().signal;

test('work of no hurry waits until the last build is over', async () => {
  const activity = new BuildActivity();
  const builds = [activity.enter(), activity.enter()];
  let isQuiet = false;
  const waiting = activity.untilQuiet(60_000, never).then(() => {
    isQuiet = true;
  });
  builds[0]?.[Symbol.dispose]();
  builds[0]?.[Symbol.dispose]();
  await new Promise(setImmediate);
  assert.equal(isQuiet, false);
  builds[1]?.[Symbol.dispose]();
  await waiting;
  await activity.untilQuiet(60_000, never);
});

test('patience ends the wait, and an abort ends it with its reason', async () => {
  const activity = new BuildActivity();
  using _build = activity.enter();
  await activity.untilQuiet(5, never);
  await activity.untilQuiet(0, never);
  const stop = new AbortController();
  const waiting = activity.untilQuiet(60_000, stop.signal);
  stop.abort(new Error('stop'));
  await assert.rejects(waiting, /stop/);
});
