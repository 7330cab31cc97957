import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freeOwnMemory, hasOwnMemory } from './own-memory.ts';

test('memory goes once, and never from under a neighbour', () => {
  const whole = new Uint8Array(100);
  const part = new Uint8Array(100).subarray(1);
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  assert.deepEqual([whole, part, shared].map(hasOwnMemory), [true, false, false]);
  for (const bytes of [whole, whole, part, shared]) freeOwnMemory(bytes);
  assert.deepEqual(
    [whole, part, shared].map(({ length }) => length),
    [0, 99, 8],
  );
});
