import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RecordingBuilder } from '@tracelake/test-kit';
import { type BuildLab, openBuildLab } from '../test/build-lab.ts';
import { openTestLake, type TestLake } from '../test/test-lake.ts';
import { readViewRows } from '../test/view-rows.ts';
import { sweepObjects } from './object-sweeper.ts';

const signal = AbortSignal.timeout(60_000);
let lake: TestLake;
let lab: BuildLab;
before(async () => {
  lake = await openTestLake();
  lab = await openBuildLab(lake);
});
after(async () => {
  await lab[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
});

const sweep = (orphanAgeMs: number) =>
  sweepObjects({ ...lab.dependencies, ...lake, orphanAgeMs }, signal);

const HOUR_MS = 3_600_000;

async function partitionKeys(): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of lake.objectStore.list('views/')) keys.push(key);
  return keys;
}

test('a replaced file stays while a reader holds a lease older than that, and goes afterwards', async () => {
  const recording = new RecordingBuilder({ seed: 1 });
  const thread = recording.addThread({ name: 'main', id: '1' });
  for (let block = 0; block < 3; block++) {
    thread.begin({ name: `span ${block}` }, block * 1000);
    thread.flushBlock({ endTicks: block * 1000 + 900 });
  }
  const target = { viewSet: 'thread_spans', instance: thread.stream.streamId };
  const [process, stream, first, ...rest] = recording.requests();
  for (const request of [process, stream, first]) if (request) await lake.ingest(request);
  await lab.builder.build(target, signal);
  const held = await partitionKeys();
  const lease = await lake.catalog.openReadLease({ owner: 'test' });
  for (const request of rest) await lake.ingest(request);
  await lab.builder.build(target, signal);
  assert.deepEqual(await sweep(HOUR_MS), { retired: 0, orphans: 0 });
  assert.ok(held.every((key) => lake.objectStore.localPath(key)));
  for (const key of held) assert.ok((await lake.objectStore.get(key)).length > 0);
  await lease.close();
  const { retired } = await sweep(HOUR_MS);
  assert.ok(retired >= 1, 'the replaced tail is gone');
  const rows = await readViewRows(lake, { ...target, columns: ['name'] });
  assert.equal(rows.length, 4);
  assert.equal(
    await lab.metric('tracelake_materializer_objects_swept_total{kind="retired"}'),
    retired,
  );
});

test('a file that no partition names goes when it is old, a young one may be about to be named', async () => {
  const key = 'views/log_entries/x/2026-01-01/left-behind.parquet';
  const before = await partitionKeys();
  await lake.objectStore.putIfAbsent(key, Uint8Array.of(1));
  assert.deepEqual(await sweep(HOUR_MS), { retired: 0, orphans: 0 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(await sweep(5), { retired: 0, orphans: 1 });
  assert.deepEqual((await partitionKeys()).sort(), before.sort());
});
