import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nsToMicroseconds } from './microseconds.ts';
import { fragment, sql } from './sql.ts';
import { storableProperties, storableText } from './storable-text.ts';

test('values become parameters and only fragments become text', () => {
  const statement = sql`SELECT ${fragment('a, b')} FROM t WHERE x = ${'y; DROP'} AND z = ${fragment('w')} OR ${null}`;
  assert.equal(statement.text, 'SELECT a, b FROM t WHERE x = $1 AND z = w OR $2');
  assert.deepEqual(statement.values, ['y; DROP', null]);
});

test('an object that looks like a fragment is a value', () => {
  const statement = sql`SELECT ${{ fragment: 'x', text: 'y' }}`;
  assert.equal(statement.text, 'SELECT $1');
});

test('nanoseconds become microseconds toward the past, on both sides of the epoch', () => {
  const pairs = [
    [0n, 0n],
    [999n, 0n],
    [1000n, 1n],
    [-1n, -1n],
    [-1000n, -1n],
    [-1001n, -2n],
  ] as const;
  for (const [ns, us] of pairs) assert.equal(nsToMicroseconds(ns), us);
});

test('text is stored as it is unless Postgres cannot hold it', () => {
  assert.equal(storableText('plain ☃ \u{1F600}'), 'plain ☃ \u{1F600}');
  assert.equal(storableText('\0\ud800x\udc00'), '\uFFFD\uFFFDx\uFFFD');
  assert.equal(storableProperties({ b: '1', a: '\0' }), '{"b":"1","a":"\uFFFD"}');
});
