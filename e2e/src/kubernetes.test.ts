/**
 * Scenario: the Helm chart with the values of each example on a real Kubernetes API server with its controllers and
 * scheduler; nodes only say that pods run. `deploy/helm/build-kubernetes.ts` builds the programs.
 * Guarantees: the server takes every object without a warning, also under the strictest pod security and a quota;
 * install, upgrade, rollback and uninstall go through with hooks and waits; budgets, spread and autoscalers take hold.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually } from './harness/client.ts';
import { findHelm, runTool } from './harness/helm-tool.ts';
import {
  type ControlPlane,
  type KubernetesObject,
  startControlPlane,
} from './harness/kube-control-plane.ts';
import { startPretendNodes } from './harness/kube-pretend-nodes.ts';
import { findControlPlane } from './harness/kube-programs.ts';

const chartDir = path.join(import.meta.dirname, '../../deploy/helm/tracelake');
const EXAMPLES = ['dev', 'one-zone', 'three-zone'];
const ZONES = ['a', 'b', 'c'];
const COMPONENTS = ['ingest', 'partition-materializer', 'query', 'trace-export'];

const helm = await findHelm();
const programs = findControlPlane();
const skip =
  'missing' in programs ? programs.missing : helm === undefined && 'helm is not installed';

/** What the first lines of the examples ask for, and what a strict operator adds. */
const namespaceOf = (name: string) => `
apiVersion: v1
kind: Namespace
metadata:
  name: ${name}
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: all, namespace: ${name}}
spec: {hard: {requests.cpu: "64", requests.memory: 256Gi, limits.memory: 512Gi}}
---
apiVersion: v1
kind: Secret
metadata: {name: tracelake-database, namespace: ${name}}
stringData: {url: "postgres://user:password@postgres:5432/tracelake"}
---
apiVersion: v1
kind: Secret
metadata: {name: tracelake-nats, namespace: ${name}}
stringData: {url: "nats://nats:4222"}
---
apiVersion: v1
kind: Secret
metadata: {name: tracelake-keys, namespace: ${name}}
stringData: {api-keys: "robots:secret"}
---
apiVersion: v1
kind: Secret
metadata: {name: tracelake-s3, namespace: ${name}}
stringData: {AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret}
`;

/** NACK publishes no Go module, so this stands in for its definition: the fields that the chart sets. */
const STREAM_DEFINITION = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: streams.jetstream.nats.io}
spec:
  group: jetstream.nats.io
  scope: Namespaced
  names: {kind: Stream, singular: stream, plural: streams}
  versions:
    - name: v1beta2
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [name]
              properties:
                name: {type: string, pattern: '^[^.*>]*$'}
                subjects: {type: array, items: {type: string, minLength: 1}}
                retention: {type: string, enum: [limits, interest, workqueue]}
                storage: {type: string, enum: [file, memory]}
                discard: {type: string, enum: [old, new]}
                replicas: {type: integer, minimum: 1}
                maxAge: {type: string}
                maxBytes: {type: integer}
                maxMsgs: {type: integer}
                duplicateWindow: {type: string}
                preventDelete: {type: boolean}
`;

/** Volumes for the claims of \`dev\`; a cluster for trying out has a provisioner. */
const VOLUMES = Array.from(
  { length: 3 },
  (_, index) => `
apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-${index}}
spec:
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  hostPath: {path: /nowhere-${index}}
`,
).join('---');

const PRIORITY_CLASS = `
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: telemetry}
value: 1000
`;

describe('the chart on a real API server', { skip, timeout: 600_000 }, () => {
  let plane: ControlPlane;
  const stack = new AsyncDisposableStack();

  before(async () => {
    assert.ok('dir' in programs);
    plane = stack.use(await startControlPlane({ bin: programs.dir }));
    stack.use(await startPretendNodes(plane, ZONES));
    await plane.apply([VOLUMES, PRIORITY_CLASS].join('---'));
    await installDefinitions(programs.dir);
  });

  after(() => stack.disposeAsync());

  /** Of the operators whose objects the chart makes. */
  async function installDefinitions(bin: string): Promise<void> {
    const dir = path.join(bin, 'crds');
    assert.ok(existsSync(dir), `${dir} is missing: build-kubernetes.ts makes it`);
    const files = await readdir(dir);
    // Some are larger than the annotation that a client-side apply would keep them in.
    await plane.kubectl('apply', '--server-side', '-f', dir);
    if (!files.some((file) => file.startsWith('jetstream'))) await plane.apply(STREAM_DEFINITION);
    await plane.kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s');
  }

  async function runHelm(...args: readonly string[]): Promise<string> {
    assert.ok(helm);
    const { ok, stdout, output } = await runTool(helm.command, [
      ...args,
      '--kubeconfig',
      plane.kubeconfig,
    ]);
    assert.ok(ok, `helm ${args.join(' ')}\n${output}`);
    assert.doesNotMatch(output, /warning/i, `helm ${args[0]}`);
    return stdout;
  }

  async function imagesOf(namespace: string): Promise<readonly string[]> {
    const pods = await plane.list(`/api/v1/namespaces/${namespace}/pods`);
    return pods
      .filter(({ metadata }) => metadata.ownerReferences?.[0]?.kind === 'ReplicaSet')
      .flatMap(({ spec }) => (spec as { containers: { image: string }[] }).containers)
      .map(({ image }) => image);
  }

  for (const example of EXAMPLES) {
    const values = path.join(chartDir, `examples/${example}.yaml`);
    const inNamespace = ['--namespace', example];
    const wait = ['--wait', '--timeout', '60s'];

    /** What the server says of rendered objects that it is given as if for good. */
    async function checkRendered(...args: readonly string[]): Promise<void> {
      assert.ok(helm && 'dir' in programs);
      const render = ['template', 'tracelake', chartDir, '--kube-version', '1.35', '-f', values];
      const rendered = await runHelm(...render, ...inNamespace, ...args);
      assert.match(rendered, /^kind: /m);
      const file = path.join(plane.dir, `${example}.yaml`);
      await writeFile(file, rendered);
      const { ok, output } = await runTool(path.join(programs.dir, 'kubectl'), [
        ...['--kubeconfig', plane.kubeconfig, ...inNamespace, 'apply', '-f', file],
        ...['--dry-run=server', '--validate=strict'],
      ]);
      assert.ok(ok, output);
      assert.doesNotMatch(output, /warning/i);
    }

    test(`${example}: the server takes every object and warns of nothing`, async () => {
      await plane.apply(namespaceOf(example));
      await checkRendered('--skip-tests');
    });

    test(`${example}: is installed, and every pod has its place`, async () => {
      await runHelm('install', 'tracelake', chartDir, ...inNamespace, '-f', values, ...wait);
      for (const component of COMPONENTS) {
        const selector = `labelSelector=app.kubernetes.io/component=${component}`;
        const pods = await plane.list(`/api/v1/namespaces/${example}/pods?${selector}`);
        assert.ok(pods.length >= 1, component);
        const nodes = new Set(pods.map(({ spec }) => spec?.nodeName));
        assert.equal(nodes.size, Math.min(pods.length, ZONES.length), `${component} is spread`);
      }
      // Its pod is of the service account that is there only now.
      await checkRendered('--show-only', 'templates/tests/doctor.yaml');
    });

    test(`${example}: is upgraded, rolled back and uninstalled`, async () => {
      const next = ['--set', 'image.tag=next', ...wait];
      await runHelm('upgrade', 'tracelake', chartDir, ...inNamespace, '-f', values, ...next);
      await settle(example, /:next$/);
      await runHelm('rollback', 'tracelake', '1', ...inNamespace, ...wait);
      await settle(example, /:0\.1\.0$/);
      await runHelm('uninstall', 'tracelake', ...inNamespace, '--wait', '--timeout', '60s');
      assert.equal(await plane.kubectl('get', 'deployments,services,jobs', '-n', example), '');
    });
  }

  test('budgets let one pod go, and autoscalers take the number of pods over', async () => {
    const name = 'scaled';
    await plane.apply(namespaceOf(name));
    const values = ['-f', path.join(chartDir, 'examples/one-zone.yaml')];
    const set = ['--set', 'query.autoscaling.enabled=true,query.autoscaling.minReplicas=3'];
    const args = ['--namespace', name, ...values, ...set, '--wait', '--timeout', '60s'];
    await runHelm('install', 'tracelake', chartDir, ...args);
    const budgets = `/apis/policy/v1/namespaces/${name}/poddisruptionbudgets`;
    const scalers = `/apis/autoscaling/v2/namespaces/${name}/horizontalpodautoscalers`;
    const query = `/apis/apps/v1/namespaces/${name}/deployments/tracelake-query`;
    await eventually(
      async () => {
        const [scaler] = await plane.list(scalers);
        const deployment = (await plane.call('GET', query)) as KubernetesObject;
        const isScaled = scaler?.status?.desiredReplicas === 3;
        return isScaled && deployment.spec?.replicas === 3 ? true : undefined;
      },
      'three pods, as the autoscaler wants',
      60_000,
    );
    await eventually(
      async () => {
        const allowed = (await plane.list(budgets)).map(({ status }) => status?.disruptionsAllowed);
        return allowed.length === COMPONENTS.length && allowed.every((count) => count === 1)
          ? true
          : undefined;
      },
      'budgets that let one pod go',
      30_000,
    );
    await runHelm('uninstall', 'tracelake', '--namespace', name);
  });

  /** Old pods go a moment after new ones are there. */
  async function settle(namespace: string, image: RegExp): Promise<void> {
    await eventually(
      async () => {
        const images = await imagesOf(namespace);
        return images.length > 0 && images.every((name) => image.test(name)) ? true : undefined;
      },
      `pods of ${image} alone in ${namespace}`,
      30_000,
    );
  }
});
