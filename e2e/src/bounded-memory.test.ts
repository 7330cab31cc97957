/**
 * A trace much larger than the heap that trace-export may use, taken slowly. The same at 20 million spans is
 * `e2e/bench/slow-reader.bench.ts`.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startProcessStack } from './harness/process-stack.ts';
import { exportSlowly, sendSyntheticProcess } from './harness/slow-export.ts';

const MIB = 1024 * 1024;
const HEAP_MIB = 48;

test('an export larger than the heap to a slow reader does not grow the service', async () => {
  await using stack = await startProcessStack({
    'trace-export': { nodeArgs: [`--max-old-space-size=${HEAP_MIB}`] },
  });
  const options = { spanCount: 1_200_000, bytesPerSecond: 12 * MIB };
  const processId = await sendSyntheticProcess(stack.ingest.url, options);
  const figures = await exportSlowly(stack, processId, options);
  assert.equal(figures.sliceCount, options.spanCount);
  assert.ok(figures.traceBytes > HEAP_MIB * MIB, `${figures.traceBytes} bytes`);
  assert.ok(figures.rssGrowthBytes <= 64 * MIB, `grew by ${figures.rssGrowthBytes} bytes`);
  assert.ok(figures.channelDepthMax <= 16, `${figures.channelDepthMax} chunks waited`);
});
