/** The cache over a store in memory whose fetches the test finishes itself. */

import assert from 'node:assert/strict';
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ObjectCache } from './object-cache.ts';
import type { ReadableObjects } from './object-files.ts';

class SlowStore implements ReadableObjects {
  readonly fetched: string[] = [];
  gate: Promise<void> = Promise.resolve();

  localPath(key: string): string | undefined {
    return key.startsWith('here/') ? `/lake/${key}` : undefined;
  }

  async getToFile(key: string, path: string, signal?: AbortSignal): Promise<void> {
    this.fetched.push(key);
    await this.gate;
    signal?.throwIfAborted();
    if (key === 'missing') throw new Error('no such object');
    await writeFile(path, key);
  }
}

async function openCache(capacityBytes: number) {
  const stack = new AsyncDisposableStack();
  const tempDir = await mkdtemp(join(tmpdir(), 'object-cache-'));
  stack.defer(() => rm(tempDir, { recursive: true, force: true }));
  const store = new SlowStore();
  const cache = stack.use(await ObjectCache.create({ objects: store, tempDir, capacityBytes }));
  const { signal } = new AbortController();
  const open = (objectKey: string, by = signal) => cache.open({ objectKey, sizeBytes: 10 }, by);
  return {
    store,
    cache,
    open,
    tempDir,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

test('an object asked for ten times at once is fetched once, and later not at all', async () => {
  await using lake = await openCache(100);
  const opened = await Promise.all(Array.from({ length: 10 }, () => lake.open('a')));
  assert.equal(await readFile(opened[9]?.path ?? '', 'utf8'), 'a');
  for (const one of opened) await one[Symbol.asyncDispose]();
  await using again = await lake.open('a');
  assert.equal(again.path, opened[0]?.path);
  assert.deepEqual(lake.store.fetched, ['a']);
});

test('the least recently read object goes when room is needed, one that is read stays', async () => {
  await using lake = await openCache(20);
  await using held = await lake.open('held');
  const unread = await lake.open('unread');
  await unread[Symbol.asyncDispose]();
  await using _third = await lake.open('third');
  await access(held.path);
  assert.equal(lake.cache.stats.heldBytes, 20);
  await assert.rejects(lake.open('fourth'), { code: 'lake-reading.cache-full' });
});

test('a reader that leaves does not end the fetch that another waits for', async () => {
  await using lake = await openCache(100);
  const gate = Promise.withResolvers<void>();
  lake.store.gate = gate.promise;
  const leaver = new AbortController();
  const left = lake.open('a', leaver.signal);
  const stays = lake.open('a');
  leaver.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  gate.resolve();
  await using opened = await stays;
  assert.equal(await readFile(opened.path, 'utf8'), 'a');
});

test('a fetch that nobody waits for is given up and holds no room', async () => {
  await using lake = await openCache(10);
  const gate = Promise.withResolvers<void>();
  lake.store.gate = gate.promise;
  const leaver = new AbortController();
  const left = lake.open('a', leaver.signal);
  leaver.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  gate.resolve();
  await using _next = await lake.open('b');
  assert.equal(lake.cache.stats.heldBytes, 10);
});

test('a failed fetch is told to all who wait and tried again by the next', async () => {
  await using lake = await openCache(100);
  const waiting = await Promise.allSettled([lake.open('missing'), lake.open('missing')]);
  assert.deepEqual(
    waiting.map((one) => one.status),
    ['rejected', 'rejected'],
  );
  await assert.rejects(lake.open('missing'), /no such object/);
  assert.deepEqual(lake.store.fetched, ['missing', 'missing']);
  assert.equal(lake.cache.stats.heldBytes, 0);
});

test('a directory store is read in place, and nothing is left behind', async () => {
  const lake = await openCache(100);
  await using here = await lake.open('here/file');
  assert.equal(here.path, '/lake/here/file');
  await (await lake.open('a'))[Symbol.asyncDispose]();
  await lake.cache[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(lake.tempDir), []);
  await lake[Symbol.asyncDispose]();
});
