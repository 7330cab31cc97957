import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReceiveBuffers } from './receive-buffers.ts';

const MIB = 1024 * 1024;

test('a buffer that came back serves the next body of about its size, and one body at a time', () => {
  const buffers = new ReceiveBuffers();
  const first = buffers.take(200_000);
  const second = buffers.take(200_000);
  assert.notEqual(first.buffer, second.buffer);
  buffers.giveBack(first);
  assert.equal(buffers.take(199_999).buffer, first.buffer);
  assert.notEqual(buffers.take(199_999).buffer, first.buffer);
});

test('a buffer holds what was asked for and at most a quarter more', () => {
  const buffers = new ReceiveBuffers();
  for (let byteCount = 4096; byteCount < 40 * MIB; byteCount = Math.ceil(byteCount * 1.07)) {
    const { length } = buffers.take(byteCount);
    assert.ok(length >= byteCount && length <= byteCount * 1.25, `${length} for ${byteCount}`);
  }
  assert.ok(buffers.take(0).length <= 4096);
});

test('what lies ready is bounded, whatever comes back', () => {
  const buffers = new ReceiveBuffers();
  const taken = Array.from({ length: 100 }, () => buffers.take(MIB));
  for (const buffer of taken) buffers.giveBack(buffer);
  const known = new Set(taken.map(({ buffer }) => buffer));
  const reused = taken.map(() => buffers.take(MIB)).filter(({ buffer }) => known.has(buffer));
  assert.equal(reused.length, 32);
  const large = buffers.take(20 * MIB);
  buffers.giveBack(large);
  assert.notEqual(buffers.take(20 * MIB).buffer, large.buffer);
});
