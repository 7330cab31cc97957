/**
 * Scenario: the Helm chart with the values of each example, rendered by helm where this machine has it.
 * Guarantees: what it sets is what services and bus know; objects are valid in the Kubernetes versions in
 * support; every pod is confined, probed and limited; wrong or missing values are refused with a reason.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { DEFAULT_STREAM_SETTINGS, STREAM_NAMES } from '@tracelake/bus';
import { isKnownVariable } from '@tracelake/service-kit';
import { parse, parseAllDocuments } from 'yaml';
import { findHelm, findKubernetesValidator, runTool } from './harness/helm-tool.ts';

const chartDir = path.join(import.meta.dirname, '../../deploy/helm/tracelake');
const EXAMPLES = ['dev', 'one-zone', 'three-zone'];
const KUBERNETES_VERSIONS = ['1.33', '1.34', '1.35', '1.36', '1.37'];
/** Resources of operators, which no validator of Kubernetes itself knows. */
const OPERATOR_APIS = /^(?:monitoring\.coreos\.com|keda\.sh|gateway\.networking|jetstream\.nats)/;

const helm = await findHelm();
const validator = await findKubernetesValidator();
const skipHelm = helm === undefined && 'helm is not installed';

interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: Record<string, unknown>;
  /** Of a ConfigMap. */
  readonly data?: Readonly<Record<string, string>>;
}

interface Container {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly securityContext: Record<string, unknown>;
  readonly resources: Readonly<Record<'requests' | 'limits', Record<string, unknown>>>;
  readonly [probe: `${string}Probe`]: unknown;
}

interface PodSpec {
  readonly containers: readonly Container[];
  readonly securityContext: Record<string, unknown>;
  readonly enableServiceLinks: boolean;
  readonly automountServiceAccountToken: boolean;
  readonly hostNetwork?: boolean;
  readonly terminationGracePeriodSeconds?: number;
}

async function render(args: readonly string[]) {
  assert.ok(helm);
  const version = ['--kube-version', KUBERNETES_VERSIONS[0] ?? ''];
  return await runTool(helm.command, ['template', 'tracelake', chartDir, ...version, ...args]);
}

async function renderExample(example: string): Promise<KubernetesObject[]> {
  const values = path.join(chartDir, `examples/${example}.yaml`);
  const { ok, stdout, output } = await render(['-f', values]);
  assert.ok(ok, output);
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null);
}

function podSpecsOf(objects: readonly KubernetesObject[]): { name: string; pod: PodSpec }[] {
  return objects
    .filter(({ kind }) => ['Deployment', 'StatefulSet', 'Job', 'CronJob', 'Pod'].includes(kind))
    .map(({ kind, metadata, spec }) => ({
      name: `${kind} ${metadata.name}`,
      pod: podSpecOf(kind, spec) as PodSpec,
    }));
}

function podSpecOf(kind: string, spec: Record<string, unknown>): unknown {
  if (kind === 'Pod') return spec;
  if (kind === 'CronJob') {
    const { jobTemplate } = spec as { jobTemplate: { spec: Record<string, unknown> } };
    return podSpecOf('Job', jobTemplate.spec);
  }
  return (spec as { template: { spec: unknown } }).template.spec;
}

test('streams declared for NACK are those that the services make', async () => {
  const text = await readFile(path.join(chartDir, 'files/streams.yaml'), 'utf8');
  const declared = parse(text) as Record<string, Record<string, unknown>>;
  assert.deepEqual(Object.keys(declared), [...STREAM_NAMES]);
  for (const name of STREAM_NAMES) {
    const bounds = DEFAULT_STREAM_SETTINGS.bounds[name];
    const stream = declared[name];
    assert.equal(stream?.maxBytes, bounds.bytesMax, name);
    assert.equal(stream?.maxMsgs, bounds.messagesMax, name);
    assert.equal(stream?.maxAge, `${bounds.ageMaxMs / 3_600_000}h`, name);
    assert.equal(stream?.duplicateWindow, `${bounds.duplicateWindowMs / 60_000}m`, name);
  }
});

test('every variable that templates and examples set is one that services know', async () => {
  const names = new Set<string>();
  for (const dir of ['templates', 'examples', '.']) {
    for (const file of await readdir(path.join(chartDir, dir))) {
      if (!/\.(?:yaml|tpl)$/.test(file)) continue;
      const text = await readFile(path.join(chartDir, dir, file), 'utf8');
      for (const [name] of text.matchAll(/\bTRACELAKE_[A-Z0-9_]+/g)) names.add(name);
    }
  }
  assert.ok(names.size > 10);
  assert.deepEqual(
    [...names].filter((name) => !isKnownVariable(name)),
    [],
  );
});

