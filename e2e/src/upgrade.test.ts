/**
 * Scenario: a lake under load is moved to the next release and back, one replica at a time, in the order of the
 * runbooks: migrations, materializers, ingest, then the services that read; back in the opposite order.
 * Guarantees: no write fails, nothing acknowledged is lost, both releases answer all along and alike.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { loadFixture } from '@tracelake/test-kit';
import { exportTrace, replay } from './harness/client.ts';
import { copyProcess, type ProcessCopy } from './harness/fixture-copy.ts';
import { type Release, stageNextRelease } from './harness/next-release.ts';
import {
  type ProcessStack,
  type ServiceName,
  type ServiceProcess,
  startProcessStack,
} from './harness/process-stack.ts';
import { queryRows } from './harness/query-answers.ts';
import { ReplicaSet, WriteLoad } from './harness/write-load.ts';

/** Soon taken over, so that no step waits for a lease to run out. */
const ENV = { TRACELAKE_MATERIALIZER_LANE_LEASE_S: '2' };

describe('from one release to the next and back', () => {
  let next: Release;
  let stack: ProcessStack;
  const running = new Map<ServiceName, ServiceProcess>();
  const ingests = new ReplicaSet();
  let load: WriteLoad;
  let first: ProcessCopy;
  let firstSha256: string;

  before(async () => {
    next = await stageNextRelease();
    stack = await startProcessStack({ 'partition-materializer': { env: ENV } });
    running.set('ingest', stack.ingest);
    running.set('partition-materializer', stack.materializer);
    running.set('trace-export', stack.traceExport);
    running.set('query', await stack.startService('query'));
    ingests.add(stack.ingest.url);
    first = copyProcess(loadFixture('small'));
    await replay(stack.ingest.url, first.requests);
    firstSha256 = (await exportTrace(stack.traceExport.url, first.processId)).sha256;
    load = new WriteLoad(ingests, { writers: 3, pauseMs: 400 });
  });

  after(async () => {
    await load?.stop();
    await stack?.[Symbol.asyncDispose]();
    await next?.[Symbol.asyncDispose]();
  });

  /** A rolling update of one replica: the new one is ready before the old one is told to end. */
  async function roll(name: ServiceName, workspaceDir: string | undefined): Promise<void> {
    const old = running.get(name);
    assert.ok(old);
    const options = workspaceDir === undefined ? {} : { workspaceDir };
    const replacement = await stack.startService(name, { ...options, env: ENV });
    running.set(name, replacement);
    if (name === 'ingest') {
      ingests.add(replacement.url);
      await ingests.remove(old.url);
    } else {
      await checkReading(old, name);
    }
    await checkReading(replacement, name);
    assert.equal(await old.end('SIGTERM'), 0, `${name} drained`);
  }

  /** What was written before the load and what was written a moment ago is there. */
  async function checkReading({ url }: ServiceProcess, name: ServiceName): Promise<void> {
    const fresh = copyProcess(loadFixture('small'));
    await replay(ingests.pick(), fresh.requests);
    if (name === 'trace-export') {
      assert.equal((await exportTrace(url, first.processId)).sha256, firstSha256);
      const trace = await exportTrace(url, fresh.processId);
      assert.equal(trace.headers.get('tracelake-blocks-rejected'), '0');
    }
    if (name === 'query') {
      for (const { processId } of [first, fresh]) {
        const sql = `SELECT count(*) AS n FROM view_instance('log_entries', '${processId}')`;
        assert.deepEqual(await queryRows(url, sql), [{ n: logEntryCount }]);
      }
    }
  }

  const logEntryCount = loadFixture('small').expected('log_entries').rows.length;

  for (const name of ['partition-materializer', 'ingest', 'trace-export', 'query'] as const) {
    test(`${name} is replaced by that of the next release`, () => roll(name, next.workspaceDir));
  }

  test('a replica of the release before starts on the newer database', async () => {
    const replica = await stack.startService('ingest');
    const copy = copyProcess(loadFixture('small'));
    await replay(replica.url, copy.requests);
    assert.equal(await replica.end('SIGTERM'), 0);
  });

  for (const name of ['query', 'trace-export', 'ingest', 'partition-materializer'] as const) {
    test(`${name} goes back to this release`, () => roll(name, undefined));
  }

  test('no write failed, and all that was acknowledged is exported whole', async () => {
    const { written, acknowledged, failures } = await load.stop();
    assert.deepEqual(failures, []);
    assert.ok(written.length >= 20, `${written.length} processes, ${acknowledged} requests`);
    const url = running.get('trace-export')?.url ?? '';
    const blocks = loadFixture('small').requests.filter(({ path }) =>
      path.endsWith('/insert_block'),
    );
    const known = String(
      (await exportTrace(url, first.processId)).headers.get('tracelake-blocks-known'),
    );
    assert.ok(Number(known) > 0 && Number(known) <= blocks.length);
    for (const { processId } of written) {
      const { headers, bytes } = await exportTrace(url, processId);
      assert.equal(headers.get('tracelake-blocks-known'), known);
      assert.equal(headers.get('tracelake-blocks-read'), known);
      assert.ok(bytes.length > 0);
    }
  });
});
