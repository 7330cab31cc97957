import assert from 'node:assert/strict';
import { mkdtemp, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { makeBlock, makeRun, storeProcess } from '../test/catalog-fixture.ts';
import { openTestDatabase, type TestDatabase } from '../test/storage-fixture.ts';
import { openObjectStore } from './object-store/open-object-store.ts';
import { deleteExpiredLeases, listOrphans, retireSuperseded } from './object-sweeping.ts';
import { PartitionCatalog } from './partition-catalog.ts';
import { sql } from './postgres/sql.ts';
import { StorageError } from './storage-error.ts';

const KEY = { viewSet: 'v', instance: 'i', schemaHash: 'aa' };

/** Commits a partition and then another in its place; resolves with the key of the first one's object. */
async function retireOne(catalog: PartitionCatalog, instance: string): Promise<string> {
  const key = { ...KEY, instance };
  const block = makeBlock();
  const old = makeRun([block]);
  await catalog.commit({ ...key, replaces: [], insert: [old] });
  await catalog.commit({ ...key, replaces: [old.partitionId], insert: [makeRun([block])] });
  return old.objectKey ?? assert.fail();
}

test('a retired object stays while a lease opened before its retirement lives', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const before = await retireOne(catalog, 'before');
  {
    await using lease = await catalog.openReadLease({ owner: 'test' });
    const during = await retireOne(catalog, 'during');
    assert.deepEqual(await catalog.listRetirable({ limit: 10 }), [before]);
    await catalog.forgetRetired([before]);
    await lease.renew();
    assert.deepEqual(await catalog.listRetirable({ limit: 10 }), []);
    await using _later = await catalog.openReadLease({ owner: 'later' });
    await lease.close();
    assert.deepEqual(await catalog.listRetirable({ limit: 10 }), [during]);
  }
  assert.equal(await deleteExpiredLeases(fixture.db), 0);
});

test('an object whose retirement is stamped before a lease and committed after it stays', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const opened = Promise.withResolvers<void>();
  const stamped = Promise.withResolvers<void>();
  const retiring = fixture.db.transaction(async (transaction) => {
    await transaction.query(sql`INSERT INTO retired_objects (object_key) VALUES ('views/x')`);
    stamped.resolve();
    await opened.promise;
  });
  await stamped.promise;
  const lease = await catalog.openReadLease({ owner: 'test' });
  opened.resolve();
  await retiring;
  assert.deepEqual(await catalog.listRetirable({ limit: 10 }), []);
  await lease.close();
  assert.deepEqual(await catalog.listRetirable({ limit: 10 }), ['views/x']);
});

test('a lease renews itself; one that the database forgot tells its reader', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  await using lease = await catalog.openReadLease({ owner: 'test', ttlMs: 600 });
  await delay(1_000);
  assert.equal(lease.lost.aborted, false);
  await retireOne(catalog, 'i');
  assert.deepEqual(await catalog.listRetirable({ limit: 10 }), []);
  await fixture.db.query(sql`UPDATE read_leases SET expires_at = clock_timestamp()`);
  assert.equal((await catalog.listRetirable({ limit: 10 })).length, 1);
  await new Promise((resolve) => lease.lost.addEventListener('abort', resolve));
  assert.ok(lease.lost.reason instanceof StorageError);
  assert.equal(lease.lost.reason.code, 'storage.lease-lost');
  assert.equal(await deleteExpiredLeases(fixture.db), 1);
});

async function openStore(fixture: TestDatabase) {
  await using stack = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), 'tracelake-sweep-'));
  stack.defer(() => rm(root, { recursive: true }));
  const store = await openObjectStore(pathToFileURL(root).href);
  const owned = stack.move();
  return {
    store,
    catalog: new PartitionCatalog(fixture.db),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test('orphans are old partition files that no row names; raw blocks are never among them', async () => {
  await using fixture = await openTestDatabase();
  await using opened = await openStore(fixture);
  const { store, catalog } = opened;
  const retired = await retireOne(catalog, 'i');
  const [live] = await catalog.listPartitions('v', 'i');
  const liveKey = live?.objectKey ?? assert.fail();
  const keys = [retired, liveKey, 'views/v/i/old.parquet', 'views/v/i/new.parquet', 'blobs/p/s/b'];
  for (const key of keys) {
    await store.putIfAbsent(key, new Uint8Array(4));
    if (key !== 'views/v/i/new.parquet') await utimes(store.localPath(key) ?? '', 1, 1);
  }
  const orphans = await Array.fromAsync(listOrphans(fixture.db, store, { olderThanMs: 60_000 }));
  assert.deepEqual(
    orphans.map((entry) => entry.key),
    ['views/v/i/old.parquet'],
  );
});

test('more orphans than one look-up takes are all found', async () => {
  await using fixture = await openTestDatabase();
  await using opened = await openStore(fixture);
  const count = 1_100;
  const keys = Array.from({ length: count }, (_, index) => `views/v/${index % 7}/${index}`);
  for (let start = 0; start < count; start += 50) {
    await Promise.all(
      keys.slice(start, start + 50).map((key) => opened.store.putIfAbsent(key, new Uint8Array(1))),
    );
  }
  const options = { olderThanMs: -60_000 };
  const orphans = await Array.fromAsync(listOrphans(fixture.db, opened.store, options));
  assert.deepEqual(orphans.map((entry) => entry.key).toSorted(), keys.toSorted());
});

test('partitions of another schema go once the present one covers their blocks, and leases keep their objects', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  const catalog = new PartitionCatalog(db);
  const { blocks } = await storeProcess(db, { blockCount: 4 });
  const old = { ...KEY, schemaHash: 'old' };
  const [first, second] = [makeRun(blocks.slice(0, 2)), makeRun(blocks.slice(2))];
  await catalog.commit({ ...old, replaces: [], insert: [first, second] });
  const elsewhere = { ...old, instance: 'without the present schema' };
  await catalog.commit({ ...elsewhere, replaces: [], insert: [makeRun(blocks)] });
  const filter = { viewSet: KEY.viewSet, schemaHash: KEY.schemaHash, olderThanMs: 0, limit: 10 };
  assert.equal(await retireSuperseded(db, filter), 0);
  await catalog.commit({ ...KEY, replaces: [], insert: [makeRun(blocks.slice(0, 3))] });
  assert.equal(await retireSuperseded(db, { ...filter, olderThanMs: 3_600_000 }), 0);
  await using lease = await catalog.openReadLease({ owner: 'test' });
  assert.equal(await retireSuperseded(db, filter), 1);
  assert.equal(await retireSuperseded(db, filter), 0);
  const left = await catalog.listPartitions(KEY.viewSet, KEY.instance);
  assert.deepEqual(left.map(({ schemaHash }) => schemaHash).sort(), ['aa', 'old']);
  assert.deepEqual(await catalog.listRetirable({ limit: 10 }), []);
  await lease.close();
  assert.deepEqual(await catalog.listRetirable({ limit: 10 }), [first.objectKey]);
  assert.equal((await catalog.listPartitions(KEY.viewSet, elsewhere.instance)).length, 1);
});
