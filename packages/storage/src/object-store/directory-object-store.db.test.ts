import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type OpenedStore, testObjectStoreContract } from '../../test/object-store-contract.ts';
import { ownedNamePrefix } from '../file-owner.ts';
import { StorageError } from '../storage-error.ts';
import { openObjectStore } from './open-object-store.ts';

async function openDirectory(writerThreads = 0): Promise<OpenedStore & { root: string }> {
  const parent = await mkdtemp(join(tmpdir(), 'tracelake-store-'));
  const root = join(parent, 'made', 'when needed');
  const store = await openObjectStore(pathToFileURL(root).href, { writerThreads });
  return {
    root,
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await rm(parent, { recursive: true });
    },
  };
}

testObjectStoreContract('directory', () => openDirectory());
testObjectStoreContract('directory with writer threads', () => openDirectory(3));

for (const [kind, writerThreads] of [
  ['directory', 0],
  ['directory with writer threads', 3],
] as const) {
  test(`${kind}: a put that fails or loses leaves no file, and a temporary file is never listed`, async () => {
    await using opened = await openDirectory(writerThreads);
    const { store, root } = opened;
    await store.putIfAbsent('blobs/a', new Uint8Array(10));
    await store.putIfAbsent('blobs/a', new Uint8Array(10));
    await assert.rejects(store.putIfAbsent('blobs/b', { path: join(root, 'not there') }));
    assert.deepEqual(await readdir(join(root, 'blobs')), ['a']);
    assert.deepEqual(await readdir(join(root, '.tmp')), []);
    await writeFile(join(root, '.tmp', 'put-of-a-crash'), 'half');
    const keys = (await Array.fromAsync(store.list('blobs/'))).map((entry) => entry.key);
    assert.deepEqual(keys, ['blobs/a']);
  });

  test(`${kind}: a start removes what killed writers left, and nothing of a put under way`, async () => {
    await using opened = await openDirectory(writerThreads);
    const { root } = opened;
    const directory = join(root, '.tmp');
    await mkdir(directory, { recursive: true });
    // Process numbers end at 2^22 on Linux, so this one never was.
    const dead = ownedNamePrefix('put-').replace(`-${process.pid}-`, `-${2 ** 22 + 1}-`);
    const foreign = `put-00000000-${2 ** 22 + 1}-a`;
    const living = ownedNamePrefix('put-').replace(`-${process.pid}-`, `-${process.ppid}-`);
    for (const name of [`${dead}a`, foreign, `${living}a`])
      await writeFile(join(directory, name), 'half');
    const fresh = await openObjectStore(pathToFileURL(root).href);
    const body = new Uint8Array(30_000_000);
    const putting = opened.store.putIfAbsent('blobs/big', body);
    await fresh.checkReady();
    assert.equal(await putting, 'created');
    assert.deepEqual((await readdir(directory)).sort(), [foreign, `${living}a`].sort());
  });

  test(`${kind}: no reader ever sees part of an object`, async () => {
    await using opened = await openDirectory(writerThreads);
    const { store } = opened;
    const body = new Uint8Array(8_000_000).fill(7);
    const writing = store.putIfAbsent('blobs/big', body).then(() => 'written');
    for (let isOver = false; !isOver; ) {
      isOver =
        (await Promise.race([writing, new Promise((resolve) => setImmediate(resolve))])) ===
        'written';
      const seen = await store.get('blobs/big').catch((error: unknown) => {
        assert.ok(error instanceof StorageError && error.code === 'storage.object-missing');
        return undefined;
      });
      if (seen !== undefined) assert.equal(seen.length, body.length);
    }
    await writing;
  });

  test(`${kind}: a directory that does not serve is an outage that may pass`, async () => {
    await using opened = await openDirectory(writerThreads);
    const { store, root } = opened;
    await mkdir(join(root, 'blobs'), { recursive: true });
    // A file where a directory must be fails for root too.
    await writeFile(join(root, 'blobs', 'p'), '');
    await assert.rejects(
      store.putIfAbsent('blobs/p/s/b', new Uint8Array(1)),
      (error) =>
        error instanceof StorageError &&
        error.code === 'storage.object-store-unavailable' &&
        error.retryable,
    );
    await chmod(root, 0o755);
  });
}

