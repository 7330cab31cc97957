import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChannelClosedError } from '@tracelake/channels';
import { StorageError } from '@tracelake/storage';
import { problemOfExportError } from './error-response.ts';

test('an object that is gone from under an export is worth another try, directly or through the channel', () => {
  for (const code of ['storage.object-missing', 'storage.lease-lost'] as const) {
    const error = new StorageError(code, 'gone');
    assert.equal(problemOfExportError(error)?.status, 503);
    const closed = new ChannelClosedError('chunks', undefined, error);
    assert.equal(problemOfExportError(closed)?.type, problemOfExportError(error)?.type);
  }
  assert.equal(problemOfExportError(new TypeError('a bug')), undefined);
});
