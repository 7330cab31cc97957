import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LaneLeaseRepository } from '@tracelake/storage';
import { RecordingBuilder } from '@tracelake/test-kit';
import { openBuildLab } from '../../test/build-lab.ts';
import { openTestLake, type TestLake } from '../../test/test-lake.ts';
import { MaterializerError } from '../materializer-error.ts';

let lake: TestLake;
before(async () => {
  lake = await openTestLake();
});
after(() => lake[Symbol.asyncDispose]());

test('what a former owner of a lane has built is refused, and leaves nothing behind', async () => {
  const recording = new RecordingBuilder({ seed: process.pid });
  recording.log({ ticks: 1000, message: 'a line' });
  for (const request of recording.requests()) await lake.ingest(request);
  const leases = new LaneLeaseRepository(lake.database);
  const lane = 1;
  const fencingNumber = (await leases.acquire({ lane, owner: 'former', ttlMs: 60_000 })) ?? 0n;
  await using former = await openBuildLab(lake, { overrides: { fence: { lane, fencingNumber } } });
  await leases.release({ lane, owner: 'former', fencingNumber });
  const next = (await leases.acquire({ lane, owner: 'owner', ttlMs: 60_000 })) ?? 0n;
  const target = { viewSet: 'log_entries', instance: recording.processId };
  const { signal } = new AbortController();
  await assert.rejects(
    former.builder.build(target, signal),
    (error) =>
      error instanceof MaterializerError &&
      error.code === 'materializer.lane-lost' &&
      error.retryable,
  );
  const objects = await Array.fromAsync(lake.objectStore.list('views/'));
  assert.deepEqual(objects, []);
  assert.deepEqual(await lake.catalog.listPartitions('log_entries', recording.processId), []);
  const fence = { lane, fencingNumber: next };
  await using owner = await openBuildLab(lake, { overrides: { fence } });
  const { decision, rows } = await owner.builder.build(target, signal);
  assert.deepEqual([decision, rows], ['written', 1]);
});
