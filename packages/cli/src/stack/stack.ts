/**
 * The whole system on one machine, supervised: Postgres and nats-server where none are given, then the
 * services as child processes. Disposing of it stops the services first and the servers last.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { startNats, startPostgres } from '@tracelake/local-servers';
import { ensureLakeSettings, migrate, openDatabase } from '@tracelake/storage';
import { CliError } from '../cli-error.ts';
import { type ServiceName, type ServiceUrls, servicePorts } from '../client/service-endpoints.ts';
import { lockDataDir } from './data-dir-lock.ts';
import { KeptServer } from './kept-server.ts';
import { LogFile } from './log-file.ts';
import { claimPorts, probeHost } from './ports.ts';
import { ServiceProcess } from './service-process.ts';
import { cloneDir, type StackSettings, serviceEnvironment } from './stack-settings.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface StackOptions {
  readonly settings: StackSettings;
  readonly env: Environment;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface Stack extends AsyncDisposable {
  readonly urls: ServiceUrls;
  /** With the ports that were chosen where the settings left them open. */
  readonly settings: StackSettings;
  /** Which Postgres and which nats-server were taken, for a person to read. */
  readonly parts: readonly string[];
  readonly logDir: string;
  /** Rejects when something ended that starting again does not mend; otherwise never settles. */
  readonly hopeless: Promise<never>;
}

const serviceDirs: Readonly<Record<ServiceName, string>> = {
  materializer: 'partition-materializer',
  ingest: 'ingest',
  'trace-export': 'trace-export',
  query: 'query',
};
const readyTimeoutMs = 90_000;
/** Beyond the grace that a service takes for itself. */
const killMarginMs = 5_000;

/** Starts everything and returns once every service is ready. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { env, signal, say } = options;
  await using started = new AsyncDisposableStack();
  started.use(await lockDataDir(options.settings.dataDir));
  const ports = await claimPorts(options.settings.bind, options.settings.ports);
  const settings = { ...options.settings, ports };
  const logDir = path.join(settings.dataDir, 'logs');
  mkdirSync(logDir, { recursive: true });
  const openLog = (name: string) => started.use(new LogFile(path.join(logDir, `${name}.log`)));

  const postgres = await startDatabase(settings, { env, signal, say, log: openLog('postgres') });
  if (postgres.server !== undefined) started.use(postgres.server);
  const nats = await startBus(settings, { env, signal, say, log: openLog('nats-server') });
  if (nats.server !== undefined) started.use(nats.server);
  await prepareDatabase(postgres.url, settings.lanes, signal);

  const serviceEnv = serviceEnvironment(settings, { database: postgres.url, nats: nats.url }, env);
  const hopeless = Promise.withResolvers<never>();
  hopeless.promise.catch(() => {});
  const urls = urlsOf(settings);
  const services = (Object.keys(serviceDirs) as ServiceName[]).map(
    (name) =>
      new ServiceProcess({
        name,
        main: path.join(cloneDir, 'services', serviceDirs[name], 'src/main.ts'),
        env: serviceEnv,
        url: urls[name],
        log: openLog(name),
        say,
        onHopeless: hopeless.reject,
      }),
  );
  started.defer(() => stopServices(services, settings.shutdownGraceS * 1000 + killMarginMs));
  say(`starting ${services.map((service) => service.name).join(', ')}`);
  for (const service of services) service.start();
  await untilReady(services, hopeless.promise, signal);

  const owned = started.move();
  return {
    urls,
    settings,
    logDir,
    parts: [postgres.description, nats.description, `Objects in ${settings.objectStoreUrl}`],
    hopeless: hopeless.promise,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Waits for all of them; the first that cannot be ends the waiting for the others. */
async function untilReady(
  services: readonly ServiceProcess[],
  hopeless: Promise<never>,
  signal: AbortSignal,
): Promise<void> {
  const given = new AbortController();
  const waitSignal = AbortSignal.any([signal, given.signal]);
  const waits = services.map((service) => service.waitUntilReady(readyTimeoutMs, waitSignal));
  try {
    await Promise.race([Promise.all(waits), hopeless]);
  } finally {
    given.abort();
    await Promise.allSettled(waits);
  }
}

