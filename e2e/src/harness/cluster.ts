/**
 * The whole system, each part in a container of its own on a private network: Postgres, nats-server, ingest,
 * partition-materializer, trace-export, query. Published ports are bound to loopback and stay the same when a part is
 * killed and started again.
 */

import { join } from 'node:path';
import { findNatsBinary } from '@tracelake/local-servers';
import { GenericContainer, type StartedTestContainer, Wait } from 'testcontainers';
import { buildServiceImages, ensureServerImages } from '../../../deploy/docker/build-images.ts';
import { docker, RUN_LABEL, reap } from './docker-engine.ts';
import { freePort } from './free-port.ts';
import { waitUntilReady } from './readiness.ts';

export type Part =
  | 'postgres'
  | 'nats'
  | 'ingest'
  | 'partition-materializer'
  | 'trace-export'
  | 'query';

type ServicePart = Exclude<Part, 'postgres' | 'nats'>;

const PASSWORD = 'e2e-only';
const CONTAINER_PORT: Record<Part, number> = {
  postgres: 5432,
  nats: 4222,
  ingest: 4318,
  'trace-export': 4320,
  query: 4321,
  'partition-materializer': 4322,
};

interface Images {
  readonly postgres: string;
  readonly nats: string;
  readonly services: Readonly<Record<string, string>>;
}

export interface Cluster extends AsyncDisposable {
  readonly ingestUrl: string;
  readonly exportUrl: string;
  readonly queryUrl: string;
  readonly materializerUrl: string;
  /** Ends a part at once, as a crash does; nothing is flushed. */
  kill(part: Part): Promise<void>;
  /** Asks a part to end and waits for it; gives its exit status. */
  terminate(part: Part): Promise<number>;
  start(part: Part): Promise<void>;
  /** Empties the whole JetStream store: nats-server is killed and comes back knowing nothing. */
  wipeJetStream(): Promise<void>;
  exec(part: Part, command: string[]): Promise<string>;
  /** Runs the image of the command line inside the network, confined as in Kubernetes; gives what it printed. */
  runCli(args: readonly string[]): Promise<string>;
  /**
   * One more container of a service, confined as in Kubernetes: read-only root, no capabilities, not root.
   * Gives its URL once it is ready; it goes with the cluster.
   */
  startReplica(part: ServicePart, environment: Readonly<Record<string, string>>): Promise<string>;
  logs(part: Part): Promise<string>;
  /** Resident memory of a service's process in bytes. */
  residentBytes(part: Part): Promise<number>;
}

/** Starts everything and waits until each service is ready. */
export async function startCluster(): Promise<Cluster> {
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
  await reap();
  const images = await buildImages();
  const ports = await choosePorts();
  const network = await createNetwork();
  const volume = await docker('volume', 'create', '--label', RUN_LABEL);
  const started = new Map<Part, StartedTestContainer>();
  const lastLines = new Map<Part, string[]>();
  const run = async (part: Part) => {
    const hostPort = ports[part];
    const log: string[] = [];
    lastLines.set(part, log);
    started.set(part, await startPart({ part, images, network, volume, hostPort, log }));
  };
  try {
    await Promise.all([run('postgres'), run('nats')]);
    // One migrates, the others find the tables made; they wait for each other under a lock anyway.
    const services = ['ingest', 'partition-materializer', 'trace-export', 'query'] as const;
    await Promise.all(services.map(run));
  } catch (error) {
    await reap();
    const reports = [...lastLines].map(([part, log]) => `${part}:\n${log.join('\n')}`);
    throw new Error(`the cluster did not start\n${reports.join('\n')}`, { cause: error });
  }
  return openCluster(started, ports, { images, network, volume });
}

interface Place {
  readonly images: Images;
  readonly network: string;
  readonly volume: string;
}

function openCluster(
  started: ReadonlyMap<Part, StartedTestContainer>,
  ports: Readonly<Record<Part, number>>,
  place: Place,
): Cluster {
  const url = (part: Part) => `http://127.0.0.1:${ports[part]}`;
  const id = (part: Part) => {
    const container = started.get(part);
    if (container === undefined) throw new Error(`${part} was never started`);
    return container.getId();
  };
  const start = async (part: Part) => {
    await docker('start', id(part));
    if (part !== 'postgres' && part !== 'nats') await waitUntilReady(url(part));
  };
  return {
    ingestUrl: url('ingest'),
    exportUrl: url('trace-export'),
    queryUrl: url('query'),
    materializerUrl: url('partition-materializer'),
    kill: async (part) => {
      await docker('kill', '--signal', 'KILL', id(part));
    },
    terminate: async (part) => {
      await docker('kill', '--signal', 'TERM', id(part));
      return Number(await docker('wait', id(part)));
    },
    start,
    wipeJetStream: async () => {
      // The server goes on writing while its files go, so one pass may find a directory filled again.
      const remove =
        'for n in 1 2 3 4 5 6 7 8 9; do rm -rf /data/jetstream && exit 0; done; exit 1';
      await docker('exec', id('nats'), 'sh', '-c', remove);
      await docker('kill', '--signal', 'KILL', id('nats'));
      await docker('start', id('nats'));
    },
    exec: (part, command) => docker('exec', id(part), ...command),
    runCli: (args) => docker('run', '--rm', ...confinedArgs(place), cliImageOf(place), ...args),
    startReplica: (part, environment) => startReplica(part, environment, place),
    logs: (part) => docker('logs', id(part)),
    residentBytes: async (part) => {
      const status = await docker('exec', id(part), 'cat', '/proc/1/status');
      const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
      if (kilobytes === undefined) throw new Error(`no VmRSS for ${part}`);
      return Number(kilobytes) * 1024;
    },
    [Symbol.asyncDispose]: reap,
  };
}

