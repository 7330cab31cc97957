/**
 * Scenario: the files of this directory, read as data.
 * Guarantees: services start with what the file gives them, in an order that ends; each thing that is named is there and
 * can be written where it must be; nothing is reachable from other machines; secrets are nowhere but in variables; what
 * Prometheus scrapes and Grafana shows is what runs. That the parts do work together is for e2e/src/cluster.e2e.ts.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { EnvReader, readCommonConfig } from '../../packages/service-kit/src/index.ts';
import { COMPONENTS, imageOf } from '../docker/build-images.ts';
import { hasStandIn } from '../docker/server-images.ts';
import { type ComposeService, composeDir, readComposeFile } from './compose-file.ts';

const OWN = { ingest: 4318, 'trace-export': 4320, query: 4321, 'partition-materializer': 4322 };
const NATS = ['nats-1', 'nats-2', 'nats-3'];
/** Where the servers that are not ours listen, by their images or by a file of this directory. */
const LISTENS: Readonly<Record<string, readonly number[]>> = {
  ...Object.fromEntries(Object.entries(OWN).map(([name, port]) => [name, [port]])),
  ...Object.fromEntries(NATS.map((name) => [name, [4222, 6222, 8222]])),
  postgres: [5432],
  'object-store': [7070],
  prometheus: [9090],
  grafana: [3000],
};
const { services, volumes } = readComposeFile();
const entries = Object.entries(services);
const natsConfig = readText('nats.conf');

/** A service as `docker compose config` shows it. */
interface ResolvedService {
  readonly image: string;
  readonly command?: readonly string[] | null;
  readonly environment?: Readonly<Record<string, string>>;
  readonly read_only?: boolean;
  readonly user?: string;
  readonly cap_drop?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly volumes?: readonly { readonly source: string; readonly target: string }[];
}

function readText(file: string): string {
  return readFileSync(path.join(composeDir, file), 'utf8');
}

function serviceOf(name: string): ComposeService {
  const service = services[name];
  assert.ok(service, `no service ${name}`);
  return service;
}

/** The file or directory of this repository that a service has at a path. */
function mountedAt(service: string, target: string): string {
  const mount = serviceOf(service).mounts.find((one) => one.target === target);
  assert.equal(mount?.kind, 'file', `${service} has nothing of ours at ${target}`);
  return mount?.source ?? '';
}

/** A service with that name listens on that port. */
function assertListens(hostAndPort: string): void {
  const [host = '', port] = hostAndPort.split(':');
  assert.ok(services[host], `nobody is called ${host}`);
  assert.ok(LISTENS[host]?.includes(Number(port)), `${host} does not listen on ${port}`);
}

test('Docker Compose reads the file as these tests do', (context) => {
  const command = [
    'compose',
    '-f',
    path.join(composeDir, 'compose.yaml'),
    'config',
    '--format',
    'json',
  ];
  const { HOME = '/', PATH = '', DOCKER_CONFIG = path.join(HOME, '.docker') } = process.env;
  const options = { encoding: 'utf8', env: { HOME, PATH, DOCKER_CONFIG } } as const;
  if (spawnSync('docker', ['compose', 'version'], options).status !== 0) {
    return context.skip('Docker Compose is not installed');
  }
  const config = spawnSync('docker', command, options);
  assert.equal(config.status, 0, config.stderr);
  const theirs = (JSON.parse(config.stdout) as { services: Record<string, ResolvedService> })
    .services;
  assert.deepEqual(Object.keys(theirs).toSorted(), Object.keys(services).toSorted());
  for (const [name, ours] of entries) {
    const service = theirs[name];
    assert.equal(service?.image, ours.image);
    assert.deepEqual(service?.command ?? undefined, ours.command);
    assert.deepEqual(service?.environment ?? {}, ours.environment);
    assert.equal(service?.read_only ?? false, ours.readOnly);
    assert.equal(service?.user, ours.user);
    assert.deepEqual(service?.cap_drop ?? [], ours.droppedCapabilities);
    assert.deepEqual(service?.healthcheck?.test, ours.healthcheck?.test);
    const needed = Object.entries(service?.depends_on ?? {});
    const conditions = needed.map(([other, { condition }]) => [other, condition] as const);
    assert.deepEqual(new Map(conditions), ours.dependsOn);
    const mounts = service?.volumes?.map(({ source, target }) => [source, target]) ?? [];
    assert.deepEqual(
      mounts,
      ours.mounts.map(({ source, target }) => [source, target]),
    );
  }
});

test('every service of ours reads its configuration without a complaint', () => {
  for (const name of Object.keys(OWN)) {
    const env = new EnvReader({ TRACELAKE_BIND: '0.0.0.0', ...serviceOf(name).environment });
    const config = readCommonConfig(env);
    assert.deepEqual(env.finish(), [], name);
    assert.equal(config.natsReplicas, NATS.length);
  }
});