for (const example of EXAMPLES) {
  test(`${example}: lints, and every pod is confined, probed and limited`, {
    skip: skipHelm,
  }, async () => {
    assert.ok(helm);
    const values = path.join(chartDir, `examples/${example}.yaml`);
    const lint = await runTool(helm.command, ['lint', '--strict', chartDir, '-f', values]);
    assert.ok(lint.ok, lint.output);
    const pods = podSpecsOf(await renderExample(example));
    assert.ok(pods.length >= 6, 'four services, the migration and the test');
    for (const { name, pod } of pods) checkPod(name, pod);
  });

  test(`${example}: valid in each Kubernetes version in support`, {
    skip: skipHelm || (validator === undefined && 'kubernetes-validate is not installed'),
  }, async () => {
    assert.ok(validator);
    const objects = await renderExample(example);
    const dir = await mkdtemp(path.join(tmpdir(), 'tracelake-chart-'));
    try {
      const own = objects.filter(({ apiVersion }) => !OPERATOR_APIS.test(apiVersion));
      const file = path.join(dir, 'objects.yaml');
      await writeFile(file, own.map((object) => JSON.stringify(object)).join('\n---\n'));
      for (const version of KUBERNETES_VERSIONS) {
        const { ok, output } = await runTool(validator.command, ['--strict', '-k', version, file]);
        assert.ok(ok, `Kubernetes ${version}: ${output}`);
      }
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
}

test('the rules and dashboards that the chart installs are those of deploy', {
  skip: skipHelm,
}, async () => {
  const objects = await renderExample('one-zone');
  const rules = objects.find(({ kind }) => kind === 'PrometheusRule');
  const text = await readFile(path.join(chartDir, '../../alerts/tracelake.rules.yaml'), 'utf8');
  const expected = parse(text) as { readonly groups: readonly unknown[] };
  assert.ok(expected.groups.length > 1);
  assert.deepEqual(rules?.spec, expected);
  const installed = objects.flatMap(({ kind, data = {} }) =>
    kind === 'ConfigMap' ? Object.entries(data) : [],
  );
  for (const file of await readdir(path.join(chartDir, '../../dashboards'))) {
    if (!file.endsWith('.json')) continue;
    const dashboard = await readFile(path.join(chartDir, '../../dashboards', file), 'utf8');
    assert.equal(installed.find(([name]) => name === file)?.[1], dashboard, file);
  }
});

function checkPod(name: string, pod: PodSpec): void {
  assert.equal(pod.securityContext.runAsNonRoot, true, name);
  assert.deepEqual(pod.securityContext.seccompProfile, { type: 'RuntimeDefault' }, name);
  assert.equal(pod.enableServiceLinks, false, name);
  assert.equal(pod.automountServiceAccountToken, false, name);
  assert.equal(pod.hostNetwork, undefined, name);
  for (const container of pod.containers) {
    const { securityContext, resources } = container;
    assert.equal(securityContext.readOnlyRootFilesystem, true, name);
    assert.equal(securityContext.allowPrivilegeEscalation, false, name);
    assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] }, name);
    assert.ok(resources.limits.memory, `${name} has no memory limit`);
    assert.ok(resources.requests.cpu && resources.requests.memory, `${name} requests nothing`);
    if (/^(?:Job|CronJob|Pod) /.test(name)) continue;
    for (const probe of ['livenessProbe', 'readinessProbe'] as const) {
      assert.ok(container[probe], `${name} has no ${probe}`);
    }
  }
}

test('a pod has longer to end than a service takes to drain', { skip: skipHelm }, async () => {
  for (const { name, pod } of podSpecsOf(await renderExample('one-zone'))) {
    if (!name.startsWith('Deployment')) continue;
    const grace = pod.containers[0]?.env?.find(
      (variable) => variable.name === 'TRACELAKE_SHUTDOWN_GRACE_S',
    );
    const preStopS = 5;
    assert.ok(Number(pod.terminationGracePeriodSeconds) > Number(grace?.value) + preStopS, name);
  }
});

const REFUSED = [
  { args: [], reason: /database\.existingSecret must name/ },
  { args: ['--set', 'bundled.enabled=true'], reason: /objectStore\.url must be/ },
  { args: ['-f', 'dev', '--set', 'auth.allowAnonymous=false'], reason: /auth\.existingSecret/ },
  { args: ['-f', 'dev', '--set', 'ingest.replica=2'], reason: /'\/ingest'.*replica/s },
  { args: ['-f', 'dev', '--set', 'nats.replicas=2'], reason: /nats\/replicas/ },
  { args: ['-f', 'dev', '--set', 'lanes=0'], reason: /lanes/ },
  { args: ['-f', 'dev', '--set', 'retention.enabled=true'], reason: /retention\.olderThan/ },
  { args: ['-f', 'three-zone', '--set', 'keda.prometheusUrl='], reason: /keda\.prometheusUrl/ },
];

for (const { args, reason } of REFUSED) {
  test(`refused: ${args.join(' ') || 'no values'}`, { skip: skipHelm }, async () => {
    const paths = args.map((arg) =>
      EXAMPLES.includes(arg) ? path.join(chartDir, `examples/${arg}.yaml`) : arg,
    );
    const { ok, output } = await render(paths);
    assert.ok(!ok, 'it was taken');
    assert.match(output, reason);
  });
}
