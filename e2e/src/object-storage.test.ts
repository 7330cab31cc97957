/**
 * The whole path with an S3 server as object store: payloads and partitions are put create-only, and the
 * exporter copies what it reads to local files. Skipped, with the reason, where no S3 server can be had.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { decodeTrace, loadFixture, startTestS3 } from '@tracelake/test-kit';
import { exportTrace, readMetric, replay } from './harness/client.ts';
import { findSliceDifferences } from './harness/expected-slices.ts';
import { type ProcessStack, startProcessStack } from './harness/process-stack.ts';

const s3 = await startTestS3();
const skip = 'unavailable' in s3 ? s3.unavailable : false;

describe('a lake in S3', { skip }, () => {
  let stack: ProcessStack;

  before(async () => {
    if ('unavailable' in s3) throw new Error(s3.unavailable);
    const env = {
      TRACELAKE_OBJECT_STORE_URL: s3.url,
      TRACELAKE_S3_ENDPOINT_URL: s3.endpoint,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
      AWS_REGION: 'us-east-1',
    };
    stack = await startProcessStack({
      ingest: { env },
      'partition-materializer': { env },
      'trace-export': { env },
    });
  });

  after(async () => {
    await stack?.[Symbol.asyncDispose]();
    if (!('unavailable' in s3)) await s3[Symbol.asyncDispose]();
  });

  for (const name of ['small', 'open', 'spans']) {
    test(`the recording ${name} leaves as the trace that its rows say, twice the same`, async () => {
      const fixture = loadFixture(name);
      await replay(stack.ingest.url, fixture.requests);
      const cold = await exportTrace(stack.traceExport.url, fixture.processId);
      assert.deepEqual(findSliceDifferences(decodeTrace(cold.bytes), fixture), []);
      const warm = await exportTrace(stack.traceExport.url, fixture.processId);
      assert.equal(warm.sha256, cold.sha256);
    });
  }

  test('what is sent twice is stored once', async () => {
    const fixture = loadFixture('small');
    await replay(stack.ingest.url, fixture.requests);
    await replay(stack.ingest.url, fixture.requests);
    const blocks = fixture.requests.filter(({ path }) => path.endsWith('/insert_block')).length;
    const duplicates = await readMetric(stack.ingest.url, 'tracelake_ingest_blocks_total', {
      outcome: 'duplicate',
    });
    assert.equal(duplicates, 2 * blocks);
  });
});
