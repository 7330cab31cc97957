import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideLaneShares, type LaneLeaseView } from './lane-shares.ts';

function settle(laneCount: number, replicas: string[], start: LaneLeaseView[]): LaneLeaseView[] {
  let leases = start.filter((lease) => replicas.includes(lease.owner));
  for (let round = 0; round < 4; round++) {
    for (const self of replicas) {
      const { acquire, release } = decideLaneShares({ laneCount, leases, replicas, self });
      leases = leases.filter((lease) => lease.owner !== self || !release.includes(lease.lane));
      for (const lane of acquire) {
        assert.ok(!leases.some((lease) => lease.lane === lane), 'only free lanes are taken');
        leases.push({ lane, owner: self });
      }
    }
  }
  return leases;
}

test('replicas settle on shares that differ by one at most and leave no lane out', () => {
  for (const laneCount of [1, 3, 8, 13]) {
    let leases: LaneLeaseView[] = [];
    const histories = [['a'], ['a', 'b'], ['c', 'b', 'a'], ['b', 'c'], ['c'], ['x', 'y', 'z', 'c']];
    for (const replicas of histories) {
      leases = settle(laneCount, replicas, leases);
      assert.equal(leases.length, laneCount);
      const counts = replicas.map((name) => leases.filter((one) => one.owner === name).length);
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${laneCount} lanes: ${counts}`);
    }
  }
});

test('nothing moves once every replica has its share', () => {
  const leases = [0, 1, 2, 3, 4].map((lane) => ({ lane, owner: lane < 3 ? 'a' : 'b' }));
  for (const self of ['a', 'b']) {
    assert.deepEqual(decideLaneShares({ laneCount: 5, leases, replicas: ['a', 'b'], self }), {
      acquire: [],
      release: [],
    });
  }
});
