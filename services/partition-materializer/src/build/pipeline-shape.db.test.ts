/**
 * Scenario: one instance of many blocks is built by requests that ask for a shape of the pipeline.
 * Guarantees: as many blocks wait for a worker as `channelDepth` says, and as many workers ask for a CPU token as `workers`.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { RecordingBuilder } from '@tracelake/test-kit';
import { openBuildLab } from '../../test/build-lab.ts';
import { openTestLake, type TestLake } from '../../test/test-lake.ts';

const BLOCKS = 40;

async function recordBlocks(lake: TestLake, seed: number): Promise<string> {
  const recording = new RecordingBuilder({ seed });
  for (let block = 0; block < BLOCKS; block++) {
    for (let line = 0; line < 50; line++) {
      recording.log({ ticks: 1000 * (50 * block + line + 1), message: `line ${line}` });
    }
    recording.logStream.flushBlock();
  }
  for (const request of recording.requests()) await lake.ingest(request);
  return recording.processId;
}

test('a request shapes the pipeline of its own build', async () => {
  await using lake = await openTestLake();
  await using lab = await openBuildLab(lake);
  const { cpuTokens } = lab.dependencies;
  /** What gathers in the pipeline while nobody can decode. */
  const build = async (seed: number, pipeline: { workers: number; channelDepth: number }) => {
    const instance = await recordBlocks(lake, seed);
    const held = await Promise.all(
      Array.from({ length: cpuTokens.size }, () => cpuTokens.acquire()),
    );
    const signal = AbortSignal.timeout(60_000);
    const building = lab.builder.build({ viewSet: 'log_entries', instance, pipeline }, signal);
    const gathered = async () => ({
      workers: cpuTokens.waiting,
      channelDepth: await lab.metric('tracelake_cpu_queue_depth'),
    });
    while (!isDeepStrictEqual(await gathered(), pipeline)) {
      signal.throwIfAborted();
      await sleep(5);
    }
    await sleep(20);
    assert.deepEqual(await gathered(), pipeline, 'no more than asked for');
    for (const token of held) token[Symbol.dispose]();
    assert.equal((await building).rows, 50 * BLOCKS);
  };
  await build(1, { workers: 1, channelDepth: 1 });
  await build(2, { workers: 1, channelDepth: 6 });
  await build(3, { workers: 4, channelDepth: 2 });
});
