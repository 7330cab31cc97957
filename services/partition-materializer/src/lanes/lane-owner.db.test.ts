import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLogger } from '@tracelake/service-kit';
import { LaneLeaseRepository } from '@tracelake/storage';
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
}

/** All replicas of a test share `running`, to see that no lane ever runs twice. */
function startReplica(name: string, everywhere: Map<number, string>, leaseMs: number): Replica {
  const real = new LaneLeaseRepository(lake.database);
  const running = new Set<number>();
  const replica = { running, isCutOff: false } as { isCutOff: boolean } & Replica;
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
