import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScopeCache } from './scope-cache.ts';

const scope = (name: string) => ({ name, target: 'target', filename: 'file.rs', line: 1 });

test('a dictionary that has grown keeps what it had and gets what is new', () => {
  const cache = new ScopeCache();
  const dictionary = [scope('a')];
  const [first] = cache.scopesOf(dictionary);
  dictionary.push(scope('b'));
  const scopes = cache.scopesOf(dictionary);
  assert.equal(scopes[0], first);
  assert.deepEqual(
    scopes.map(({ scope: { name } }) => name),
    ['a', 'b'],
  );
  assert.notEqual(cache.scopesOf([scope('a')])[0], first);
});