test('each object of a burst has its own outcome, and a directory that does not serve fails its own alone', async () => {
  await using opened = await openDirectory(2);
  const { store, root } = opened;
  await mkdir(join(root, 'blobs'), { recursive: true });
  await writeFile(join(root, 'blobs', 'file'), '');
  await store.putIfAbsent('blobs/b/7', new Uint8Array(10));
  const keys = Array.from({ length: 200 }, (_, index) => `blobs/${'ab'[index % 2]}/${index}`);
  const bad = keys.map((key) => key.replace('blobs/', 'blobs/file/'));
  const results = await Promise.allSettled(
    keys.flatMap((key, index) => [
      store.putIfAbsent(key, { pieces: [new Uint8Array(index)] }),
      store.putIfAbsent(bad[index] ?? '', new Uint8Array(index)),
    ]),
  );
  for (const [index, key] of keys.entries()) {
    const [good, failed] = results.slice(2 * index, 2 * index + 2);
    assert.ok(good?.status === 'fulfilled' && failed?.status === 'rejected');
    assert.equal(good.value, index === 7 ? 'already-exists' : 'created');
    assert.equal((failed.reason as StorageError).code, 'storage.object-store-unavailable');
    assert.equal((await store.get(key)).length, index === 7 ? 10 : index);
  }
  assert.deepEqual(await readdir(join(root, '.tmp')), []);
});

test('objects of every size that a writer thread treats in its own way keep their bytes, one beside the other', async () => {
  await using opened = await openDirectory(2);
  const sizes = [
    0, 1, 4095, 4096, 65_535, 65_536, 65_537, 200_001, 4_194_303, 4_194_304, 4_194_305,
  ];
  const bodies = [...sizes, ...sizes.toReversed()].map((size) => randomBytes(size));
  const putting = bodies.map((body, index) => {
    const middle = body.length >> 1;
    const pieces = [body.subarray(0, middle), body.subarray(middle)];
    return opened.store.putIfAbsent(`blobs/s/${index}`, { pieces });
  });
  assert.deepEqual(new Set(await Promise.all(putting)), new Set(['created']));
  for (const [index, body] of bodies.entries()) {
    assert.ok(body.equals(await opened.store.get(`blobs/s/${index}`)), `${body.length} bytes`);
  }
});

test('writers that each put one object after the other never wait for company that does not come', async () => {
  await using opened = await openDirectory(4);
  for (const writers of [1, 2, 3, 5, 9]) {
    const keysOf = (writer: number) =>
      Array.from({ length: 20 }, (_, index) => `blobs/${writers}/${writer}/${index}`);
    const writing = Array.from({ length: writers }, async (_, writer) => {
      for (const key of keysOf(writer)) await opened.store.putIfAbsent(key, Buffer.from(key));
    });
    await Promise.all(writing);
    for (const key of keysOf(writers - 1)) {
      assert.equal(Buffer.from(await opened.store.get(key)).toString(), key);
    }
  }
});

test('a store that is closed finishes what is under way and takes nothing more', async () => {
  await using opened = await openDirectory(1);
  const { root } = opened;
  const store = await openObjectStore(pathToFileURL(root).href, { writerThreads: 1 });
  const putting = store.putIfAbsent('blobs/under-way', new Uint8Array(1_000_000));
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  await store[Symbol.asyncDispose]();
  assert.equal(await putting, 'created');
  await assert.rejects(
    store.putIfAbsent('blobs/late', new Uint8Array(1)),
    (error) => error instanceof StorageError && error.retryable,
  );
});

test('a URL that names no store is refused', async () => {
  for (const url of ['', 'file://', 'file://host/x', 's3://', 'http://x/y', '/tmp/x', 'file:///']) {
    await assert.rejects(
      openObjectStore(url),
      (error) => error instanceof StorageError && error.code === 'storage.bad-object-store-url',
      url,
    );
  }
});
