/**
 * Scenario: as many builds are at work as there are CPU tokens, so blocks are decoded on the threads that fold them.
 * Guarantees: the same files to the byte, bad blocks rejected as ever, and a block that hangs a thread hangs it once.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { TokenPool } from '@tracelake/channels';
import { createViewRegistry, type ViewSet } from '@tracelake/lakehouse';
import { sql } from '@tracelake/storage';
import { loadFixture, RecordingBuilder } from '@tracelake/test-kit';
import { type BlockEnvelope, decodeBlockEnvelope } from '@tracelake/transit';
import { openBuildLab } from '../../test/build-lab.ts';
import { HANGING_EVENTS, view as hanging } from '../../test/hanging-view.ts';
import { openTestLake, type TestLake } from '../../test/test-lake.ts';
import { partitionPaths } from '../../test/view-rows.ts';
import { DecodeWorkerPool } from '../decode/decode-worker-pool.ts';
import { RunWorkerPool } from './run-worker-pool.ts';

const signal = AbortSignal.timeout(120_000);

/** A pool that refuses whatever it is given. */
async function closedDecoders(): Promise<DecodeWorkerPool> {
  const decoders = new DecodeWorkerPool({ workers: 1, decodeTimeoutMs: 1000, workerHeapMb: 64 });
  await decoders[Symbol.asyncDispose]();
  return decoders;
}

async function sha256OfFiles(lake: TestLake, viewSet: string, instance: string): Promise<string[]> {
  const paths = await partitionPaths(lake, viewSet, instance);
  const files = await Promise.all(paths.map((path) => readFile(path)));
  return files.map((file) => createHash('sha256').update(file).digest('hex')).toSorted();
}

async function recordLogBlocks(
  lake: TestLake,
  seed: number,
  linesOf: number[],
  ingestBlock = (block: BlockEnvelope) => lake.ingestBlock(block),
): Promise<string> {
  const recording = new RecordingBuilder({ seed });
  let line = 0;
  for (const lines of linesOf) {
    for (const end = line + lines; line < end; line++) {
      recording.log({ ticks: 1000 * (line + 1), message: `line ${line}` });
    }
    recording.logStream.flushBlock();
  }
  for (const request of recording.requests()) {
    if (request.path !== '/ingestion/insert_block') await lake.ingest(request);
    else await ingestBlock(decodeBlockEnvelope(request.body));
  }
  return recording.processId;
}

test('files are the same wherever their blocks are decoded', async () => {
  await using lake = await openTestLake();
  const fixture = loadFixture('small');
  for (const request of fixture.requests) await lake.ingest(request);
  const targets = [
    ...['log_entries', 'measures', 'async_events'].map((viewSet) => ({
      viewSet,
      instance: fixture.processId,
    })),
    ...fixture
      .expectedThreadSpanStreams()
      .map((instance) => ({ viewSet: 'thread_spans', instance })),
  ];
  const filesOf = () =>
    Promise.all(targets.map((one) => sha256OfFiles(lake, one.viewSet, one.instance)));

  await using apart = await openBuildLab(lake);
  for (const target of targets) await apart.builder.build(target, signal);
  const expected = await filesOf();
  assert.ok(expected.flat().length >= targets.length);
  await lake.database.query(sql`DELETE FROM partitions`);

  const overrides = { cpuTokens: new TokenPool(2), decoders: await closedDecoders() };
  await using crowded = await openBuildLab(lake, { overrides });
  using _others = overrides.cpuTokens.enter();
  await Promise.all(targets.map((target) => crowded.builder.build(target, signal)));
  assert.deepEqual(await filesOf(), expected);
  assert.equal(overrides.cpuTokens.users, 1, 'builds that ended are counted no more');
});

test('a damaged block is rejected, and the rest of its run is not', async () => {
  await using lake = await openTestLake();
  const overrides = { cpuTokens: new TokenPool(1), decoders: await closedDecoders() };
  await using lab = await openBuildLab(lake, { overrides });
  const damaged: string[] = [];
  const instance = await recordLogBlocks(lake, 1, [5, 6, 7], async (block) => {
    if (block.objectCount !== 6) return await lake.ingestBlock(block);
    damaged.push(block.blockId);
    await lake.ingestBlock(block, new Uint8Array(100).fill(0xff));
  });
  const report = await lab.builder.build({ viewSet: 'log_entries', instance }, signal);
  assert.equal(report.rows, 12);
  assert.deepEqual(
    report.rejected.map(({ blockId }) => blockId),
    damaged,
  );
});

test('a block that hangs the thread of its run is decoded apart when the build is tried again', async () => {
  await using lake = await openTestLake();
  const registry = createViewRegistry();
  registry.register(hanging as ViewSet<never>);
  const lost: string[] = [];
  await using runWorkers = new RunWorkerPool({
    workers: 1,
    decodeTimeoutMs: 300,
    onWorkerLost: (reason) => lost.push(reason),
  });
  await using decoders = new DecodeWorkerPool({
    workers: 1,
    decodeTimeoutMs: 300,
    workerHeapMb: 64,
  });
  const overrides = { cpuTokens: new TokenPool(1), runWorkers, decoders };
  await using lab = await openBuildLab(lake, { registry, overrides });
  const instance = await recordLogBlocks(lake, 2, [5, HANGING_EVENTS, 7]);
  const request = { viewSet: 'log_levels', instance };
  await assert.rejects(lab.builder.build(request, signal), {
    code: 'materializer.run-worker-lost',
    retryable: true,
  });
  const report = await lab.builder.build(request, signal);
  assert.deepEqual([report.rows, report.rejected.length, lost.length], [12, 1, 1]);
});
