/**
 * Scenario: a build that an operator asked for over HTTP, which is work of no lane, and a build of the lane's owner go
 * on at once, as when a claim has run out. Whoever commits second had planned before the first was done.
 * Guarantees: the catalog takes one of them; the other finds the instance current. No block is covered twice, no
 * file is left that no partition names, rows are what one build gives.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ensureExists } from '@tracelake/domain';
import { LaneLeaseRepository, sql } from '@tracelake/storage';
import { loadFixture } from '@tracelake/test-kit';
import { openBuildLab } from '../../test/build-lab.ts';
import { openTestLake, type TestLake } from '../../test/test-lake.ts';
import type { BuildDependencies } from '../build/build-dependencies.ts';

const signal = AbortSignal.timeout(120_000);
const LANE = 1;
const fixture = loadFixture('small');
const TARGETS = [
  { viewSet: 'log_entries', instance: fixture.processId },
  {
    viewSet: 'thread_spans',
    instance: ensureExists(fixture.expectedThreadSpanStreams()[0], 'stream'),
  },
];

let lake: TestLake;
let fence: NonNullable<BuildDependencies['fence']>;

before(async () => {
  lake = await openTestLake();
  for (const request of fixture.requests) await lake.ingest(request);
  const leases = new LaneLeaseRepository(lake.database);
  const request = { lane: LANE, owner: 'owner', ttlMs: 600_000 };
  fence = { lane: LANE, fencingNumber: ensureExists(await leases.acquire(request), 'lease') };
});
after(() => lake[Symbol.asyncDispose]());

/** A lab whose build stops once it has planned, until it is let go. */
async function openPausedLab(own: Partial<BuildDependencies>) {
  const planned = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const giveWay = async () => {
    planned.resolve();
    await go.promise;
  };
  await using defaults = await openBuildLab(lake);
  // Never renewed while the test goes on, so it does not notice that its claim is gone.
  const settings = { ...defaults.dependencies.settings, claimMs: 600_000 };
  const lab = await openBuildLab(lake, { overrides: { ...own, settings, giveWay } });
  return { lab, planned: planned.promise, go: () => go.resolve() };
}

async function shapeOf({ viewSet, instance }: (typeof TARGETS)[number]) {
  const covered = await lake.database.query<{ count: unknown }>(
    sql`SELECT count(*) AS count FROM partition_blocks
      WHERE view_set = ${viewSet} AND instance = ${instance}`,
  );
  const partitions = await lake.catalog.listPartitions(viewSet, instance);
  const objects = await Array.fromAsync(lake.objectStore.list(`views/${viewSet}/`));
  return {
    blocks: Number(covered[0]?.count),
    rows: partitions.reduce((sum, { rowCount }) => sum + rowCount, 0),
    hashes: partitions.map(({ sourceHash }) => sourceHash).sort(),
    unnamed: objects.length - partitions.filter(({ objectKey }) => objectKey !== null).length,
  };
}

for (const second of ['of no lane', 'of the lane'] as const) {
  for (const target of TARGETS) {
    test(`${target.viewSet}: a build ${second} that comes second changes nothing`, async () => {
      await lake.database.query(sql`DELETE FROM partitions`);
      const late = await openPausedLab(second === 'of no lane' ? {} : { fence });
      await using lateLab = late.lab;
      const building = lateLab.builder.build(target, signal);
      await late.planned;
      // The claim is gone, as after a pause that was longer than it.
      await lake.database.query(sql`DELETE FROM claims`);
      const own = second === 'of no lane' ? { fence } : {};
      await using firstLab = await openBuildLab(lake, { overrides: own });
      assert.equal((await firstLab.builder.build(target, signal)).decision, 'written');
      const before = await shapeOf(target);
      late.go();
      const report = await building;
      assert.equal(report.decision, 'current');
      assert.equal(report.built, 0);
      assert.equal(await lateLab.metric('tracelake_materializer_commit_conflicts_total'), 1);
      assert.deepEqual(await shapeOf(target), before);
      assert.ok(before.rows > 0 && before.blocks > 0);
    });
  }
}
