/** What every object store must do; run over each kind of store. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ObjectEntry, ObjectStore } from '../src/object-store/object-store.ts';
import { StorageError } from '../src/storage-error.ts';

export interface OpenedStore extends AsyncDisposable {
  readonly store: ObjectStore;
}

/** Opens an empty store of the kind, or skips the test saying why. */
export type OpenStore = (context: TestContext) => Promise<OpenedStore | undefined>;

const bytesOf = (text: string) => new TextEncoder().encode(text);
const hasCode = (code: string) => (error: unknown) =>
  error instanceof StorageError && error.code === code;

export function testObjectStoreContract(kind: string, open: OpenStore): void {
  const contractTest = (name: string, run: (store: ObjectStore) => Promise<void>) =>
    test(`${kind}: ${name}`, async (context) => {
      await using opened = await open(context);
      if (opened !== undefined) await run(opened.store);
    });
  contractTest('an object is created once and keeps its bytes', checkCreateOnce);
  contractTest('of many concurrent puts of a key one creates it, and its bytes stay', checkRace);
  contractTest('a range of an object is read, up to its end and not beyond', checkRange);
  contractTest('a file is put and an object is got to a file, whole', checkFiles);
  contractTest(
    'a missing object is missing by its code, and deleting it is harmless',
    checkMissing,
  );
  contractTest('objects are listed by prefix with size and time', checkList);
  contractTest('a key that is a path trick is refused before anything happens', checkKeys);
  contractTest('a signal that fires ends a call with its reason', checkSignal);
  contractTest('the store proves that create-only puts hold and leaves no trace of it', checkProof);
}

async function checkCreateOnce(store: ObjectStore): Promise<void> {
  const big = new Uint8Array(3_000_000).map((_, index) => (index * 31) >> 3);
  assert.equal(await store.putIfAbsent('blobs/a/b/c', big), 'created');
  assert.equal(await store.putIfAbsent('blobs/a/b/c', bytesOf('other')), 'already-exists');
  assert.deepEqual(new Uint8Array(await store.get('blobs/a/b/c')), big);
  assert.equal(await store.putIfAbsent('blobs/empty', new Uint8Array(0)), 'created');
  assert.equal((await store.get('blobs/empty')).length, 0);
  const pieces = [big.subarray(0, 7), big.subarray(7, 7), big.subarray(7)];
  assert.equal(await store.putIfAbsent('blobs/pieces', { pieces }), 'created');
  assert.deepEqual(new Uint8Array(await store.get('blobs/pieces')), big);
  await store.delete('blobs/a/b/c');
  assert.equal(await store.putIfAbsent('blobs/a/b/c', bytesOf('new')), 'created');
}

async function checkRace(store: ObjectStore): Promise<void> {
  for (let round = 0; round < 10; round++) {
    const key = `blobs/race/${round}`;
    const bodies = Array.from({ length: 8 }, (_, writer) => new Uint8Array(50_000).fill(writer));
    const outcomes = await Promise.all(bodies.map((body) => store.putIfAbsent(key, body)));
    assert.equal(outcomes.filter((outcome) => outcome === 'created').length, 1);
    const winner = bodies[outcomes.indexOf('created')];
    assert.deepEqual(new Uint8Array(await store.get(key)), winner);
  }
}

async function checkRange(store: ObjectStore): Promise<void> {
  await store.putIfAbsent('blobs/r', bytesOf('0123456789'));
  const read = async (offset: number, length: number) =>
    new TextDecoder().decode(await store.getRange('blobs/r', { offset, length }));
  assert.equal(await read(0, 10), '0123456789');
  assert.equal(await read(3, 4), '3456');
  assert.equal(await read(8, 100), '89');
  assert.equal(await read(10, 5), '');
  assert.equal(await read(50, 5), '');
  assert.equal(await read(5, 0), '');
}

