/**
 * Scenario: the chart of `dev` on a real node - kubelet, containerd, kube-proxy, DNS - with images built here.
 * Guarantees: it starts as a stranger would install it, takes telemetry and gives it back; an upgrade and a rollback
 * in the steps of the runbooks under load fail no write and lose nothing; pods with service links start; pods that
 * are deleted are replaced; more materializers share the lanes.
 */
import assert from 'node:assert/strict';
import { chown, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { decodeTrace, loadFixture } from '@tracelake/test-kit';
import { eventually, exportEventually, exportTrace, readMetric, replay } from './harness/client.ts';
import { findEngineProblem } from './harness/docker-engine.ts';
import { findSliceDifferences } from './harness/expected-slices.ts';
import { copyProcess } from './harness/fixture-copy.ts';
import { findHelm } from './harness/helm-tool.ts';
import {
  type ControlPlane,
  type KubernetesObject,
  startControlPlane,
} from './harness/kube-control-plane.ts';
import { type NodeImages, saveNodeImages } from './harness/kube-images.ts';
import { startNode } from './harness/kube-node.ts';
import { findNode, mustRun } from './harness/kube-programs.ts';
import { queryRows } from './harness/query-answers.ts';
import { ReplicaSet, WriteLoad } from './harness/write-load.ts';

const chartDir = path.join(import.meta.dirname, '../../deploy/helm/tracelake');
const NAMESPACE = 'tracelake';
const SERVICES = ['ingest', 'partition-materializer', 'trace-export', 'query'];
const USER_ID = 10001;
const LOG_ENTRIES = loadFixture('small').expected('log_entries').rows.length;

const helm = await findHelm();
const programs = findNode();
const skip =
  'missing' in programs
    ? programs.missing
    : ((helm === undefined ? 'helm is not installed' : await findEngineProblem()) ?? false);

describe('the chart on a real node', { skip, timeout: 1_200_000 }, () => {
  let plane: ControlPlane;
  let images: NodeImages;
  const stack = new AsyncDisposableStack();
  const urls = { ingest: '', export: '', query: '', materializer: '' };

  before(async () => {
    assert.ok('dir' in programs);
    const bin = programs.dir;
    plane = stack.use(await startControlPlane({ bin }));
    images = await saveNodeImages(path.join(plane.dir, 'images.tar'));
    stack.use(await startNode({ bin, plane, ...images }));
    await addVolumes();
    await plane.kubectl('create', 'namespace', NAMESPACE);
    const level = 'pod-security.kubernetes.io/enforce=restricted';
    await plane.kubectl('label', 'namespace', NAMESPACE, level);
  });

  after(() => stack.disposeAsync());

  /** What a provisioner would make of the claims. */
  async function addVolumes(): Promise<void> {
    for (const name of ['volume-0', 'volume-1', 'volume-2']) {
      const dir = path.join(plane.dir, name);
      await mkdir(dir);
      await chown(dir, USER_ID, USER_ID);
      await plane.call('POST', '/api/v1/persistentvolumes', {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name },
        spec: {
          capacity: { storage: '20Gi' },
          accessModes: ['ReadWriteOnce'],
          hostPath: { path: dir },
        },
      });
    }
  }

  const kubectl = (...args: string[]) => plane.kubectl('--namespace', NAMESPACE, ...args);

  async function runHelm(...args: readonly string[]): Promise<string> {
    assert.ok(helm);
    const place = ['--kubeconfig', plane.kubeconfig, '--namespace', NAMESPACE];
    const timeout = args.includes('--timeout') ? [] : ['--timeout', '240s'];
    try {
      return await mustRun(helm.command, [...args, ...place, ...timeout]);
    } catch (error) {
      const events = await kubectl('get', 'events', '--sort-by=.lastTimestamp');
      throw new Error(`${await kubectl('get', 'pods')}\n${events}`, { cause: error });
    }
  }

  /** As in the runbook, with the images that stand in for those of a registry. */
  function installOrUpgrade(...settings: readonly string[]): Promise<string> {
    return upgrade(settings, []);
  }

  function upgrade(settings: readonly string[], options: readonly string[]): Promise<string> {
    const servers = [
      `bundled.postgres.image=${images.postgres}`,
      `bundled.nats.image=${images.nats}`,
    ];
    const values = ['-f', path.join(chartDir, 'examples/dev.yaml')];
    const set = ['--set', [...servers, ...settings].join(',')];
    const args = [...values, ...set, '--wait', ...options];
    return runHelm('upgrade', '--install', 'tracelake', chartDir, ...args);
  }

  /** Through kube-proxy: the addresses of the services, as every pod reaches them. */
  async function readAddresses(): Promise<void> {
    const of = async (component: string) => {
      const output = ['-o', 'jsonpath=http://{.spec.clusterIP}:{.spec.ports[0].port}'];
      return await kubectl('get', 'service', `tracelake-${component}`, ...output);
    };
    urls.ingest = await of('ingest');
    urls.export = await of('trace-export');
    urls.query = await of('query');
    urls.materializer = await of('partition-materializer');
  }

  /** Without pods on their way out. */
  async function livePods(component: string): Promise<readonly KubernetesObject[]> {
    const selector = `labelSelector=app.kubernetes.io/component=${component}`;
    const pods = await plane.list(`/api/v1/namespaces/${NAMESPACE}/pods?${selector}`);
    return pods.filter(({ metadata }) => !('deletionTimestamp' in metadata));
  }

  /** Of the image that the component's pods run. */
  async function runningTag(component: string): Promise<string | undefined> {
    const [pod] = await livePods(component);
    assert.ok(pod, `no pod of ${component}`);
    const { containers } = pod.spec as { readonly containers: readonly { image: string }[] };
    return containers[0]?.image.split(':').at(-1);
  }

  test('is installed on a node with nothing prepared', async () => {
    await installOrUpgrade(`image.tag=${images.tag}`);
    await readAddresses();
    const events = await kubectl('get', 'events', '--field-selector=reason=Completed');
    assert.match(events, /job\/tracelake-migrate/, 'the migration ran');
  });

  test('a recording leaves as the trace that its rows say, and answers SQL', async () => {
    const fixture = loadFixture('small');
    await replay(urls.ingest, fixture.requests);
    const trace = await exportTrace(urls.export, fixture.processId);
    assert.deepEqual(findSliceDifferences(decodeTrace(trace.bytes), fixture), []);
    const sql = `SELECT count(*) AS n FROM view_instance('log_entries', '${fixture.processId}')`;
    assert.deepEqual(await queryRows(urls.query, sql), [{ n: LOG_ENTRIES }]);
  });

  test('its own test finds nothing wrong', async () => {
    // Lanes have no owner yet in what the materializer saw of the lake as it started.
    await eventually(
      async () =>
        /Nothing is wrong/.test(await runHelm('test', 'tracelake', '--logs')) || undefined,
      'a test that finds nothing wrong',
      120_000,
    );
  });

  test('an upgrade and its rollback in steps fail no write and lose nothing', async () => {
    const { processId } = loadFixture('small');
    const { sha256 } = await exportTrace(urls.export, processId);
    const ingests = new ReplicaSet();
    ingests.add(urls.ingest);
    const load = new WriteLoad(ingests, { writers: 2, pauseMs: 1000 });
    const { tag, nextTag } = images;
    const old = `image.tag=${tag}`;
    const isNow = async (readers: string, materializer: string) => {
      assert.equal(await runningTag('partition-materializer'), materializer);
      for (const name of ['ingest', 'trace-export', 'query']) {
        assert.equal(await runningTag(name), readers);
      }
      assert.equal((await exportTrace(urls.export, processId)).sha256, sha256);
    };
    await installOrUpgrade(
      old,
      `migration.imageTag=${nextTag}`,
      `partitionMaterializer.imageTag=${nextTag}`,
    );
    await isNow(tag, nextTag);
    await installOrUpgrade(`image.tag=${nextTag}`);
    await isNow(nextTag, nextTag);
    await runHelm('rollback', 'tracelake', '2', '--wait');
    await isNow(tag, nextTag);
    await runHelm('rollback', 'tracelake', '1', '--wait');
    await isNow(tag, tag);
    const { written, failures } = await load.stop();
    assert.deepEqual(failures, []);
    assert.ok(written.length >= 4, `${written.length} processes`);
    for (const copy of written) {
      const trace = await exportTrace(urls.export, copy.processId);
      assert.equal(trace.headers.get('tracelake-blocks-rejected'), '0');
      assert.ok(trace.bytes.length > 0);
    }
  });

  test('a release that cannot start takes nothing away', async () => {
    await assert.rejects(upgrade(['image.tag=absent'], ['--timeout', '20s']));
    for (const name of SERVICES) assert.equal(await runningTag(name), images.tag);
    await replay(urls.ingest, copyProcess(loadFixture('small')).requests);
    await runHelm('rollback', 'tracelake', '1', '--wait');
  });

  test('a pod with service links starts', async () => {
    for (const name of SERVICES) {
      const patch = '{"spec":{"template":{"spec":{"enableServiceLinks":true}}}}';
      await kubectl('patch', 'deployment', `tracelake-${name}`, '-p', patch);
    }
    for (const name of SERVICES) {
      await kubectl('rollout', 'status', `deployment/tracelake-${name}`, '--timeout=120s');
    }
    // Without the chart's own variable, the link of its name is all that the service finds.
    await kubectl('set', 'env', 'deployment/tracelake-ingest', 'TRACELAKE_INGEST_PORT-');
    await kubectl('rollout', 'status', 'deployment/tracelake-ingest', '--timeout=120s');
    const [pod] = await livePods('ingest');
    const name = pod?.metadata.name ?? '';
    const environment = await kubectl('exec', name, '--', 'cat', '/proc/1/environ');
    assert.match(environment, /TRACELAKE_INGEST_PORT=tcp:\/\//);
    assert.match(await kubectl('logs', name), /Kubernetes service link/);
    await replay(urls.ingest, copyProcess(loadFixture('small')).requests);
    await exportTrace(urls.export, loadFixture('small').processId);
  });

  test('three materializers share the lanes', async () => {
    await kubectl('scale', 'deployment/tracelake-partition-materializer', '--replicas=3');
    await kubectl(
      'rollout',
      'status',
      'deployment/tracelake-partition-materializer',
      '--timeout=120s',
    );
    const addresses = (await livePods('partition-materializer')).map(
      ({ status }) => `http://${status?.podIP}:4322`,
    );
    assert.equal(addresses.length, 3);
    await eventually(
      async () => {
        const held = await Promise.all(
          addresses.map((url) => readMetric(url, 'tracelake_materializer_lanes_held')),
        );
        const total = held.reduce((sum, count) => sum + count, 0);
        return total === 8 && Math.max(...held) <= 3 ? true : undefined;
      },
      'eight lanes shared by three',
      60_000,
    );
  });

  test('deleted pods are replaced, and what was written is there', async () => {
    const { processId } = loadFixture('small');
    for (const name of ['ingest', 'partition-materializer', 'trace-export', 'nats', 'postgres']) {
      await kubectl('delete', 'pod', '-l', `app.kubernetes.io/component=${name}`);
    }
    const fixture = loadFixture('small');
    await kubectl('rollout', 'status', 'deployment/tracelake-ingest', '--timeout=180s');
    await replay(urls.ingest, fixture.requests);
    const trace = await exportEventually(urls.export, processId);
    assert.deepEqual(findSliceDifferences(decodeTrace(trace.bytes), fixture), []);
  });

  test('an uninstall keeps the telemetry, and an install after it finds it', async () => {
    const fixture = loadFixture('small');
    await runHelm('uninstall', 'tracelake', '--wait');
    assert.match(await kubectl('get', 'persistentvolumeclaims', '-o', 'name'), /tracelake-objects/);
    await installOrUpgrade(`image.tag=${images.tag}`);
    await readAddresses();
    const trace = await exportTrace(urls.export, fixture.processId);
    assert.deepEqual(findSliceDifferences(decodeTrace(trace.bytes), fixture), []);
  });
});
