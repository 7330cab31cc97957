/**
 * Scenario: readers that open a lease together with their first look, while partitions are replaced.
 * Guarantees: what the look saw stays; both take two trips, and Postgres plans none of it anew.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ASYNC_VIEW, makeRun, storeProcess } from '../test/catalog-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { TripCounter } from '../test/trip-counter.ts';
import type { LakeSnapshotRequest } from './lake-snapshot.ts';
import { PartitionCatalog } from './partition-catalog.ts';
import { openDatabase } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';

const SCHEMA_HASH = 'aa';
const OWNER = { owner: 'test' };

function requestOf(instance: string): LakeSnapshotRequest {
  const wanted = { view: ASYNC_VIEW, schemaHash: SCHEMA_HASH, instance };
  return { instances: [wanted], globals: [], processes: [] };
}

test('no object that a leased look saw may go while the lease lives, however often partitions are replaced', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  const { process, blocks } = await storeProcess(fixture.db, { blockCount: 2 });
  const key = { viewSet: ASYNC_VIEW.name, instance: process.processId, schemaHash: SCHEMA_HASH };
  let last = makeRun(blocks);
  await catalog.commit({ ...key, replaces: [], insert: [last] });
  const stop = new AbortController();
  let replaced = 0;
  const replacing = (async () => {
    while (!stop.signal.aborted) {
      const next = makeRun(blocks);
      await catalog.commit({ ...key, replaces: [last.partitionId], insert: [next] });
      last = next;
      replaced += 1;
    }
  })();
  for (let reader = 0; reader < 150; reader++) {
    const { lease, snapshot } = await catalog.openLeaseWithLook(
      OWNER,
      requestOf(process.processId),
    );
    const seen = snapshot.instances.flatMap((one) => one.partitions);
    const keys = seen.flatMap(({ partition }) => partition.objectKey ?? []);
    assert.equal(keys.length, 1);
    for (let look = 0; look < 3; look++) {
      const retirable = new Set(await catalog.listRetirable({ limit: 100_000 }));
      assert.ok(!keys.some((one) => retirable.has(one)), 'an object that is read may go');
    }
    await lease.close();
  }
  stop.abort();
  await replacing;
  assert.ok(replaced > 20, `${replaced} replaced`);
});

test('a lease with its look takes two trips and a kept plan of each statement', async () => {
  await using fixture = await openTestDatabase();
  const { process } = await storeProcess(fixture.db, { blockCount: 2 });
  await using counter = await TripCounter.open(fixture.url);
  await using db = openDatabase(counter.url, { poolSize: 1 });
  const catalog = new PartitionCatalog(db);
  const read = async () => {
    const { lease } = await catalog.openLeaseWithLook(OWNER, requestOf(process.processId));
    return lease;
  };
  await (await read()).close();
  // The first statement of whoever is next comes behind the end of the transaction.
  await db.checkReady();
  const trips = await counter.count(async () => {
    const lease = await read();
    await lease.close();
  });
  // Lease, begin and instances; partitions and counts; the commit goes with the end of the lease.
  assert.equal(trips, 3);
  const plans = await db.query<{ name: string; generic_plans: bigint; custom_plans: bigint }>(
    sql`SELECT name, generic_plans, custom_plans FROM pg_prepared_statements ORDER BY name`,
  );
  const looked = plans.filter(({ name }) => !name.startsWith('read-lease'));
  assert.deepEqual(
    looked.map((one) => [one.name, one.generic_plans, one.custom_plans]),
    [
      ['covered-partitions', 2n, 0n],
      ['snapshot-context', 2n, 0n],
      ['stream-blocks', 2n, 0n],
    ],
  );
});

test('a look that fails leaves no lease', async () => {
  await using fixture = await openTestDatabase();
  const catalog = new PartitionCatalog(fixture.db);
  await assert.rejects(catalog.openLeaseWithLook(OWNER, requestOf('no id')));
  assert.deepEqual(await fixture.db.query(sql`SELECT * FROM read_leases`), []);
  await fixture.db.checkReady();
});
