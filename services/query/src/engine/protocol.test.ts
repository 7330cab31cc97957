import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeParentMessage, encodeParentMessage, parseChildMessage } from './protocol.ts';

test('64-bit integers survive the way to the child', () => {
  const request = {
    tables: [],
    format: 'json',
    params: [9007199254740993n, -(2n ** 63n), 'text', null, 0.5, true],
    range: { beginNs: 1763690000000000001n, endNs: undefined },
    limits: { timeMs: 1, rowsMax: 2, bytesMax: 3 },
  } as const;
  const decoded = decodeParentMessage(encodeParentMessage({ kind: 'run', request }));
  assert.equal(decoded.kind, 'run');
  assert.deepEqual(decoded.request.params, request.params);
  assert.equal(decoded.request.range.beginNs, 1763690000000000001n);
});

test('what a child says is taken apart and put together again', () => {
  const source = { table: 's1', kind: 'function', name: 'spans', args: ['x'] };
  assert.deepEqual(
    parseChildMessage({ kind: 'sources', explain: false, sources: [{ ...source, more: 1 }] }),
    { kind: 'sources', explain: false, sources: [source] },
  );
  const unknown = parseChildMessage({ kind: 'error', code: 'made.up', message: 'x'.repeat(9999) });
  assert.ok(unknown.kind === 'error');
  assert.equal(unknown.code, 'query.engine-failed');
  assert.equal(unknown.message.length, 4000);
});

test('a message that is not of the protocol is an error', () => {
  const messages = [
    null,
    'ready',
    {},
    { kind: 'done', rows: -1, bytes: 0 },
    { kind: 'done', rows: '1', bytes: 0 },
    { kind: 'sources', explain: 'no', sources: [] },
    { kind: 'sources', explain: false, sources: [{ kind: 'view', table: 's1', viewSet: 1 }] },
    { kind: 'sources', explain: false, sources: [{ kind: 'other', table: 's1' }] },
    { kind: 'sources', explain: false, sources: [null] },
  ];
  for (const message of messages) {
    assert.throws(() => parseChildMessage(message), { code: 'query.engine-failed' });
  }
});
