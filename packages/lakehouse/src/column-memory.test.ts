import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ColumnMemory } from './column-memory.ts';

const MIB = 2 ** 20;

test('memory that is given is used again for a column that needs about as much', () => {
  const memory = new ColumnMemory();
  const first = memory.bigInt64(1_000_000);
  const { buffer } = first;
  memory.give(buffer);
  memory.give(buffer);
  assert.equal(memory.keptBytes, buffer.byteLength);
  const small = memory.uint32(100_000);
  assert.notEqual(small.buffer, buffer, 'a fifth is too little');
  const second = memory.uint32(1_900_000);
  assert.equal(second.buffer, buffer);
  assert.equal(second.length, 1_900_000);
  assert.equal(memory.keptBytes, 0);
});

test('the smallest that fits is taken', () => {
  const memory = new ColumnMemory();
  const [large, fitting] = [memory.uint8(2 * MIB), memory.uint8(1.5 * MIB)];
  memory.give(large.buffer);
  memory.give(fitting.buffer);
  assert.equal(memory.uint8(1.2 * MIB).buffer, fitting.buffer);
});

test('what is kept has a bound, and the rest is freed at once', () => {
  const memory = new ColumnMemory();
  const all = Array.from({ length: 10 }, () => memory.uint8(10 * MIB).buffer);
  for (const buffer of all) memory.give(buffer);
  assert.ok(memory.keptBytes <= 64 * MIB);
  assert.ok(memory.keptBytes >= 32 * MIB);
  assert.equal(
    all.reduce((bytes, buffer) => bytes + buffer.byteLength, 0),
    memory.keptBytes,
  );
  memory.free();
  assert.equal(memory.keptBytes, 0);
  assert.ok(all.every((buffer) => buffer.detached));
});