interface PartContext {
  readonly env: Environment;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  readonly log: LogFile;
}

interface StartedPart {
  readonly url: string;
  readonly description: string;
  readonly server: KeptServer | undefined;
}

async function startDatabase(settings: StackSettings, part: PartContext): Promise<StartedPart> {
  if (settings.databaseUrl !== undefined) {
    const description = `Postgres at ${withoutPassword(settings.databaseUrl)} (TRACELAKE_DATABASE_URL)`;
    return { url: settings.databaseUrl, description, server: undefined };
  }
  part.say('starting Postgres');
  const server = await KeptServer.start({
    name: 'Postgres',
    say: part.say,
    start: (port) =>
      startPostgres({
        dataDir: path.join(settings.dataDir, 'postgres'),
        ...(port === undefined ? {} : { port }),
        log: (line) => part.log.write(`${line}\n`),
        signal: part.signal,
        searchPath: part.env.PATH ?? '',
      }),
  });
  return { url: server.url, description: server.description, server };
}

async function startBus(settings: StackSettings, part: PartContext): Promise<StartedPart> {
  if (settings.natsUrl !== undefined) {
    const description = `NATS at ${withoutPassword(settings.natsUrl)} (TRACELAKE_NATS_URL)`;
    return { url: settings.natsUrl, description, server: undefined };
  }
  part.say('starting nats-server (it is installed first where there is none)');
  const server = await KeptServer.start({
    name: 'nats-server',
    say: part.say,
    start: (port) =>
      startNats({
        storeDir: path.join(settings.dataDir, 'nats'),
        cacheDir: path.join(settings.dataDir, 'cache'),
        searchPath: part.env.PATH ?? '',
        ...(port === undefined ? {} : { port }),
        log: (line) => part.log.write(`${line}\n`),
        signal: part.signal,
      }),
  });
  return { url: server.url, description: server.description, server };
}

/** Brings the schema up to date before any service looks at it. */
async function prepareDatabase(url: string, lanes: number, signal: AbortSignal): Promise<void> {
  await using database = openDatabase(url);
  try {
    await migrate(database, signal);
    await ensureLakeSettings(database, { lanes }, signal);
  } catch (cause) {
    if (signal.aborted) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(
      'cli.stack',
      `the database at ${withoutPassword(url)} cannot be prepared: ${reason}`,
      { cause },
    );
  }
}

/** Those that clients talk to first, so that nothing new comes while the materializer finishes. */
async function stopServices(services: readonly ServiceProcess[], graceMs: number): Promise<void> {
  const isLast = (service: ServiceProcess) => service.name === 'materializer';
  for (const group of [services.filter((s) => !isLast(s)), services.filter(isLast)]) {
    await Promise.all(group.map((service) => service.stop(graceMs)));
  }
}

function urlsOf({ bind, ports }: StackSettings): ServiceUrls {
  const url = (name: ServiceName) => `http://${probeHost(bind)}:${ports[name]}`;
  return {
    ingest: url('ingest'),
    'trace-export': url('trace-export'),
    query: url('query'),
    materializer: url('materializer'),
  };
}

/** The variables that a later command needs to find this stack, as a prefix for a shell. */
export function portVariables(ports: Readonly<Record<ServiceName, number>>): string {
  return (Object.keys(ports) as ServiceName[])
    .filter((name) => ports[name] !== servicePorts[name].defaultPort)
    .map((name) => `${servicePorts[name].variable}=${ports[name]} `)
    .join('');
}

function withoutPassword(url: string): string {
  if (!URL.canParse(url)) return 'the URL given';
  const parsed = new URL(url);
  parsed.password = '';
  parsed.username = '';
  parsed.search = '';
  return parsed.href;
}
