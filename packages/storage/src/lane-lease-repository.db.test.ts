import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { commitPartitions } from './catalog-commit.ts';
import { LaneLeaseRepository } from './lane-lease-repository.ts';
import type { Database, Queryable } from './postgres/database.ts';
import { type SqlStatement, sql } from './postgres/sql.ts';

test('a lane has one owner at a time, and each change of hands raises its fencing number', async () => {
  await using fixture = await openTestDatabase();
  const leases = new LaneLeaseRepository(fixture.db);
  const tries = await Promise.all(
    ['a', 'b', 'c'].map((owner) => leases.acquire({ lane: 3, owner, ttlMs: 60_000 })),
  );
  assert.deepEqual(
    tries.filter((fencing) => fencing !== undefined),
    [1n],
  );
  const owner = ['a', 'b', 'c'][tries.indexOf(1n)] ?? '';
  const held = { lane: 3, owner, fencingNumber: 1n };
  const renew = async (by: string, fencingNumber: bigint) => {
    const request = { owner: by, ttlMs: 60_000, held: [{ lane: 3, fencingNumber }] };
    return (await leases.renew(request)).has(3);
  };
  assert.equal(await renew(owner, 1n), true);
  assert.equal(await renew('x', 1n), false);
  await leases.release(held);
  assert.equal(await renew(owner, 1n), false, 'what was given back is not taken up again');
  const fencingNumber = await leases.acquire({ lane: 3, owner: 'next', ttlMs: 60_000 });
  assert.equal(fencingNumber, 3n);
  await leases.release(held);
  assert.equal(await renew('next', 3n), true);
});

test('a lease that has expired stays with its owner until another takes it', async () => {
  await using fixture = await openTestDatabase();
  const leases = new LaneLeaseRepository(fixture.db);
  const acquire = (lane: number, owner: string, ttlMs: number) =>
    leases.acquire({ lane, owner, ttlMs });
  assert.equal(await acquire(0, 'a', 1), 1n);
  assert.equal(await acquire(1, 'a', 1), 1n);
  await sleep(10);
  assert.deepEqual(await leases.list(), [
    { lane: 0, owner: 'a', fencingNumber: 1n, isExpired: true },
    { lane: 1, owner: 'a', fencingNumber: 1n, isExpired: true },
  ]);
  const held = [0, 1].map((lane) => ({ lane, fencingNumber: 1n }));
  const renewal = { owner: 'a', ttlMs: 1, held };
  assert.deepEqual(await leases.renew(renewal), new Set([0, 1]));
  await sleep(10);
  assert.equal(await acquire(0, 'b', 60_000), 2n);
  assert.deepEqual(await leases.renew(renewal), new Set([1]));
});

const nothing = {
  viewSet: 'v',
  instance: 'i',
  schemaHash: 's',
  replaces: [],
  insert: [],
};

test('a commit with an old fencing number is refused, whoever is late', async () => {
  await using fixture = await openTestDatabase();
  const leases = new LaneLeaseRepository(fixture.db);
  const request = { lane: 5, owner: 'a', ttlMs: 1 };
  const fence = { lane: 5, fencingNumber: (await leases.acquire(request)) ?? 0n };
  const commit = () => commitPartitions(fixture.db, { ...nothing, fence });
  await sleep(10);
  assert.equal(await commit(), 'committed', 'nobody else has the lane');
  await leases.acquire({ ...request, owner: 'b' });
  assert.equal(await commit(), 'fenced');
  await leases.release({ lane: 5, owner: 'b', fencingNumber: 2n });
  assert.equal(await commit(), 'fenced');
  const unknown = { ...nothing, fence: { lane: 6, fencingNumber: 1n } };
  assert.equal(await commitPartitions(fixture.db, unknown), 'fenced');
});

test('a lane changes hands before a commit or after it, and renewals do not wait for commits', async () => {
  await using fixture = await openTestDatabase();
  const leases = new LaneLeaseRepository(fixture.db);
  await leases.acquire({ lane: 1, owner: 'a', ttlMs: 1 });
  await sleep(10);
  let takenAtMs = 0;
  const committing = await fixture.db.transaction(async (transaction) => {
    await transaction.query(
      sql`SELECT lane FROM lane_leases WHERE lane = 1 AND fencing_number = 1 FOR KEY SHARE`,
    );
    const taking = leases.acquire({ lane: 1, owner: 'b', ttlMs: 60_000 });
    const taken = taking.then((fencingNumber) => {
      takenAtMs = performance.now();
      return fencingNumber;
    });
    await sleep(50);
    assert.equal(takenAtMs, 0, 'waits for the commit');
    return { taken, endMs: performance.now() };
  });
  assert.equal(await committing.taken, 2n);
  assert.ok(takenAtMs >= committing.endMs);
  await fixture.db.transaction(async (transaction) => {
    await transaction.query(
      sql`SELECT lane FROM lane_leases WHERE lane = 1 AND fencing_number = 2 FOR KEY SHARE`,
    );
    const signal = AbortSignal.timeout(5000);
    const held = [{ lane: 1, fencingNumber: 2n }];
    const renewed = await leases.renew({ owner: 'b', ttlMs: 60_000, held }, signal);
    assert.equal(renewed.has(1), true, 'does not wait');
  });
});

test('an owner that stands still in the middle of a commit loses the commit, and the lane to who wants it', async () => {
  await using fixture = await openTestDatabase();
  const leases = new LaneLeaseRepository(fixture.db);
  const fencingNumber = (await leases.acquire({ lane: 2, owner: 'still', ttlMs: 1 })) ?? 0n;
  const woken = Promise.withResolvers<void>();
  const standing = Promise.withResolvers<void>();
  const still = {
    transaction: (work: (db: Queryable) => Promise<void>) =>
      fixture.db.transaction((transaction) =>
        work({
          query: async <Row>(statement: SqlStatement) => {
            const rows = await transaction.query<Row>(statement);
            standing.resolve();
            await woken.promise;
            return rows;
          },
        }),
      ),
  } as Database;
  const committing = commitPartitions(still, { ...nothing, fence: { lane: 2, fencingNumber } });
  await Promise.race([standing.promise, committing]);
  const deadline = AbortSignal.timeout(30_000);
  assert.equal(await leases.acquire({ lane: 2, owner: 'next', ttlMs: 60_000 }, deadline), 2n);
  woken.resolve();
  await assert.rejects(committing, { code: 'storage.database-unavailable' });
});

test('replicas are alive for as long as they say so', async () => {
  await using fixture = await openTestDatabase();
  const leases = new LaneLeaseRepository(fixture.db);
  await leases.announceReplica({ owner: 'short', ttlMs: 1 });
  await leases.announceReplica({ owner: 'b', ttlMs: 60_000 });
  await leases.announceReplica({ owner: 'a', ttlMs: 60_000 });
  await sleep(10);
  assert.deepEqual(await leases.listReplicas(), ['a', 'b']);
  await fixture.db.query(
    sql`UPDATE lane_replicas SET expires_at = clock_timestamp() - interval '2 hours'`,
  );
  await leases.announceReplica({ owner: 'a', ttlMs: 60_000 });
  assert.deepEqual(await fixture.db.query(sql`SELECT owner FROM lane_replicas`), [{ owner: 'a' }]);
  await leases.removeReplica('a');
  assert.deepEqual(await leases.listReplicas(), []);
});
