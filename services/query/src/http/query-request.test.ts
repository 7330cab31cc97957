import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseFormat, parseExactJson, parseQueryRequest } from './query-request.ts';

const parse = (json: unknown, accept?: string, query = {}) =>
  parseQueryRequest({ body: { json }, query, accept });

test('a statement may come as plain text with its range in the URL', () => {
  const request = parseQueryRequest({
    body: { text: 'SELECT 1' },
    query: { begin: '1970-01-01T00:00:00.000000001Z' },
    accept: undefined,
  });
  assert.deepEqual(request, {
    sql: 'SELECT 1',
    params: [],
    range: { beginNs: 1n, endNs: undefined },
    format: 'json',
    wantsReceipt: false,
  });
});

test('whole numbers among the parameters are exact', () => {
  const json = parseExactJson('{"sql": "SELECT $1", "params": [9007199254740993, 1.5, "a", null]}');
  assert.deepEqual(parse(json).params, [9007199254740993n, 1.5, 'a', null]);
});

test('what is misspelt or malformed is refused by its name', () => {
  const cases: [unknown, RegExp][] = [
    [{ sql: '' }, /^sql must/],
    [{}, /^sql must/],
    [[], /^body must/],
    [{ sql: 'x', parms: [] }, /^parms is not a member/],
    [{ sql: 'x', params: {} }, /^params must/],
    [{ sql: 'x', params: [[1]] }, /^params\[0\] must/],
    [{ sql: 'x', begin: 'yesterday' }, /^begin must/],
    [{ sql: 'x', begin: '2026-01-02T00:00:00Z', end: '2026-01-01T00:00:00Z' }, /^end must not/],
    [{ sql: 'x', receipt: 'yes' }, /^receipt must/],
  ];
  for (const [json, message] of cases) {
    assert.throws(() => parse(json), { code: 'query.bad-request', message }, JSON.stringify(json));
  }
  assert.throws(() => parse({ sql: 'x', receipt: true }, 'text/csv'), /receipt stands/);
  assert.throws(() => parse({ sql: 'x' }, undefined, { from: '1' }), /from is not a parameter/);
});

test('the most welcome format is chosen', () => {
  assert.equal(chooseFormat(undefined), 'json');
  assert.equal(chooseFormat('*/*'), 'json');
  assert.equal(chooseFormat('text/*'), 'csv');
  assert.equal(chooseFormat('application/json;q=0.5, application/x-ndjson'), 'ndjson');
  assert.equal(chooseFormat('application/vnd.apache.arrow.stream, */*;q=0.1'), 'arrow');
  assert.equal(chooseFormat('application/json;q=0, */*'), 'ndjson');
  assert.throws(() => chooseFormat('image/png'), { code: 'query.not-acceptable' });
});
