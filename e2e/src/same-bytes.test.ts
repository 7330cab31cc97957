/**
 * One process, one trace: whether its partitions are there, are being built by two materializers at once or were
 * built before, every export gives the same bytes.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { decodeTrace, inflateTrace, loadFixture } from '@tracelake/test-kit';
import pg from 'pg';
import { exportTrace, replay } from './harness/client.ts';
import { findSliceDifferences } from './harness/expected-slices.ts';
import { startProcessStack } from './harness/process-stack.ts';

const EXPORTS_AT_ONCE = 4;

test('100 exports of one process, cold, warm and with two materializers racing, are one trace', async () => {
  await using stack = await startProcessStack();
  await stack.startService('partition-materializer');
  const fixture = loadFixture('small');
  await replay(stack.ingest.url, fixture.requests);
  await using catalog = await openCatalog(stack.databaseUrl);
  const sums = new Set<string>();
  let exports = 0;
  const exportSome = async () => {
    const traces = await Promise.all(
      Array.from({ length: EXPORTS_AT_ONCE }, () =>
        exportTrace(stack.traceExport.url, fixture.processId),
      ),
    );
    for (const trace of traces) {
      exports++;
      if (sums.size === 0) {
        assert.deepEqual(findSliceDifferences(decodeTrace(trace.bytes), fixture), []);
      }
      sums.add(trace.sha256);
    }
  };
  for (let round = 0; round < 5; round++) {
    await catalog.forgetPartitions();
    for (let warm = 0; warm < 5; warm++) await exportSome();
  }
  assert.equal(exports, 100);
  const query = 'compress=deflate';
  const compressed = await exportTrace(stack.traceExport.url, fixture.processId, query);
  assert.ok(decodeTrace(compressed.bytes).compressedPacketCount > 0);
  sums.add(createHash('sha256').update(inflateTrace(compressed.bytes)).digest('hex'));
  assert.equal(sums.size, 1);
});

/** Makes the lake cold again: what the materializers know of their files is gone, blocks stay. */
async function openCatalog(databaseUrl: string) {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  return {
    forgetPartitions: () => client.query('TRUNCATE partitions CASCADE'),
    [Symbol.asyncDispose]: () => client.end(),
  };
}