test('every address that a service is given is that of another', () => {
  for (const [, { environment }] of entries) {
    const text = Object.values(environment).join(' ').replaceAll('s3://', '');
    const urls = [...text.matchAll(/\w+:\/\/(?:[^@/\s,]*@)?([\w-]+:\d+)/g)];
    for (const [, hostAndPort = ''] of urls) assertListens(hostAndPort);
  }
  const { environment } = serviceOf('ingest');
  for (const name of ['TRACELAKE_DATABASE_URL', 'TRACELAKE_S3_ENDPOINT_URL']) {
    assert.match(environment[name] ?? '', /\/\/.*[\w-]+:\d+/);
  }
  const members = (environment.TRACELAKE_NATS_URL ?? '').split(',').map((url) => new URL(url));
  assert.deepEqual(
    members.map(({ hostname }) => hostname),
    NATS,
  );
});

test('services of ours, and what migrates, are confined as on Kubernetes', () => {
  for (const name of [...Object.keys(OWN), 'migrate']) {
    const service = serviceOf(name);
    assert.equal(service.readOnly, true, name);
    assert.equal(service.user, '10001:10001', name);
    assert.deepEqual(service.droppedCapabilities, ['ALL'], name);
    assert.deepEqual(service.securityOptions, ['no-new-privileges:true'], name);
    assert.deepEqual(service.tmpfs, ['/tmp'], name);
  }
});

describe('the order of the start', () => {
  test('comes to an end', () => {
    const settled = new Set<string>();
    for (let before = -1; before < settled.size; ) {
      before = settled.size;
      for (const [name, { dependsOn }] of entries) {
        if ([...dependsOn.keys()].every((needed) => settled.has(needed))) settled.add(name);
      }
    }
    assert.deepEqual(
      Object.keys(services).filter((name) => !settled.has(name)),
      [],
    );
  });

  test('waits for what can come', () => {
    for (const [name, { dependsOn }] of entries) {
      for (const [needed, condition] of dependsOn) {
        const { healthcheck, restart } = serviceOf(needed);
        const ends = condition === 'service_completed_successfully';
        assert.equal(restart === undefined, ends, `${name} waits for ${needed} to ${condition}`);
        if (condition === 'service_healthy') assert.ok(healthcheck, `${needed} has no check`);
      }
    }
  });

  test('has the schema made before a service of ours starts, and by one alone', () => {
    for (const name of Object.keys(OWN)) {
      const { dependsOn } = serviceOf(name);
      assert.equal(dependsOn.get('migrate'), 'service_completed_successfully', name);
      // One of three alone is never healthy: `up ingest` must start them all.
      for (const server of NATS) assert.equal(dependsOn.get(server), 'service_healthy', name);
    }
    assert.equal(serviceOf('migrate').dependsOn.get('postgres'), 'service_healthy');
  });
});

test('a service that should last comes back by itself, and one that ends does not', () => {
  const ending = entries.filter(([, { restart }]) => restart === undefined).map(([name]) => name);
  assert.deepEqual(ending, ['migrate', 'bucket']);
  for (const [name, { restart }] of entries) {
    if (!ending.includes(name)) assert.equal(restart, 'unless-stopped', name);
  }
});

describe('health checks', () => {
  test('are commands that fail in time', () => {
    for (const [name, { healthcheck }] of entries) {
      if (healthcheck === undefined) continue;
      assert.equal(healthcheck.test[0], 'CMD', name);
      assert.ok(healthcheck.timeoutMs <= healthcheck.intervalMs, name);
      assert.ok(healthcheck.retries * healthcheck.intervalMs >= 30_000, `${name} has no time`);
    }
  });

  test('of NATS ask the port that nats.conf opens', () => {
    const port = /^http: 0\.0\.0\.0:(\d+)$/m.exec(natsConfig)?.[1];
    for (const name of NATS) {
      const url = serviceOf(name).healthcheck?.test.at(-1) ?? '';
      assert.equal(url, `http://127.0.0.1:${port}/healthz`, name);
    }
  });

  test('of Postgres ask by the network, as the user that exists', () => {
    const { healthcheck, environment } = serviceOf('postgres');
    const command = ['CMD', 'pg_isready', '-h', '127.0.0.1', '-U', environment.POSTGRES_USER];
    assert.deepEqual(healthcheck?.test, command);
  });

  test('of ours are in their image, and ask the default port', () => {
    assert.match(
      readText('../docker/Dockerfile'),
      /^HEALTHCHECK .*\\\n {2}CMD \["node", "\/app\/healthcheck\.mjs"\]$/m,
    );
    const script = readText('../docker/healthcheck.mjs');
    for (const [name, port] of Object.entries(OWN)) {
      assert.match(script, new RegExp(`'?${name}'?: \\['\\w+', ${port}\\]`));
    }
  });
});

