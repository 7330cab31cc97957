/**
 * Scenario: many reads and writes of a directory store at once, through a few I/O tokens.
 * Guarantees: no more under way than tokens, every token comes back, waits are told by stage.
 */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { TokenPool } from '@tracelake/channels';
import { openObjectStore } from '@tracelake/storage';
import { BoundedObjectStore } from './bounded-object-store.ts';

test('reads and writes wait for a token, and give it back also when they fail', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-io-tokens-'));
  await using _directory = {
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
  const ioTokens = new TokenPool(2);
  const waits: string[] = [];
  const store = new BoundedObjectStore(
    await openObjectStore(pathToFileURL(directory).href),
    ioTokens,
    { blocked: (stage, waitingFor) => waits.push(`${stage} ${waitingFor}`) },
  );
  const keys = Array.from({ length: 20 }, (_, index) => `blobs/${index}`);
  const writing = keys.map((key, index) => store.putIfAbsent(key, Uint8Array.of(index)));
  assert.equal(ioTokens.inUse, 2);
  assert.equal(ioTokens.waiting, 18);
  assert.deepEqual(new Set(await Promise.all(writing)), new Set(['created']));
  const read = await Promise.all(keys.map((key) => store.get(key)));
  assert.deepEqual(
    read.map((bytes) => bytes[0]),
    [...keys.keys()],
  );
  await assert.rejects(store.get('blobs/none'), { code: 'storage.object-missing' });
  assert.equal(ioTokens.available, 2);
  assert.equal(waits.filter((wait) => wait === 'writer io_token').length, 20);
  assert.equal(waits.filter((wait) => wait === 'reader io_token').length, 21);

  const held = [await ioTokens.acquire(), await ioTokens.acquire()];
  await assert.rejects(store.get('blobs/1', AbortSignal.timeout(20)), { name: 'TimeoutError' });
  for (const token of held) token[Symbol.dispose]();
  assert.equal(ioTokens.available, 2);
});
