import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from './backoff.ts';

test('pauses double up to a bound while something keeps ending', () => {
  const backoff = new Backoff();
  const pauses = Array.from({ length: 8 }, () => {
    backoff.noteStart(0);
    return backoff.noteEnd(10);
  });
  assert.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  assert.equal(backoff.failureCount, 8);
});

test('half a minute of calm starts the count anew', () => {
  const backoff = new Backoff();
  for (let end = 0; end < 5; end += 1) backoff.noteEnd(10);
  backoff.noteStart(0);
  assert.equal(backoff.noteEnd(40_000), 250);
});
