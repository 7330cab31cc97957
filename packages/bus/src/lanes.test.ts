import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureExists, parseProcessId } from '@tracelake/domain';
import { laneOf, xxHash64OfText } from './lanes.ts';

test('xxh64 gives the published reference values', () => {
  assert.equal(xxHash64OfText(''), 0xef46db3751d8e999n);
  assert.equal(xxHash64OfText('abc'), 0x44bc2cf5ad770999n);
  assert.equal(xxHash64OfText('Nobody inspects the spammish repetition'), 0xfbcea83c8a378bf1n);
});

test('a lane is the hash of the id as text modulo the number of lanes', () => {
  const id = ensureExists(parseProcessId('{01234567-89AB-cdef-0123-456789abcdef}'), 'the id');
  const hash = xxHash64OfText('01234567-89ab-cdef-0123-456789abcdef');
  for (const lanes of [1, 2, 7, 8, 1000]) {
    assert.equal(laneOf(id, lanes), Number(hash % BigInt(lanes)));
  }
});

test('processes spread over all lanes', () => {
  const counts = new Array<number>(8).fill(0);
  for (let index = 0; index < 4_000; index++) {
    const text = `00000000-0000-4000-8000-${index.toString(16).padStart(12, '0')}`;
    const lane = laneOf(ensureExists(parseProcessId(text), 'the id'), 8);
    counts[lane] = (counts[lane] ?? 0) + 1;
  }
  for (const count of counts) assert.ok(count > 400 && count < 600, `uneven: ${counts}`);
});
