import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Secret } from '@tracelake/domain';
import { startTestS3, type TestS3 } from '@tracelake/test-kit';
import { testObjectStoreContract } from '../../test/object-store-contract.ts';
import { StorageError } from '../storage-error.ts';
import { openObjectStore } from './open-object-store.ts';

let server: Awaited<ReturnType<typeof startTestS3>> | undefined;
let storeCount = 0;

before(async () => {
  server = await startTestS3();
});

after(async () => {
  if (server !== undefined && !('unavailable' in server)) await server[Symbol.asyncDispose]();
});

function openOn({ url, endpoint, accessKeyId, secretAccessKey }: Omit<TestS3, symbol>) {
  const credentials = { accessKeyId, secretAccessKey: new Secret(secretAccessKey) };
  return openObjectStore(url, { endpoint, credentials, region: 'us-east-1' });
}

testObjectStoreContract('S3', async (context) => {
  if (server === undefined || 'unavailable' in server) {
    context.skip(server?.unavailable ?? 'no S3 server');
    return undefined;
  }
  storeCount++;
  const store = await openOn({ ...server, url: `${server.url}/${storeCount}` });
  return { store, [Symbol.asyncDispose]: async () => {} };
});

/** A server that answers every request the same way. */
async function answering(
  status: number,
  body = '',
): Promise<AsyncDisposable & { endpoint: string }> {
  const http = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(status).end(body));
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const address = http.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

const location = { url: 's3://b/p', accessKeyId: 'k', secretAccessKey: 's' };
const hasCode = (code: string, retryable: boolean) => (error: unknown) =>
  error instanceof StorageError && error.code === code && error.retryable === retryable;

test('a store that takes a second put of a key is refused by name', async () => {
  await using http = await answering(200);
  const store = await openOn({ ...location, endpoint: http.endpoint });
  await assert.rejects(store.checkReady(), hasCode('storage.create-only-not-honoured', false));
});

test('an outage may pass, a refusal does not, and both keep their cause', async () => {
  await using broken = await answering(503);
  const unavailable = await openOn({ ...location, endpoint: broken.endpoint });
  await assert.rejects(
    unavailable.get('blobs/a'),
    hasCode('storage.object-store-unavailable', true),
  );
  await using refusing = await answering(403, '<Error><Code>AccessDenied</Code></Error>');
  const refused = await openOn({ ...location, endpoint: refusing.endpoint });
  await assert.rejects(
    refused.putIfAbsent('blobs/a', new Uint8Array(1)),
    hasCode('storage.object-store-refused', false),
  );
  const absent = await openOn({ ...location, endpoint: 'http://127.0.0.1:1' });
  await assert.rejects(absent.checkReady(), (error) => {
    assert.ok(hasCode('storage.object-store-unavailable', true)(error));
    return error instanceof Error && error.cause instanceof Error;
  });
});