describe('volumes', () => {
  const mounts = entries.flatMap(([name, service]) =>
    service.mounts.map((mount) => ({ name, ...mount })),
  );

  test('are declared, and each belongs to one service', () => {
    const owners = new Map<string, string[]>(volumes.map((volume) => [volume, []]));
    for (const { name, source, kind } of mounts) {
      if (kind === 'file') continue;
      assert.ok(owners.has(source), `${source} is not declared`);
      owners.get(source)?.push(name);
    }
    // What makes the bucket and what serves it share a directory.
    assert.deepEqual(owners.get('objects'), ['object-store', 'bucket']);
    owners.delete('objects');
    for (const [volume, names] of owners) assert.equal(names.length, 1, `${volume}: ${names}`);
  });

  test('that are files of this repository exist, and cannot be written', () => {
    for (const { name, source, kind, readOnly } of mounts) {
      if (kind === 'volume') continue;
      assert.ok(existsSync(source), `${name}: ${source}`);
      assert.ok(readOnly, `${name} may write ${source}`);
    }
  });

  test('of services of ours lie where the image has a directory of theirs', () => {
    const dockerfile = readText('../docker/Dockerfile');
    for (const { name, target, source } of mounts) {
      if (!(name in OWN)) continue;
      const owned = `COPY --chown=${serviceOf(name).user} empty ${target}\n`;
      assert.ok(dockerfile.includes(owned), `${name} cannot write ${source} at ${target}`);
    }
  });

  test('of servers lie where they write', () => {
    const target = (name: string) =>
      serviceOf(name).mounts.find(({ kind }) => kind === 'volume')?.target;
    assert.equal(/^\s*store_dir: (\S+)$/m.exec(natsConfig)?.[1], target('nats-1'));
    assert.equal(serviceOf('object-store').command?.at(-1), target('object-store'));
    assert.ok(
      serviceOf('prometheus').command?.includes(`--storage.tsdb.path=${target('prometheus')}`),
    );
  });
});

test('ports are bound to loopback, ours on their default ports', () => {
  for (const [name, { ports }] of entries) {
    for (const { address, host, container } of ports) {
      assert.equal(address, '127.0.0.1', name);
      assert.equal(host, container, name);
      assert.ok(LISTENS[name]?.includes(container), `${name} does not listen on ${container}`);
    }
  }
  for (const [name, port] of Object.entries(OWN)) {
    assert.deepEqual(
      serviceOf(name).ports.map(({ container }) => container),
      [port],
    );
  }
});

describe('images', () => {
  const version = (JSON.parse(readText('../../package.json')) as { version: string }).version;
  const own = COMPONENTS.map((component) => imageOf(component, version));

  test('of ours are those that build-images.ts builds, in the version of this tree', () => {
    const named = entries
      .map(([, { image }]) => image)
      .filter((image) => /^tracelake-/.test(image));
    assert.deepEqual(named.toSorted(), own.toSorted());
    for (const name of Object.keys(OWN))
      assert.equal(serviceOf(name).image, imageOf(name, version));
  });

  test('of others have a version, and a stand-in where no registry answers, save Grafana', () => {
    for (const [name, { image }] of entries) {
      assert.match(image, /^[a-z0-9/-]+:v?\d+(?:\.\d+)*(?:-[a-z0-9]+)?$/);
      if (!own.includes(image)) assert.equal(hasStandIn(image), name !== 'grafana', image);
    }
  });
});

test('secrets are nowhere but in variables, and both sides get the same', () => {
  const secrets = {
    POSTGRES_PASSWORD: 'a-password',
    S3_ACCESS_KEY: 'an-access-key',
    S3_SECRET_KEY: 'a-secret-key',
  };
  const given = readComposeFile(secrets).services;
  for (const [name, { environment }] of Object.entries(given)) {
    for (const [variable, value] of Object.entries(environment)) {
      if (!/PASSWORD|SECRET|_KEY/.test(variable)) continue;
      const isGiven = Object.values(secrets).includes(value);
      assert.ok(isGiven, `${name}: ${variable} is written in the file`);
    }
    const url = environment.TRACELAKE_DATABASE_URL;
    if (url !== undefined) assert.equal(new URL(url).password, secrets.POSTGRES_PASSWORD, name);
  }
  const { ROOT_ACCESS_KEY, ROOT_SECRET_KEY } = given['object-store']?.environment ?? {};
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = given.ingest?.environment ?? {};
  assert.deepEqual([AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY], [ROOT_ACCESS_KEY, ROOT_SECRET_KEY]);
});

