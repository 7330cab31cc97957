/** The promise of `trace-promises.test.ts` kept by real Parquet files: written, merged, paired and read by DuckDB. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { xxHash64OfText } from '@tracelake/bus';
import type { RowColumns } from '@tracelake/lakehouse';
import { writeParquet } from '@tracelake/parquet';
import {
  fixtureCases,
  forEachSeed,
  loadRecordedProcess,
  type RecordedProcess,
  recordedProcessOf,
  seededRandom,
} from '@tracelake/test-kit';
import { ArrivingProcess, asyncEvents, threadSpans } from '../test/arriving-process.ts';
import { memoryTraceHash } from '../test/memory-trace.ts';
import { arriveAtRandom, randomChoice, tracePlanOf } from '../test/random-arrival.ts';
import { syntheticRecording } from '../test/synthetic-recording.ts';
import { startTrace } from './trace-generation.ts';
import type { TracePlan } from './trace-plan.ts';

const SYNTHETIC_SEEDS = { first: 400_000, count: 40 };
const FIXTURE_SEEDS = { first: 500_000, count: 2 };

let root = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'tracelake-promises-'));
});
after(async () => {
  await rm(root, { recursive: true, force: true });
});

interface PlannedTrace {
  readonly plan: TracePlan;
  readonly files: ReadonlyMap<string, RowColumns>;
}

/** SHA-256 (hex) of the trace that the service makes of the plan's files. */
async function parquetTraceHash(
  { plan, files }: PlannedTrace,
  openSpansMax: number,
): Promise<string> {
  const directory = await mkdtemp(join(root, 'files-'));
  const write = async (objectKey: string, { columns }: typeof threadSpans): Promise<void> => {
    const rows = files.get(objectKey);
    assert.ok(rows !== undefined, `file ${objectKey}`);
    await writeParquet({ path: join(directory, objectKey), columns, rows, metadata: {} });
  };
  const threadFiles = plan.threads.flatMap((thread) => thread.files);
  for (const { objectKey } of threadFiles) await write(objectKey, threadSpans);
  for (const { objectKey } of plan.asyncFiles) await write(objectKey, asyncEvents);
  const chunkBytes = 8192;
  await using stream = startTrace({
    plan,
    objects: {
      localPath: (key) => join(directory, key),
      getToFile: () => Promise.reject(new Error('read in place')),
    },
    tempDir: root,
    hash: xxHash64OfText,
    compress: 'none',
    limits: { chunkBytes, channelChunks: 16, openSpansMax, queryMemoryBytes: 128 * 2 ** 20 },
    signal: new AbortController().signal,
  });
  const digest = createHash('sha256');
  for await (const { data } of stream.channel) digest.update(data);
  await stream.done;
  await rm(directory, { recursive: true });
  return digest.digest('hex');
}

async function checkHistory(recorded: RecordedProcess, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const decoded = new Map();
  const whole = new ArrivingProcess({ recorded, decoded }).addAll();
  whole.build();
  const piecemeal = arriveAtRandom(recorded, decoded, random);
  const choice = randomChoice(recorded, random);
  const expected = tracePlanOf(whole, choice, ({ partitionId }) => partitionId);
  const actual = tracePlanOf(piecemeal, choice, () => `${random.next()}.parquet`);
  const wanted = await parquetTraceHash(expected, choice.openSpansMax);
  assert.equal(await parquetTraceHash(actual, choice.openSpansMax), wanted, 'another cut');
  const inMemory = await memoryTraceHash(expected.plan, expected.files, choice.openSpansMax);
  assert.equal(inMemory, wanted, 'without DuckDB');
}

test('made-up recordings give the trace of one file a view, however they are cut into files', async (t) => {
  await forEachSeed(t, SYNTHETIC_SEEDS, (seed) =>
    checkHistory(recordedProcessOf(syntheticRecording(seed, 12).requests()), seed),
  );
});

for (const name of fixtureCases()) {
  test(`the recording "${name}" gives the trace of one file a view, however it is cut into files`, async (t) => {
    const recorded = loadRecordedProcess(name);
    await forEachSeed(t, FIXTURE_SEEDS, (seed) => checkHistory(recorded, seed));
  });
}