async function startReplica(
  part: ServicePart,
  environment: Readonly<Record<string, string>>,
  place: Place,
): Promise<string> {
  const hostPort = await freePort();
  const publish = ['-p', `127.0.0.1:${hostPort}:${CONTAINER_PORT[part]}`];
  const image = imageOf(part, place.images);
  await docker('run', '-d', ...publish, ...confinedArgs(place, environment), image);
  const url = `http://127.0.0.1:${hostPort}`;
  await waitUntilReady(url);
  return url;
}

/** What the Helm chart's security contexts come to. */
function confinedArgs(
  { network, volume }: Place,
  environment: Readonly<Record<string, string>> = {},
): string[] {
  const variables = { ...serviceEnvironment(network), ...environment };
  return [
    ...['--read-only', '--tmpfs', '/tmp', '--cap-drop', 'ALL'],
    ...['--security-opt', 'no-new-privileges', '--user', '10001:10001'],
    ...['--network', network, '--label', RUN_LABEL, '-v', `${volume}:/data`],
    ...Object.entries(variables).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
  ];
}

function cliImageOf({ images }: Place): string {
  const image = images.services.cli;
  if (image === undefined) throw new Error('no image was built for the command line');
  return image;
}

interface PartOptions {
  readonly part: Part;
  readonly images: Images;
  readonly network: string;
  readonly volume: string;
  readonly hostPort: number;
  /** Gets the last lines that the part prints while it starts: a container that fails is gone with its log. */
  readonly log: string[];
}

const LINES_KEPT = 30;

async function startPart({ part, images, network, volume, hostPort, log }: PartOptions) {
  const container = new GenericContainer(imageOf(part, images))
    .withName(hostNameOf(part, network))
    .withNetworkMode(network)
    .withLabels({ [RUN_LABEL]: part })
    .withLogConsumer((stream) => {
      stream.on('data', (line: string) => {
        log.push(line.trimEnd());
        if (log.length > LINES_KEPT) log.shift();
      });
    })
    .withExposedPorts({ container: CONTAINER_PORT[part], host: hostPort })
    .withStartupTimeout(60_000);
  if (part === 'postgres') {
    return container
      .withEnvironment({ POSTGRES_PASSWORD: PASSWORD })
      .withWaitStrategy(Wait.forLogMessage(/database system is ready to accept connections/))
      .start();
  }
  if (part === 'nats') {
    return container
      .withCommand(['-js', '-sd', '/data', '-p', '4222'])
      .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
      .start();
  }
  return container
    .withEnvironment(serviceEnvironment(network))
    .withBindMounts([{ source: volume, target: '/data', mode: 'rw' }])
    .withWaitStrategy(Wait.forHttp('/readyz', CONTAINER_PORT[part]).forStatusCode(200))
    .start();
}

/** A container's name is its host name on the network; an alias would put it on the default bridge as well. */
function hostNameOf(part: Part, network: string): string {
  return `${network}-${part}`;
}

function serviceEnvironment(network: string): Record<string, string> {
  return {
    TRACELAKE_ALLOW_ANONYMOUS: 'true',
    TRACELAKE_BIND: '0.0.0.0',
    TRACELAKE_DATABASE_URL: `postgres://postgres:${PASSWORD}@${hostNameOf('postgres', network)}:5432/postgres`,
    TRACELAKE_NATS_URL: `nats://${hostNameOf('nats', network)}:4222`,
    TRACELAKE_OBJECT_STORE_URL: 'file:///data/objects',
  };
}

function imageOf(part: Part, images: Images): string {
  if (part === 'postgres' || part === 'nats') return images[part];
  const image = images.services[part];
  if (image === undefined) throw new Error(`no image was built for ${part}`);
  return image;
}

async function buildImages(): Promise<Images> {
  const log = (line: string) => console.error(`# ${line}`);
  const built = await buildServiceImages({ tag: 'e2e', log });
  const servers = await ensureServerImages({
    tag: 'e2e',
    base: built.base,
    local: !built.pulled,
    natsServerPath: findNatsServerPath,
    log,
  });
  return { ...servers, services: built.services };
}

async function findNatsServerPath(): Promise<string> {
  const binary = await findNatsBinary({
    searchPath: process.env.PATH ?? '',
    cacheDir: join(import.meta.dirname, '../../../node_modules/.cache/tracelake'),
    signal: undefined,
    log: (line) => console.error(`# ${line}`),
    mayInstall: true,
  });
  return binary.path;
}

/** A network whose published ports are bound to loopback: the daemon's own setting covers only its default. */
async function createNetwork(): Promise<string> {
  const name = `tracelake-e2e-${process.pid}`;
  await docker(
    'network',
    'create',
    '--label',
    RUN_LABEL,
    '-o',
    'com.docker.network.bridge.host_binding_ipv4=127.0.0.1',
    name,
  );
  return name;
}

async function choosePorts(): Promise<Record<Part, number>> {
  const [postgres, nats, ingest, materializer, traceExport, query] = await Promise.all(
    Array.from({ length: 6 }, freePort),
  );
  return {
    postgres: postgres ?? 0,
    nats: nats ?? 0,
    ingest: ingest ?? 0,
    'partition-materializer': materializer ?? 0,
    'trace-export': traceExport ?? 0,
    query: query ?? 0,
  };
}
