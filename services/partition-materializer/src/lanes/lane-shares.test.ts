import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachSeed, type SeededRandom, seededRandom } from '@tracelake/test-kit';
import { decideLaneShares, type LaneLeaseView } from './lane-shares.ts';

/** Replicas that act one at a time, each on what it last saw of the leases. */
class Fleet {
  readonly laneCount: number;
  readonly #random: SeededRandom;
  leases: LaneLeaseView[] = [];
  replicas: string[] = [];
  /** Lanes that went from one replica to another or were taken. */
  moves = 0;
  #seen = new Map<string, readonly LaneLeaseView[]>();

  constructor(laneCount: number, random: SeededRandom) {
    this.laneCount = laneCount;
    this.#random = random;
  }

  leave(name: string): void {
    this.replicas = this.replicas.filter((one) => one !== name);
    this.leases = this.leases.filter((lease) => lease.owner !== name);
    this.#seen.delete(name);
  }

  /** A look and what follows from it may lie apart, and then others have acted between. */
  act(self: string, isLookStale: boolean): void {
    const seen = isLookStale ? (this.#seen.get(self) ?? this.leases) : this.leases;
    this.#seen.set(self, this.leases);
    const { laneCount, replicas } = this;
    const decision = decideLaneShares({ laneCount, leases: seen, replicas, self });
    assert.ok(decision.acquire.length === 0 || decision.release.length === 0);
    for (const lane of decision.release) {
      assert.ok(seen.some((lease) => lease.lane === lane && lease.owner === self));
    }
    this.leases = this.leases.filter(
      (lease) => lease.owner !== self || !decision.release.includes(lease.lane),
    );
    for (const lane of decision.acquire) {
      assert.ok(lane >= 0 && lane < laneCount);
      assert.ok(!seen.some((lease) => lease.lane === lane), 'only what is seen to be free');
      // The database gives a lane to the first that asks.
      if (this.leases.some((lease) => lease.lane === lane)) continue;
      this.leases = [...this.leases, { lane, owner: self }];
      this.moves++;
    }
  }

  /** Everybody acts a few times on what is there, in any order. */
  settle(): void {
    for (let round = 0; round < 4; round++) {
      for (const self of this.#random.shuffle([...this.replicas])) this.act(self, false);
    }
  }

  counts(): number[] {
    return this.replicas.map((name) => this.leases.filter(({ owner }) => owner === name).length);
  }

  checkSettled(): void {
    const lanes = this.leases.map(({ lane }) => lane);
    assert.equal(new Set(lanes).size, this.laneCount, 'every lane has one owner');
    assert.equal(lanes.length, this.laneCount);
    const counts = this.counts();
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `shares ${counts}`);
    for (const self of this.replicas) {
      const { laneCount, leases, replicas } = this;
      const decision = decideLaneShares({ laneCount, leases, replicas, self });
      assert.deepEqual(decision, { acquire: [], release: [] }, 'nothing moves any more');
    }
  }
}

test('whoever comes, goes or acts on a stale look, all lanes are shared out evenly within four rounds', async (t) => {
  await forEachSeed(t, { first: 1, count: 200 }, (seed) => {
    const random = seededRandom(seed);
    const fleet = new Fleet(1 + random.int(24), random);
    let nextName = 0;
    for (let step = 0; step < 30; step++) {
      const comes = fleet.replicas.length === 0 || random.int(2) === 0;
      if (comes) fleet.replicas = [...fleet.replicas, `${random.int(90) + 10}-${nextName++}`];
      else fleet.leave(random.pick(fleet.replicas));
      for (let act = random.int(6); act > 0 && fleet.replicas.length > 0; act--) {
        fleet.act(random.pick(fleet.replicas), random.int(2) === 0);
      }
      if (fleet.replicas.length === 0 || random.int(3) > 0) continue;
      fleet.settle();
      fleet.checkSettled();
    }
  });
});

test('a newcomer is given its share and nothing else moves; of one that leaves only its own lanes do', async (t) => {
  await forEachSeed(t, { first: 1, count: 200 }, (seed) => {
    const random = seededRandom(seed);
    const fleet = new Fleet(1 + random.int(24), random);
    const names = Array.from({ length: 1 + random.int(5) }, (_, index) => `r${index}`);
    for (const name of random.shuffle(names)) {
      fleet.replicas = [...fleet.replicas, name];
      fleet.settle();
    }
    fleet.moves = 0;
    fleet.replicas = [...fleet.replicas, `${random.int(2) === 0 ? 'a' : 'z'}-newcomer`];
    fleet.settle();
    fleet.checkSettled();
    assert.equal(fleet.moves, fleet.counts().at(-1));
    fleet.moves = 0;
    const leaver = random.int(fleet.replicas.length);
    const held = fleet.counts()[leaver];
    fleet.leave(fleet.replicas[leaver] ?? '');
    fleet.settle();
    fleet.checkSettled();
    assert.equal(fleet.moves, held);
  });
});