async function checkFiles(store: ObjectStore): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-contract-'));
  try {
    const source = join(directory, 'source');
    await writeFile(source, 'x'.repeat(200_000));
    assert.equal(await store.putIfAbsent('views/v/f.parquet', { path: source }), 'created');
    assert.equal(await store.putIfAbsent('views/v/f.parquet', { path: source }), 'already-exists');
    await rm(source);
    await store.getToFile('views/v/f.parquet', join(directory, 'copy'));
    assert.equal(await readFile(join(directory, 'copy'), 'utf8'), 'x'.repeat(200_000));
    await assert.rejects(
      store.getToFile('views/v/none.parquet', join(directory, 'none')),
      hasCode('storage.object-missing'),
    );
    assert.deepEqual(await readdir(directory), ['copy']);
    const local = store.localPath('views/v/f.parquet');
    if (local !== undefined) assert.equal((await readFile(local)).length, 200_000);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function checkMissing(store: ObjectStore): Promise<void> {
  await assert.rejects(store.get('blobs/none'), hasCode('storage.object-missing'));
  await assert.rejects(
    store.getRange('blobs/none', { offset: 0, length: 1 }),
    hasCode('storage.object-missing'),
  );
  await store.delete('blobs/none');
}

async function checkList(store: ObjectStore): Promise<void> {
  assert.deepEqual(await Array.fromAsync(store.list('views/')), []);
  const keys = ['views/a/1', 'views/a/2', 'views/ab/3', 'blobs/a/1'];
  for (const key of keys) await store.putIfAbsent(key, bytesOf(key));
  const listed = async (prefix: string) =>
    (await Array.fromAsync(store.list(prefix))).map((entry: ObjectEntry) => entry.key).toSorted();
  assert.deepEqual(await listed('views/'), keys.slice(0, 3));
  assert.deepEqual(await listed('views/a'), keys.slice(0, 3));
  assert.deepEqual(await listed('views/a/'), keys.slice(0, 2));
  assert.deepEqual(await listed(''), keys.toSorted());
  assert.deepEqual(await listed('none/'), []);
  const [entry] = await Array.fromAsync(store.list('blobs/'));
  assert.equal(entry?.sizeBytes, 9);
  assert.ok(Math.abs((entry?.modifiedMs ?? 0) - Date.now()) < 60_000);
}

async function checkKeys(store: ObjectStore): Promise<void> {
  const tricks = [
    '',
    '/etc/passwd',
    'blobs/../../x',
    'blobs/..',
    './x',
    'blobs//x',
    'blobs/x/',
    'blobs/.tmp-1',
    'blobs/a\0b',
    'blobs\\..\\x',
    'blobs/a b',
    'blobs/%2e%2e/x',
    'blobs/-rf',
    'blobs/é',
    `blobs/${'x'.repeat(300)}`,
    `${'x/'.repeat(600)}x`,
  ];
  for (const key of tricks) {
    const isRefused = hasCode('storage.bad-object-key');
    await assert.rejects(store.putIfAbsent(key, bytesOf('x')), isRefused, key);
    await assert.rejects(store.get(key), isRefused, key);
    await assert.rejects(store.delete(key), isRefused, key);
    assert.throws(() => store.localPath(key), isRefused, key);
  }
  assert.deepEqual(await Array.fromAsync(store.list('')), []);
}

async function checkSignal(store: ObjectStore): Promise<void> {
  const reason = new Error('enough');
  const signal = AbortSignal.abort(reason);
  await assert.rejects(store.putIfAbsent('blobs/s', bytesOf('x'), signal), reason);
  await assert.rejects(store.get('blobs/s', signal), reason);
  await assert.rejects(Array.fromAsync(store.list('blobs/', signal)), reason);
  await assert.rejects(store.get('blobs/s'), hasCode('storage.object-missing'));
}

async function checkProof(store: ObjectStore): Promise<void> {
  await store.checkReady();
  await store.checkReady();
  assert.deepEqual(await Array.fromAsync(store.list('')), []);
}
