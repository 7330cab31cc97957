import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '@tracelake/service-kit';
import { LaneLeaseRepository, sql } from '@tracelake/storage';
import { eventually } from '../../test/service-lab.ts';
import { openTestLake, type TestLake } from '../../test/test-lake.ts';
import { LaneOwner } from './lane-owner.ts';

let lake: TestLake;
before(async () => {
  lake = await openTestLake();
});
after(() => lake[Symbol.asyncDispose]());

const logger = createLogger({ service: 'test', level: 'silent' });

interface Replica extends AsyncDisposable {
  readonly owner: LaneOwner;
  readonly running: Set<number>;
  /** As if Postgres were out of reach for this replica alone. */
  isCutOff: boolean;
  onLost?: () => void;
}

/** All replicas of a test share `running`, to see that no lane ever runs twice. */
function startReplica(name: string, everywhere: Map<number, string>, leaseMs: number): Replica {
  const real = new LaneLeaseRepository(lake.database);
  const running = new Set<number>();
  const replica = { running, isCutOff: false } as Replica;
  const reach = async <T>(work: () => Promise<T>): Promise<T> => {
    if (replica.isCutOff) throw new Error('cut off');
    return await work();
  };
  const owner = new LaneOwner({
    repository: {
      acquire: (request, signal) => reach(() => real.acquire(request, signal)),
      renew: (request, signal) => reach(() => real.renew(request, signal)),
      release: (request, signal) => reach(() => real.release(request, signal)),
      list: (signal) => reach(() => real.list(signal)),
      announceReplica: (request, signal) => reach(() => real.announceReplica(request, signal)),
      listReplicas: (signal) => reach(() => real.listReplicas(signal)),
      removeReplica: (name, signal) => reach(() => real.removeReplica(name, signal)),
    },
    laneCount: 4,
    owner: name,
    leaseMs,
    startLane: ({ lane, lost }) => {
      assert.equal(everywhere.get(lane), undefined, `lane ${lane} runs once`);
      everywhere.set(lane, name);
      running.add(lane);
      const stop = () => {
        if (running.delete(lane)) everywhere.delete(lane);
      };
      lost.addEventListener('abort', stop, { once: true });
      lost.addEventListener('abort', () => replica.onLost?.(), { once: true });
      return {
        [Symbol.asyncDispose]: async () => stop(),
      };
    },
    logger,
  });
  return Object.assign(replica, {
    owner,
    [Symbol.asyncDispose]: () => owner[Symbol.asyncDispose](),
  });
}

test('lanes are shared, never held twice, and those of a replica that is cut off are taken over', async () => {
  const everywhere = new Map<number, string>();
  await using first = startReplica('first', everywhere, 400);
  await eventually('first has all', async () => first.running.size === 4);
  await using second = startReplica('second', everywhere, 400);
  await eventually('shared', async () => first.running.size === 2 && second.running.size === 2);
  first.isCutOff = true;
  await eventually('second has all', async () => second.running.size === 4);
  assert.equal(first.running.size, 0, 'given up before the lease could expire');
  first.isCutOff = false;
  await eventually('shared again', async () => first.running.size === 2);
  assert.equal(second.running.size, 2);
});

test('a replica that leaves gives its lanes back at once', async () => {
  const everywhere = new Map<number, string>();
  await using stays = startReplica('stays', everywhere, 1000);
  {
    await using _leaves = startReplica('leaves', everywhere, 1000);
    await eventually('shared', async () => stays.running.size === 2 && everywhere.size === 4);
  }
  await eventually('stays has all', async () => stays.running.size === 4, 3000);
});

test('after a pause lanes that nobody took stay, with the fencing number they had', async () => {
  const everywhere = new Map<number, string>();
  const leaseMs = 300;
  await using paused = startReplica('paused', everywhere, leaseMs);
  await eventually('all lanes', async () => paused.running.size === 4);
  const numbers = async () =>
    (await new LaneLeaseRepository(lake.database).list())
      .filter((lease) => lease.owner === 'paused')
      .map((lease) => lease.fencingNumber);
  const before = await numbers();
  let isGivenUp = false;
  paused.onLost = () => {
    isGivenUp = true;
  };
  // Nothing of this process runs, its timers and its answers from Postgres included.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * leaseMs);
  await sleep(3 * leaseMs);
  assert.equal(isGivenUp, false);
  assert.equal(paused.running.size, 4);
  assert.deepEqual(await numbers(), before);
});

test('after a pause lanes that another took are dropped', async () => {
  const everywhere = new Map<number, string>();
  const leaseMs = 300;
  await using paused = startReplica('paused', everywhere, leaseMs);
  await eventually('all lanes', async () => paused.running.size === 4);
  // As if another replica had come to the lane while this one was paused.
  await lake.database.query(
    sql`UPDATE lane_leases SET owner = 'other', fencing_number = fencing_number + 1,
        expires_at = clock_timestamp() + interval '1 minute' WHERE lane = 2`,
  );
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * leaseMs);
  await eventually('lane 2 is dropped', async () => !paused.running.has(2));
  // The other counts as a replica, so half the lanes are its share.
  assert.ok(paused.running.has(0) && paused.running.has(1));
  await lake.database.query(sql`UPDATE lane_leases SET expires_at = '-infinity' WHERE lane = 2`);
});

test('replicas of the version before count, by the leases with which they say that they are alive', async () => {
  const everywhere = new Map<number, string>();
  const leases = new LaneLeaseRepository(lake.database);
  await leases.acquire({ lane: 1_000_000, owner: 'before', ttlMs: 60_000 });
  await using replica = startReplica('after', everywhere, 400);
  await eventually('its half', async () => replica.running.size === 2);
  await sleep(400);
  assert.equal(replica.running.size, 2);
  await leases.release({ lane: 1_000_000, owner: 'before', fencingNumber: 1n });
  await eventually('the rest as well', async () => replica.running.size === 4);
});
