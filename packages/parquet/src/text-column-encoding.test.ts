import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longestMapKey } from '@tracelake/test-kit';
import { encodeTextColumn } from './text-column-encoding.ts';

const TEXT_BYTES_MAX = 2 ** 24;

test('texts are numbered by first use, equal ones once, unused ones not at all', () => {
  const dictionary = ['unused', 'b', 'a', 'b', '\ud800', '\ufffd'];
  const codes = Uint32Array.of(1, 2, 3, 1, 4, 5);
  assert.deepEqual(encodeTextColumn({ codes, dictionary, rowCount: 6 }, TEXT_BYTES_MAX), {
    kind: 'enum',
    members: ['b', 'a', '\ufffd'],
    codes: Uint8Array.of(0, 1, 0, 0, 2, 2),
  });
});

test('many long texts of one length cost no more than their bytes', () => {
  const dictionary = Array.from({ length: 10 }, (_, index) => `${'x'.repeat(20_000)}${index}`);
  const codes = Uint32Array.from(dictionary.keys());
  const input = { codes, dictionary, rowCount: codes.length };
  assert.ok(longestMapKey(() => encodeTextColumn(input, TEXT_BYTES_MAX)) < 16_384);
});
