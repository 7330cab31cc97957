import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TextDictionary, TextMap } from './text-map.ts';

const LONG = 'x'.repeat(20_000);

test('texts of any length have values of their own', () => {
  const map = new TextMap<number>();
  const texts = ['', 'a', `${LONG}a`, `${LONG}b`, 'y'.repeat(16_000), 'y'.repeat(16_001)];
  for (const [index, text] of texts.entries()) {
    assert.equal(map.get(text), undefined);
    map.set(text, index);
  }
  assert.deepEqual(
    texts.map((text) => map.get(text)),
    [0, 1, 2, 3, 4, 5],
  );
  assert.equal(map.size, 6);
  map.set(`${LONG}a`, 9);
  assert.equal(map.get(`${LONG}a`), 9);
  assert.equal(map.size, 6);
});

test('long texts that differ in a lone surrogate are told apart', () => {
  const map = new TextMap<string>();
  map.set(`${LONG}\ud800`, 'high');
  map.set(`${LONG}\udc00`, 'low');
  assert.equal(map.get(`${LONG}\ud800`), 'high');
  assert.equal(map.get(`${LONG}\udc00`), 'low');
});

test('codes count from zero in order of first use', () => {
  const dictionary = new TextDictionary();
  assert.deepEqual(dictionary.codesOf(['b', 'a', 'b', 'c']), Uint32Array.of(0, 1, 0, 2));
  assert.deepEqual(dictionary.texts, ['b', 'a', 'c']);
});
