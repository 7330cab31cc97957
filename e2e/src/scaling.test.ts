/**
 * Scenario: one replica of each service becomes three under load, with a backlog that grew while none built.
 * Guarantees: no write fails, lanes are shared out, the backlog is worked off, any replica answers for all.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { loadFixture } from '@tracelake/test-kit';
import pg from 'pg';
import { eventually, exportTrace, readMetric, replay } from './harness/client.ts';
import { copyProcess, type ProcessCopy } from './harness/fixture-copy.ts';
import {
  type ProcessStack,
  type ServiceProcess,
  startProcessStack,
} from './harness/process-stack.ts';
import { queryRows } from './harness/query-answers.ts';
import { ReplicaSet, WriteLoad } from './harness/write-load.ts';

const LANES = 8;
const REPLICAS = 3;
const BACKLOG = 40;
const ENV = { TRACELAKE_MATERIALIZER_LANE_LEASE_S: '2' };

describe('from one replica of each service to three', () => {
  let stack: ProcessStack;
  let load: WriteLoad;
  const ingests = new ReplicaSet();
  const materializers: ServiceProcess[] = [];
  const backlog: ProcessCopy[] = [];

  before(async () => {
    stack = await startProcessStack({ 'partition-materializer': { env: ENV } });
    ingests.add(stack.ingest.url);
    load = new WriteLoad(ingests, { writers: 4, pauseMs: 300 });
  });

  after(async () => {
    await load?.stop();
    await stack?.[Symbol.asyncDispose]();
  });

  test('with no materializer blocks are taken, and their views wait', async () => {
    assert.equal(await stack.materializer.end('SIGTERM'), 0);
    for (let n = 0; n < BACKLOG; n++) {
      const copy = copyProcess(loadFixture('small'));
      await replay(ingests.pick(), copy.requests);
      backlog.push(copy);
    }
    assert.equal(await countBuilt(stack, backlog), 0);
  });

  test('three materializers share the lanes out and work the backlog off', async () => {
    const start = () => stack.startService('partition-materializer', { env: ENV });
    materializers.push(...(await Promise.all(Array.from({ length: REPLICAS }, start))));
    const shares = await eventually(
      async () => {
        const held = await Promise.all(
          materializers.map(({ url }) => readMetric(url, 'tracelake_materializer_lanes_held')),
        );
        const isShared = held.every((count) => count >= Math.floor(LANES / REPLICAS));
        return isShared && sum(held) === LANES ? held : undefined;
      },
      'lanes shared out',
      30_000,
    );
    assert.equal(sum(shares), LANES);
    await eventually(
      async () => ((await countBuilt(stack, backlog)) === BACKLOG ? true : undefined),
      'the backlog worked off',
      60_000,
    );
    const built = await Promise.all(
      materializers.map(({ url }) =>
        readMetric(url, 'tracelake_materializer_partitions_built_total', { view: 'log_entries' }),
      ),
    );
    assert.ok(
      built.every((count) => count > 0),
      `every replica built: ${built}`,
    );
  });

  test('three ingests take the load together', async () => {
    const added = await Promise.all([stack.startService('ingest'), stack.startService('ingest')]);
    const before = load.processCount;
    for (const { url } of added) ingests.add(url);
    await eventually(
      async () => (load.processCount > before + 10 ? true : undefined),
      'writes under three replicas',
      30_000,
    );
    for (const { url } of added)
      assert.ok((await readMetric(url, 'tracelake_ingest_blocks_total')) > 0);
  });

  test('any of three exports and queries answers for all, and alike', async () => {
    const exports = [stack.traceExport, ...(await twice(() => stack.startService('trace-export')))];
    const queries = await Promise.all([1, 2, 3].map(() => stack.startService('query')));
    for (const { processId } of backlog.slice(0, 5)) {
      const traces = await Promise.all(exports.map(({ url }) => exportTrace(url, processId)));
      assert.equal(new Set(traces.map(({ sha256 }) => sha256)).size, 1);
      const sql = `SELECT count(*) AS n FROM view_instance('log_entries', '${processId}')`;
      const answers = await Promise.all(queries.map(({ url }) => queryRows(url, sql)));
      const n = loadFixture('small').expected('log_entries').rows.length;
      assert.deepEqual(answers, [[{ n }], [{ n }], [{ n }]]);
    }
  });

  test('back to one: the lanes of those that go are taken over, and no write has failed', async () => {
    const [left, ...leaving] = materializers;
    assert.ok(left);
    for (const replica of leaving) assert.equal(await replica.end('SIGTERM'), 0);
    await eventually(
      async () => {
        const held = await readMetric(left.url, 'tracelake_materializer_lanes_held');
        return held === LANES ? true : undefined;
      },
      'all lanes with the one that is left',
      30_000,
    );
    const { written, failures } = await load.stop();
    assert.deepEqual(failures, []);
    assert.ok(written.length >= 10);
    await eventually(
      async () => ((await countBuilt(stack, written)) === written.length ? true : undefined),
      'everything written is built',
      60_000,
    );
  });
});

/** How many of the processes have their logs built, with nobody asking for them. */
async function countBuilt(stack: ProcessStack, copies: readonly ProcessCopy[]): Promise<number> {
  const client = new pg.Client({ connectionString: stack.databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ built: string }>(
      `SELECT count(DISTINCT instance) AS built FROM partitions
       WHERE view_set = 'log_entries' AND row_count > 0 AND instance = ANY ($1)`,
      [copies.map(({ processId }) => processId)],
    );
    return Number(rows[0]?.built);
  } finally {
    await client.end();
  }
}

async function twice<T>(start: () => Promise<T>): Promise<T[]> {
  return await Promise.all([start(), start()]);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