test('Postgres has the database and the user that services ask for', () => {
  const { POSTGRES_USER, POSTGRES_DB } = serviceOf('postgres').environment;
  const url = new URL(serviceOf('ingest').environment.TRACELAKE_DATABASE_URL ?? '');
  assert.deepEqual([url.username, url.pathname], [POSTGRES_USER, `/${POSTGRES_DB}`]);
});

test('the bucket that services use is made before the store is up', () => {
  const { hostname } = new URL(serviceOf('ingest').environment.TRACELAKE_OBJECT_STORE_URL ?? '');
  const directory = serviceOf('object-store').command?.at(-1);
  assert.equal(serviceOf('bucket').command?.at(-1), `${directory}/${hostname}`);
  const condition = serviceOf('object-store').dependsOn.get('bucket');
  assert.equal(condition, 'service_completed_successfully');
});

test('the NATS servers know each other by their names', () => {
  const routes = [...natsConfig.matchAll(/nats:\/\/([\w-]+:\d+)/g)].map(([, route = '']) => route);
  assert.deepEqual(
    routes,
    NATS.map((name) => `${name}:6222`),
  );
  assert.match(natsConfig, /^server_name: \$NATS_NAME$/m);
  for (const name of NATS) {
    assert.equal(serviceOf(name).environment.NATS_NAME, name);
    assert.deepEqual(serviceOf(name).command, ['-c', '/etc/nats/nats.conf']);
    assert.equal(mountedAt(name, '/etc/nats/nats.conf'), path.join(composeDir, 'nats.conf'));
  }
});

describe('Prometheus', () => {
  const file = mountedAt('prometheus', '/etc/prometheus/prometheus.yaml');
  const { scrape_configs, rule_files } = parse(readFileSync(file, 'utf8')) as {
    scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
    rule_files: string[];
  };

  test('reads the file that is mounted', () => {
    const flag = '--config.file=/etc/prometheus/prometheus.yaml';
    assert.ok(serviceOf('prometheus').command?.includes(flag));
  });

  test('scrapes every service of ours under the name that rules and dashboards know', () => {
    assert.deepEqual(
      scrape_configs.map(({ job_name, static_configs }) => [
        job_name,
        static_configs.map(({ targets }) => targets),
      ]),
      Object.entries(OWN).map(([name, port]) => [name, [[`${name}:${port}`]]]),
    );
  });

  test('loads the rules of deploy/alerts, and not their tests', () => {
    const [pattern = '', ...others] = rule_files;
    assert.deepEqual(others, []);
    const directory = mountedAt('prometheus', path.dirname(pattern));
    const loaded = globSync(path.basename(pattern), { cwd: directory });
    assert.deepEqual(loaded, ['tracelake.rules.yaml']);
  });
});

describe('Grafana', () => {
  const provisioning = '/etc/grafana/provisioning';
  const { datasources } = parse(
    readFileSync(mountedAt('grafana', `${provisioning}/datasources/tracelake.yaml`), 'utf8'),
  ) as { datasources: { type: string; url: string; isDefault: boolean; access: string }[] };
  const { providers } = parse(
    readFileSync(mountedAt('grafana', `${provisioning}/dashboards/tracelake.yaml`), 'utf8'),
  ) as { providers: { type: string; options: { path: string } }[] };

  test('asks the Prometheus of this file, itself and by default', () => {
    const [source, ...others] = datasources;
    assert.deepEqual(others, []);
    assert.equal(source?.type, 'prometheus');
    assert.equal(source?.isDefault, true);
    assert.equal(source?.access, 'proxy');
    assertListens((source?.url ?? '').replace('http://', ''));
  });

  test('finds every dashboard, and the dashboards find the data source', () => {
    const [provider] = providers;
    assert.equal(provider?.type, 'file');
    const directory = mountedAt('grafana', provider?.options.path ?? '');
    assert.ok(statSync(directory).isDirectory());
    const files = readdirSync(directory).filter((file) => /\.json$/.test(file));
    assert.ok(files.length >= 5);
    for (const file of files) {
      const text = readFileSync(path.join(directory, file), 'utf8');
      const asked = [...text.matchAll(/"datasource":\s*\{[^}]*"type":\s*"(\w+)"/g)];
      assert.ok(asked.length > 0, file);
      for (const [, type = ''] of asked) {
        assert.ok(['prometheus', 'grafana'].includes(type), `${file} asks ${type}`);
      }
    }
  });

  test('lets nobody change anything without logging in', () => {
    assert.equal(serviceOf('grafana').environment.GF_AUTH_ANONYMOUS_ORG_ROLE, 'Viewer');
  });
});
