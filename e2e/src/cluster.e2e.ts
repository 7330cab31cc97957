/**
 * The whole system in containers, from a client's request to the bytes of a trace.
 *
 * Guarantees: what was acknowledged is exported, to the nanosecond, whatever is killed, wiped or doubled in
 * between; the same process gives the same bytes each time.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  decodeTrace,
  fixtureCases,
  loadFixture,
  type SeededRandom,
  seededRandom,
} from '@tracelake/test-kit';
import {
  eventually,
  exportEventually,
  exportTrace,
  postUntilAcknowledged,
  readMetric,
  replay,
} from './harness/client.ts';
import { type Cluster, type Part, startCluster } from './harness/cluster.ts';
import { findEngineProblem } from './harness/docker-engine.ts';
import { findSliceDifferences } from './harness/expected-slices.ts';
import { copyProcess, type ProcessCopy } from './harness/fixture-copy.ts';
import { queryRows } from './harness/query-answers.ts';

const EXACT_CASES = fixtureCases().filter((name) => name !== 'estimated');
const CRASH_SEEDS = (process.env.TRACELAKE_E2E_SEEDS ?? '1,2,3').split(',').map(Number);

const engineProblem = await findEngineProblem();

describe('the whole system in containers', { skip: engineProblem ?? false }, () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await startCluster();
  });

  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  for (const name of EXACT_CASES) {
    test(`the recording ${name} leaves as the trace that its rows say`, async () => {
      const fixture = loadFixture(name);
      await replay(cluster.ingestUrl, fixture.requests);
      const first = await exportTrace(cluster.exportUrl, fixture.processId);
      assert.deepEqual(findSliceDifferences(decodeTrace(first.bytes), fixture), []);
      assert.equal(first.headers.get('tracelake-blocks-rejected'), '0');
    });
  }

  test('the lake answers SQL', async () => {
    const fixture = loadFixture('small');
    const sql = `SELECT count(*) AS entries FROM view_instance('log_entries', '${fixture.processId}')`;
    const entries = fixture.expected('log_entries').rows.length;
    assert.deepEqual(await queryRows(cluster.queryUrl, sql), [{ entries }]);
  });

  test('every service works confined, and with the variables that Kubernetes injects beside it', async () => {
    const links = {
      TRACELAKE_INGEST_PORT: 'tcp://10.0.0.1:4318',
      TRACELAKE_INGEST_SERVICE_HOST: '10.0.0.1',
      TRACELAKE_INGEST_PORT_4318_TCP_ADDR: '10.0.0.1',
      TRACELAKE_QUERY_PORT: 'tcp://10.0.0.2:4321',
      TRACELAKE_TRACE_EXPORT_PORT: 'tcp://10.0.0.3:4320',
      TRACELAKE_MATERIALIZER_PORT: 'tcp://10.0.0.4:4322',
    };
    const ingestUrl = await cluster.startReplica('ingest', links);
    const exportUrl = await cluster.startReplica('trace-export', links);
    const queryUrl = await cluster.startReplica('query', links);
    await cluster.startReplica('partition-materializer', links);
    const copy = copyProcess(loadFixture('small'));
    await replay(ingestUrl, copy.requests);
    assert.ok((await exportTrace(exportUrl, copy.processId)).bytes.length > 0);
    const sql = `SELECT count(*) AS n FROM view_instance('log_entries', '${copy.processId}')`;
    const n = loadFixture('small').expected('log_entries').rows.length;
    assert.deepEqual(await queryRows(queryUrl, sql), [{ n }]);
  });

  test('the image of the command line migrates, and lists what is in it', async () => {
    assert.match(await cluster.runCli(['migrate']), /^schema version \d+$/m);
    assert.match(await cluster.runCli(['--help']), /tracelake/);
    const sbom = JSON.parse(await cluster.exec('query', ['cat', '/app/sbom.cdx.json']));
    assert.equal(sbom.metadata.component.name, 'tracelake-query');
    assert.ok(sbom.components.some(({ name }: { name: string }) => name === 'fastify'));
  });

  test('a recording sent twice over in a shuffled order gives the same bytes again', async () => {
    const random = seededRandom(7);
    for (const name of ['small', 'open', 'unreal-cbor']) {
      const copy = copyProcess(loadFixture(name));
      await replay(cluster.ingestUrl, copy.requests);
      const before = await exportTrace(cluster.exportUrl, copy.processId);
      await replay(cluster.ingestUrl, random.shuffle([...copy.requests, ...copy.requests]));
      const again = await exportTrace(cluster.exportUrl, copy.processId);
      assert.equal(again.sha256, before.sha256, name);
    }
  });

  test('an export of what was exported before builds no partition', async () => {
    const fixture = loadFixture('small');
    await exportTrace(cluster.exportUrl, fixture.processId);
    // Logs and measures of what came a moment ago are built meanwhile, unasked.
    const written = async () => {
      const views = ['thread_spans', 'async_events'].map((view) =>
        readMetric(cluster.materializerUrl, 'tracelake_materializer_partitions_built_total', {
          view,
        }),
      );
      return (await Promise.all(views)).reduce((sum, count) => sum + count, 0);
    };
    const before = await written();
    assert.ok(before > 0, 'partitions were built before');
    for (let n = 0; n < 5; n++) await exportTrace(cluster.exportUrl, fixture.processId);
    assert.equal(await written(), before);
  });

  test('log partitions appear within seconds of ingest with no request', async () => {
    const copy = copyProcess(loadFixture('small'));
    await replay(cluster.ingestUrl, copy.requests);
    const startMs = Date.now();
    const rowCount = await eventually(
      () => countPartitionRows(cluster, 'log_entries', copy.processId),
      'a log partition',
      15_000,
    );
    assert.equal(rowCount, loadFixture('small').expected('log_entries').rows.length);
    assert.ok(Date.now() - startMs < 5_000, `${Date.now() - startMs} ms`);
  });

  test('with nats-server stopped ingest acknowledges, and the blocks are exported once it is back', async () => {
    const copy = copyProcess(loadFixture('small'));
    await cluster.kill('nats');
    await replay(cluster.ingestUrl, copy.requests);
    await cluster.start('nats');
    await assertExported(cluster, copy);
  });

  test('the JetStream store wiped while blocks arrive loses nothing, views current within a minute', async () => {
    const copies = Array.from({ length: 6 }, () => copyProcess(loadFixture('small')));
    const sending = (async () => {
      for (const copy of copies) {
        await replay(cluster.ingestUrl, copy.requests);
        await sleep(150);
      }
    })();
    await sleep(300);
    await cluster.wipeJetStream();
    await sending;
    const expected = loadFixture('small').expected('log_entries').rows.length;
    for (const copy of copies) {
      await eventually(
        async () => {
          const rows = await countPartitionRows(cluster, 'log_entries', copy.processId);
          return rows === expected ? rows : undefined;
        },
        `log partitions of ${copy.processId}`,
        60_000,
      );
      await assertExported(cluster, copy);
    }
  });

  for (const seed of CRASH_SEEDS) {
    test(`services killed at random moments under load lose no acknowledged block (seed ${seed})`, async () => {
      await crashUnderLoad(cluster, seededRandom(seed));
    });
  }

  test('a service told to end under load finishes what it has and exits with 0', async () => {
    const services: Part[] = ['ingest', 'partition-materializer', 'trace-export'];
    for (const part of services) {
      const copy = copyProcess(loadFixture('small'));
      const sending = replay(cluster.ingestUrl, copy.requests);
      const exporting = exportEventually(cluster.exportUrl, loadFixture('spans').processId);
      await sleep(20);
      assert.equal(await cluster.terminate(part), 0, `${part}: ${await cluster.logs(part)}`);
      await cluster.start(part);
      await Promise.all([sending, exporting]);
      await assertExported(cluster, copy);
    }
  });
});

/** Sends processes from several clients while services, Postgres and nats-server are killed and come back. */
async function crashUnderLoad(cluster: Cluster, random: SeededRandom): Promise<void> {
  const copies = Array.from({ length: 9 }, () =>
    copyProcess(loadFixture(random.pick(['small', 'open', 'legacy-arrays']))),
  );
  const queue = [...copies];
  const client = async () => {
    for (let copy = queue.pop(); copy !== undefined; copy = queue.pop()) {
      for (const request of copy.requests) {
        await postUntilAcknowledged(cluster.ingestUrl, request);
        await sleep(random.int(30));
      }
      // A request for a trace puts the materializer and the export to work in the middle of it all.
      exportTrace(cluster.exportUrl, copy.processId).catch(() => undefined);
    }
  };
  const victims: Part[] = ['ingest', 'partition-materializer', 'trace-export', 'postgres', 'nats'];
  const assassin = async () => {
    for (const victim of random.shuffle([...victims])) {
      await sleep(100 + random.int(700));
      await cluster.kill(victim);
      await sleep(random.int(300));
      await cluster.start(victim);
    }
  };
  await Promise.all([client(), client(), client(), assassin()]);
  for (const copy of copies) await assertExported(cluster, copy);
}

async function assertExported(cluster: Cluster, copy: ProcessCopy): Promise<void> {
  const exported = await exportEventually(cluster.exportUrl, copy.processId);
  const differences = findSliceDifferences(decodeTrace(exported.bytes), copy.fixture);
  assert.deepEqual(differences.slice(0, 5), [], `${copy.fixture.name} as ${copy.processId}`);
}

async function countPartitionRows(
  cluster: Cluster,
  view: string,
  instance: string,
): Promise<number | undefined> {
  const response = await fetch(`${cluster.materializerUrl}/v1/partitions/${view}/${instance}`);
  if (!response.ok) return undefined;
  const partitions = (await response.json()) as { row_count: number }[];
  const rows = partitions.reduce((sum, partition) => sum + partition.row_count, 0);
  return rows === 0 ? undefined : rows;
}
