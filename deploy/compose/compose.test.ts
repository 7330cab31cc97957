/**
 * Scenario: the files of this directory, read as data.
 * Guarantees: services start with what the file gives them, each thing that is named is there, nothing is
 * reachable from other machines, and what Prometheus scrapes is what runs.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { EnvReader, readCommonConfig } from '../../packages/service-kit/src/index.ts';

interface ComposeService {
  readonly image: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: unknown;
  readonly read_only?: boolean;
  readonly user?: string;
  readonly cap_drop?: readonly string[];
}

interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const OWN = { ingest: 4318, 'trace-export': 4320, query: 4321, 'partition-materializer': 4322 };
const compose = read<ComposeFile>('compose.yaml');

function read<T>(file: string): T {
  const text = readFileSync(path.join(import.meta.dirname, file), 'utf8');
  // As compose does where the variable is not set.
  const filled = text.replaceAll(/\$\{[A-Z0-9_]+:-([^}]*)\}/g, '$1');
  return parse(filled, { merge: true }) as T;
}

test('every service of ours reads its configuration without a complaint', () => {
  for (const name of Object.keys(OWN)) {
    const service = compose.services[name];
    assert.ok(service, name);
    const env = new EnvReader({ TRACELAKE_BIND: '0.0.0.0', ...service.environment });
    const config = readCommonConfig(env);
    assert.deepEqual(env.finish(), [], name);
    const members = config.natsUrl
      .reveal()
      .split(',')
      .map((url) => new URL(url).hostname);
    assert.deepEqual(
      members,
      Object.keys(compose.services).filter((key) => /^nats-/.test(key)),
    );
    assert.equal(config.natsReplicas, members.length);
  }
});

test('services of ours are confined as on Kubernetes', () => {
  for (const name of Object.keys(OWN)) {
    const service = compose.services[name];
    assert.equal(service?.read_only, true, name);
    assert.equal(service?.user, '10001:10001', name);
    assert.deepEqual(service?.cap_drop, ['ALL'], name);
  }
});

test('what is depended on is there, and can be healthy where that is waited for', () => {
  for (const [name, { depends_on = {} }] of Object.entries(compose.services)) {
    for (const [needed, { condition }] of Object.entries(depends_on)) {
      const other = compose.services[needed];
      assert.ok(other, `${name} needs ${needed}`);
      if (condition === 'service_healthy') assert.ok(other.healthcheck, `${needed} has no check`);
    }
  }
});

test('volumes are declared, mounted files exist', () => {
  const used = new Set<string>();
  for (const { volumes = [] } of Object.values(compose.services)) {
    for (const volume of volumes) {
      const source = volume.split(':')[0] ?? '';
      if (!source.startsWith('.')) used.add(source);
      else assert.ok(existsSync(path.join(import.meta.dirname, source)), source);
    }
  }
  assert.deepEqual([...used].toSorted(), Object.keys(compose.volumes).toSorted());
});

test('ports are bound to loopback, ours on their default ports', () => {
  for (const [name, { ports = [] }] of Object.entries(compose.services)) {
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
  }
  for (const [name, port] of Object.entries(OWN)) {
    assert.deepEqual(compose.services[name]?.ports, [`127.0.0.1:${port}:${port}`]);
  }
});

test('images have a version', () => {
  for (const { image } of Object.values(compose.services)) {
    assert.match(image, /^[a-z0-9/-]+:v?\d+(?:\.\d+)*(?:-[a-z0-9]+)?$/);
  }
});

test('Prometheus scrapes every service of ours under the name that rules and dashboards know', () => {
  const { scrape_configs } = read<{
    scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
  }>('prometheus.yaml');
  assert.deepEqual(
    scrape_configs.map(({ job_name, static_configs }) => [job_name, static_configs[0]?.targets[0]]),
    Object.entries(OWN).map(([name, port]) => [name, `${name}:${port}`]),
  );
});
