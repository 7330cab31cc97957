/** Tests of the cluster: each part of compose.yaml does what the file has it for. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadFixture } from '@tracelake/test-kit';
import { readRules } from './harness/alert-rules.ts';
import { eventually, exportTrace, replay } from './harness/client.ts';
import { type Cluster, natsParts, serviceParts } from './harness/cluster.ts';
import { copyProcess } from './harness/fixture-copy.ts';

const dashboardsDir = join(import.meta.dirname, '../../deploy/dashboards');
const STREAMS = ['TELEMETRY', 'MATERIALIZE', 'PARTITIONS', 'DEAD'];

/** Skips the test where a part does not run here, with the reason; gives whether it did. */
function isSkipped(context: TestContext, cluster: Cluster, part: string): boolean {
  const reason = cluster.whyMissing(part);
  if (reason !== undefined) context.skip(`${part}: ${reason}`);
  return reason !== undefined;
}

export function testParts(get: () => Cluster): void {
  test('every service of compose.yaml runs, and is healthy where its health is checked', async () => {
    const cluster = get();
    for (const [part, { restart }] of Object.entries(cluster.compose.services)) {
      if (cluster.whyMissing(part) !== undefined) continue;
      const isLasting = restart !== undefined;
      const status = await cluster.inspect(part, '.State.Status');
      assert.equal(status, isLasting ? 'running' : 'exited', part);
      if (!isLasting) assert.equal(await cluster.inspect(part, '.State.ExitCode'), '0', part);
      if ((await cluster.inspect(part, 'json .Config.Healthcheck')) === 'null') continue;
      const health = () => cluster.inspect(part, '.State.Health.Status');
      await eventually(
        async () => ((await health()) === 'healthy' ? true : undefined),
        `health of ${part}`,
        60_000,
      );
    }
  });

  test('what the file confines writes nothing outside of its volumes, and is not root', async () => {
    const cluster = get();
    for (const part of serviceParts) {
      assert.equal(await cluster.exec(part, ['id', '-u']), '10001', part);
      const write = (target: string) =>
        cluster.exec(part, ['sh', '-c', `echo > ${target}/written && rm ${target}/written`]);
      await assert.rejects(write('/app'), /Read-only file system/, part);
      await write('/tmp');
      for (const { target } of cluster.compose.services[part]?.mounts ?? []) await write(target);
    }
  });

  test('every stream is held by all three NATS servers', async () => {
    for (const name of STREAMS) {
      const first = await get().readStream(name, 'nats-1');
      assert.ok(first, name);
      const stream = await get().readStream(name, first.leader);
      const followers = stream?.followers.map(({ name }) => name) ?? [];
      assert.deepEqual([first.leader, ...followers].toSorted(), [...natsParts], name);
    }
  });

  test('the lake lies in the S3 server', async (context) => {
    const cluster = get();
    if (isSkipped(context, cluster, 'object-store')) return;
    const copy = copyProcess(loadFixture('small'));
    await replay(cluster.ingestUrl, copy.requests);
    await exportTrace(cluster.exportUrl, copy.processId);
    const keys = await listObjects(cluster);
    assert.ok(keys.every((key) => key.startsWith('tracelake/')));
    const blocks = copy.requests.filter(({ path }) => path.endsWith('/insert_block')).length;
    const payloads = keys.filter((key) => key.includes(copy.processId) && !/\.parquet$/.test(key));
    assert.equal(payloads.length, blocks);
    assert.ok(keys.some((key) => /\.parquet$/.test(key)));
  });

  test('Prometheus scrapes all four services, and evaluates every rule', async (context) => {
    const cluster = get();
    if (isSkipped(context, cluster, 'prometheus')) return;
    const ask = async (path: string) => {
      const response = await fetch(`${cluster.prometheusUrl}/api/v1/${path}`);
      return ((await response.json()) as { data: unknown }).data;
    };
    await eventually(
      async () => {
        const { activeTargets } = (await ask('targets')) as {
          activeTargets: { labels: { job: string }; health: string }[];
        };
        const up = activeTargets.filter(({ health }) => health === 'up');
        assert.deepEqual(
          up.map(({ labels }) => labels.job).toSorted(),
          [...serviceParts].toSorted(),
        );
        return true;
      },
      'a scrape of every service',
      60_000,
    );
    const expected = readRules().map(({ alert, record }) => alert ?? record);
    await eventually(
      async () => {
        const { groups } = (await ask('rules')) as {
          groups: { rules: { name: string; health: string; lastError?: string }[] }[];
        };
        const rules = groups.flatMap((group) => group.rules);
        assert.deepEqual(rules.map(({ name }) => name).toSorted(), expected.toSorted());
        assert.deepEqual(
          rules.filter(({ health }) => health !== 'ok'),
          [],
        );
        return true;
      },
      'an evaluation of every rule',
      60_000,
    );
  });

  test('Grafana shows every dashboard', async (context) => {
    const cluster = get();
    if (isSkipped(context, cluster, 'grafana')) return;
    const files = readdirSync(dashboardsDir).filter((name) => name.endsWith('.json'));
    await eventually(
      async () => {
        const response = await fetch(`${cluster.grafanaUrl}/api/search?type=dash-db`);
        const found = (await response.json()) as unknown[];
        assert.equal(found.length, files.length);
        return true;
      },
      'dashboards in Grafana',
      60_000,
    );
  });

  test('the image of the command line migrates, and lists what is in it', async () => {
    const cluster = get();
    assert.match(await cluster.runCli(['migrate']), /^schema version \d+$/m);
    assert.match(await cluster.runCli(['--help']), /tracelake/);
    const sbom = JSON.parse(await cluster.exec('query', ['cat', '/app/sbom.cdx.json']));
    assert.equal(sbom.metadata.component.name, 'tracelake-query');
    assert.ok(sbom.components.some(({ name }: { name: string }) => name === 'fastify'));
  });
}

/** Asks from inside the network, as the services do: the S3 server has no port on this machine. */
async function listObjects(cluster: Cluster): Promise<string[]> {
  const script = `
    const { ListObjectsV2Command, S3Client } = require('/app/packages/storage/node_modules/@aws-sdk/client-s3');
    const client = new S3Client({ endpoint: process.env.TRACELAKE_S3_ENDPOINT_URL, forcePathStyle: true });
    const keys = [];
    const list = async (ContinuationToken) => {
      const page = await client.send(new ListObjectsV2Command({ Bucket: 'telemetry', ContinuationToken }));
      keys.push(...(page.Contents ?? []).map(({ Key }) => Key));
      if (page.IsTruncated) await list(page.NextContinuationToken);
    };
    list().then(() => console.log(JSON.stringify(keys)));`;
  return JSON.parse(await cluster.exec('ingest', ['node', '-e', script])) as string[];
}
