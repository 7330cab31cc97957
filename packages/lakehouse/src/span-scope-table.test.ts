import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longestMapKey } from '@tracelake/test-kit';
import { SpanScopeTable } from './span-scope-table.ts';

const scope = { name: 'n', target: 't', filename: 'f.rs', line: 1, hash: 7 };

test('scopes are the same when their texts and lines are', () => {
  const table = new SpanScopeTable();
  const codes = [
    scope,
    { ...scope, line: 2 },
    { ...scope, name: 'nt', target: '' },
    { ...scope },
    { ...scope, name: '', target: 'nt' },
  ].map((one) => table.codeOf(one));
  assert.deepEqual(codes, [0, 1, 2, 0, 3]);
});

test('many scopes with long names of one length cost no more than their bytes', () => {
  const table = new SpanScopeTable();
  const codes: number[] = [];
  const longest = longestMapKey(() => {
    for (let index = 0; index < 20; index += 1)
      codes.push(table.codeOf({ ...scope, name: `${'x'.repeat(20_000)}${index % 10}` }));
  });
  assert.ok(longest < 16_384);
  assert.deepEqual(codes.slice(10), codes.slice(0, 10));
  assert.equal(table.scopes.length, 10);
});
