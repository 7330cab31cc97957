import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBlockId, parseUuid } from './ids.ts';

const CANONICAL = '6a08e488-07e0-4ce6-80ec-c38b5dee8521';

test('every form of a UUID that clients send becomes hyphenated lower case', () => {
  const simple = CANONICAL.replaceAll('-', '');
  for (const text of [
    CANONICAL,
    CANONICAL.toUpperCase(),
    simple,
    simple.toUpperCase(),
    `{${CANONICAL}}`,
    `urn:uuid:${CANONICAL}`,
    `URN:UUID:${CANONICAL.toUpperCase()}`,
  ]) {
    assert.equal(parseUuid(text), CANONICAL, text);
  }
});

test('anything else is not an id, path-like text included', () => {
  for (const text of [
    '',
    'global',
    '../../etc/passwd',
    `${CANONICAL}/..`,
    CANONICAL.slice(1),
    `${CANONICAL}0`,
    `{${CANONICAL}`,
    CANONICAL.replaceAll('-', '_'),
    `${CANONICAL}\n`,
    'g'.repeat(32),
    'a'.repeat(10_000),
  ]) {
    assert.equal(parseBlockId(text), undefined, text.slice(0, 40));
  }
});
