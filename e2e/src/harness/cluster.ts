/**
 * The twin of deploy/compose/compose.yaml: each service of the file in a container of its own on a private network,
 * with the file's names, commands, variables, volumes, health checks and order. Published ports are bound to loopback,
 * on free ports of this machine, and stay the same when a part is killed and started again.
 */

import { type ComposeFile, readComposeFile } from '../../../deploy/compose/compose-file.ts';
import { findImages, IMAGE_TAG } from './cluster-images.ts';
import { ComposeTwin, DIRECTORY_STORE } from './compose-twin.ts';
import { docker, RUN_LABEL, reap } from './docker-engine.ts';
import { waitUntilReady } from './readiness.ts';

export const serviceParts = ['ingest', 'partition-materializer', 'trace-export', 'query'] as const;
export const natsParts = ['nats-1', 'nats-2', 'nats-3'] as const;

export type ServicePart = (typeof serviceParts)[number];
export type NatsPart = (typeof natsParts)[number];
export type Part = ServicePart | NatsPart | 'postgres';

export interface Replica {
  readonly url: string;
  kill(): Promise<void>;
}

/** A stream as the servers see it. */
export interface StreamState {
  readonly messages: number;
  readonly leader: NatsPart;
  /** The other servers that hold it, and whether they hold all of it. */
  readonly followers: readonly { readonly name: string; readonly current: boolean }[];
}

export interface Cluster extends AsyncDisposable {
  readonly compose: ComposeFile;
  readonly ingestUrl: string;
  readonly exportUrl: string;
  readonly queryUrl: string;
  readonly materializerUrl: string;
  readonly prometheusUrl: string;
  readonly grafanaUrl: string;
  /** Why a service of the file does not run here; undefined when it does. */
  whyMissing(part: string): string | undefined;
  /** Ends a part at once, as a crash does; nothing is flushed. */
  kill(part: Part): Promise<void>;
  /** Asks a part to end as the engine does, and waits for it; gives its exit status. */
  terminate(part: Part): Promise<number>;
  start(part: Part): Promise<void>;
  /** Empties the whole JetStream store: all servers are killed and come back knowing nothing. */
  wipeJetStream(): Promise<void>;
  /** Asks a server that runs. Undefined while the stream has no leader. */
  readStream(name: string, askedPart: NatsPart): Promise<StreamState | undefined>;
  exec(part: Part, command: readonly string[]): Promise<string>;
  /** What the engine says of a service's container, such as `.State.Health.Status`. */
  inspect(part: string, format: string): Promise<string>;
  /** Runs the command line in place of `migrate`; gives what it printed. */
  runCli(args: readonly string[]): Promise<string>;
  /** One more container of a service, with more variables; gives it once it is ready. It goes with the cluster. */
  startReplica(part: ServicePart, environment: Readonly<Record<string, string>>): Promise<Replica>;
  logs(part: Part): Promise<string>;
}

/** Starts everything and waits until each service is ready. */
export async function startCluster(): Promise<Cluster> {
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
  await reap();
  const variables = { TRACELAKE_VERSION: IMAGE_TAG, POSTGRES_PASSWORD: 'e2e-only' };
  const compose = readComposeFile(variables);
  const images = await findImages(compose);
  const name = `tracelake-e2e-${process.pid}`;
  await createNetwork(name);
  for (const volume of [...compose.volumes, DIRECTORY_STORE.volume]) {
    await createVolume(`${name}-${volume}`);
  }
  const twin = new ComposeTwin(name, compose, images);
  try {
    await twin.startAll();
  } catch (error) {
    await reap();
    throw new Error(`the cluster did not start\n${twin.lastLines()}`, { cause: error });
  }
  return openCluster(twin);
}

function openCluster(twin: ComposeTwin): Cluster {
  const { compose } = twin;
  const id = (part: string) => twin.containerOf(part);
  const isService = (part: string) => (serviceParts as readonly string[]).includes(part);
  const kill = async (container: string) => {
    await docker('kill', '--signal', 'KILL', container);
  };
  return {
    compose,
    ingestUrl: twin.urlOf('ingest'),
    exportUrl: twin.urlOf('trace-export'),
    queryUrl: twin.urlOf('query'),
    materializerUrl: twin.urlOf('partition-materializer'),
    prometheusUrl: twin.urlOf('prometheus'),
    grafanaUrl: twin.urlOf('grafana'),
    whyMissing: (part) => twin.whyMissing(part),
    kill: (part) => kill(id(part)),
    terminate: async (part) => {
      await docker('stop', id(part));
      return Number(await docker('wait', id(part)));
    },
    start: async (part) => {
      await docker('start', id(part));
      if (isService(part)) await waitUntilReady(twin.urlOf(part));
    },
    wipeJetStream: () => wipeJetStream(twin),
    readStream: (name, askedPart) => readStream(name, id(askedPart)),
    exec: (part, command) => docker('exec', id(part), ...command),
    inspect: (part, format) => docker('inspect', '--format', `{{${format}}}`, id(part)),
    runCli: async (args) => {
      const { container } = await twin.startExtra('migrate', { command: args });
      return docker('logs', container);
    },
    startReplica: async (part, environment) => {
      const { container, port } = await twin.startExtra(part, { environment });
      return { url: `http://127.0.0.1:${port}`, kill: () => kill(container) };
    },
    logs: (part) => docker('logs', id(part)),
    [Symbol.asyncDispose]: reap,
  };
}

async function wipeJetStream(twin: ComposeTwin): Promise<void> {
  const containers = natsParts.map((part) => twin.containerOf(part));
  await docker('kill', '--signal', 'KILL', ...containers);
  for (const part of natsParts) {
    const image = await docker('inspect', '--format', '{{.Config.Image}}', twin.containerOf(part));
    const volume = `${twin.volumeOf(part)}:/data`;
    const remove = ['--entrypoint', 'rm', image, '-rf', '/data/jetstream'];
    await docker('run', '--rm', '--network', 'none', '--label', RUN_LABEL, '-v', volume, ...remove);
  }
  await docker('start', ...containers);
}

interface ServerStreams {
  readonly account_details?: readonly {
    readonly stream_detail?: readonly {
      readonly name: string;
      readonly state: { readonly messages: number };
      readonly cluster?: {
        readonly leader?: NatsPart;
        readonly replicas?: readonly { readonly name: string; readonly current: boolean }[];
      };
    }[];
  }[];
}

async function readStream(name: string, container: string): Promise<StreamState | undefined> {
  const url = 'http://127.0.0.1:8222/jsz?accounts=true&streams=true';
  const answer = await docker('exec', container, 'wget', '-q', '-O', '-', url);
  const { account_details = [] } = JSON.parse(answer) as ServerStreams;
  const streams = account_details.flatMap(({ stream_detail = [] }) => stream_detail);
  const stream = streams.find((one) => one.name === name);
  const leader = stream?.cluster?.leader;
  if (stream === undefined || leader === undefined) return undefined;
  return { messages: stream.state.messages, leader, followers: stream.cluster?.replicas ?? [] };
}

/** A network whose published ports are bound to loopback: the daemon's own setting covers only its default. */
async function createNetwork(name: string): Promise<void> {
  const binding = 'com.docker.network.bridge.host_binding_ipv4=127.0.0.1';
  await docker('network', 'create', '--label', RUN_LABEL, '-o', binding, name);
}

async function createVolume(name: string): Promise<void> {
  await docker('volume', 'create', '--label', RUN_LABEL, name);
}
