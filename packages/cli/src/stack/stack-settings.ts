import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type CommonConfig, EnvReader, readCommonConfig } from '@tracelake/service-kit';
import { type ServiceName, servicePorts } from '../client/service-endpoints.ts';
import type { CommandArguments } from '../command.ts';

/** The clone that this command belongs to. */
export const cloneDir = fileURLToPath(new URL('../../../../', import.meta.url));

export interface StackSettings {
  readonly dataDir: string;
  readonly bind: string;
  readonly ports: Readonly<Record<ServiceName, number>>;
  readonly wantsDemo: boolean;
  /** Each undefined: the stack brings its own. */
  readonly databaseUrl: string | undefined;
  readonly natsUrl: string | undefined;
  readonly objectStoreUrl: string;
  readonly lanes: number;
  readonly shutdownGraceS: number;
  readonly apiKey: string | undefined;
  readonly channelDepth: number | undefined;
  readonly workers: number | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the command line and the environment of `up`. Every bad variable is noted at once, those that
 * the services share included. Throws a ConfigError or a usage error.
 */
export function readStackSettings(
  args: CommandArguments,
  environment: Environment,
  cwd: string,
): StackSettings {
  const channelDepth = args.integer('channel-depth', { min: 1, max: 1024 });
  const workers = args.integer('workers', { min: 1, max: 256 });
  const given = args.text('data-dir');
  const env = new EnvReader(withStandIns(environment));
  const fromEnv = env.optionalString('TRACELAKE_DATA_DIR');
  const dataDir = path.resolve(cwd, given ?? fromEnv ?? path.join(cloneDir, '.tracelake'));
  const wantsDemo = env.boolean('TRACELAKE_DEMO', { default: true });
  const common = readCommonConfig(env);
  const ports = {
    ingest: readPort(env, 'ingest'),
    'trace-export': readPort(env, 'trace-export'),
    query: readPort(env, 'query'),
    materializer: readPort(env, 'materializer'),
  };
  env.finish();
  return {
    dataDir,
    bind: common.bind,
    ports,
    wantsDemo: wantsDemo && !args.flag('no-demo'),
    databaseUrl: nonEmpty(environment.TRACELAKE_DATABASE_URL),
    natsUrl: nonEmpty(environment.TRACELAKE_NATS_URL),
    objectStoreUrl:
      nonEmpty(environment.TRACELAKE_OBJECT_STORE_URL) ??
      pathToFileURL(path.join(dataDir, 'objects')).href,
    lanes: common.lanes,
    shutdownGraceS: common.shutdownGraceS,
    apiKey: firstKey(common, environment),
    channelDepth,
    workers,
  };
}

/** The environment of a service of the stack. */
export function serviceEnvironment(
  settings: StackSettings,
  urls: { readonly database: string; readonly nats: string },
  environment: Environment,
): Environment {
  const inherited = Object.entries(environment).filter(([name]) => !name.startsWith('npm_'));
  const env: Record<string, string | undefined> = Object.fromEntries(inherited);
  env.TRACELAKE_BIND = settings.bind;
  env.TRACELAKE_DATABASE_URL = urls.database;
  env.TRACELAKE_NATS_URL = urls.nats;
  env.TRACELAKE_OBJECT_STORE_URL = settings.objectStoreUrl;
  for (const [service, port] of Object.entries(settings.ports)) {
    env[servicePorts[service as ServiceName].variable] = String(port);
  }
  if (settings.channelDepth !== undefined) {
    env.TRACELAKE_CHANNEL_DEPTH = String(settings.channelDepth);
  }
  if (settings.workers !== undefined) {
    env.TRACELAKE_WORKERS = String(settings.workers);
    // A worker decodes only while it holds a CPU token: fewer tokens than workers would leave some of them idle.
    env.TRACELAKE_CPU_TOKENS = nonEmpty(environment.TRACELAKE_CPU_TOKENS) ?? env.TRACELAKE_WORKERS;
  }
  return env;
}

/** What the stack brings itself is not missing yet; a value that is given is checked as any. */
function withStandIns(environment: Environment): Environment {
  return {
    ...environment,
    TRACELAKE_DATABASE_URL: nonEmpty(environment.TRACELAKE_DATABASE_URL) ?? 'postgres://own',
    TRACELAKE_NATS_URL: nonEmpty(environment.TRACELAKE_NATS_URL) ?? 'nats://own',
    TRACELAKE_OBJECT_STORE_URL: nonEmpty(environment.TRACELAKE_OBJECT_STORE_URL) ?? 'file:///own',
  };
}

function readPort(env: EnvReader, service: ServiceName): number {
  const { variable, defaultPort } = servicePorts[service];
  return env.port(variable, { default: defaultPort });
}

/** The key that the stack itself uses, for its sample: the caller's own, else the first of the list. */
function firstKey(common: CommonConfig, environment: Environment): string | undefined {
  return nonEmpty(environment.TRACELAKE_API_KEY) ?? common.apiKeys[0]?.key.reveal();
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === '' ? undefined : text;
}
