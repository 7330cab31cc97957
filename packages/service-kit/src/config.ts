import type { Secret } from '@tracelake/domain';
import { type ApiKey, readApiKeys } from './api-keys.ts';
import { findExposureProblem } from './bind-rule.ts';
import type { Environment, EnvReader } from './env-reader.ts';

/** Settings that mean the same in every service. */
export interface CommonConfig {
  /** Address to listen on. */
  readonly bind: string;
  readonly databaseUrl: Secret;
  readonly databasePoolConnections: number;
  readonly natsUrl: Secret;
  /** Copies that a NATS cluster keeps of each stream. */
  readonly natsReplicas: number;
  readonly objectStoreUrl: string;
  /** Another S3 endpoint than the SDK's own, such as a store in the same network. */
  readonly s3EndpointUrl: string | undefined;
  /** Empty: requests need no key. */
  readonly apiKeys: readonly ApiKey[];
  readonly allowAnonymous: boolean;
  /** Independent pipelines the lake was made with. */
  readonly lanes: number;
  readonly shutdownGraceS: number;
  /** How long `/readyz` waits for one dependency. */
  readonly healthCheckTimeoutMs: number;
  /** How long a client may take to send a whole request. */
  readonly requestTimeoutS: number;
}

/** Reads the settings that all services share; problems are left in the reader for `finish()`. */
export function readCommonConfig(env: EnvReader): CommonConfig {
  const bind = env.string('TRACELAKE_BIND', { default: '127.0.0.1' });
  const apiKeys = readApiKeys(env, 'TRACELAKE_API_KEYS');
  const allowAnonymous = env.boolean('TRACELAKE_ALLOW_ANONYMOUS', { default: false });
  const problem = findExposureProblem({ bind, hasApiKeys: apiKeys.length > 0, allowAnonymous });
  if (problem !== undefined) env.report('TRACELAKE_BIND', problem);
  const s3EndpointUrl = env.optionalString('TRACELAKE_S3_ENDPOINT_URL');
  return {
    bind,
    databaseUrl: env.secretUrl('TRACELAKE_DATABASE_URL', { schemes: ['postgres', 'postgresql'] }),
    databasePoolConnections: env.integer('TRACELAKE_DATABASE_POOL_CONNECTIONS', {
      default: 10,
      min: 1,
      max: 1000,
    }),
    natsUrl: env.secretUrls('TRACELAKE_NATS_URL', { schemes: ['nats', 'tls'] }),
    natsReplicas: Number(env.oneOf('TRACELAKE_NATS_REPLICAS', ['1', '3', '5'], { default: '1' })),
    objectStoreUrl: env.url('TRACELAKE_OBJECT_STORE_URL', { schemes: ['file', 's3'] }),
    s3EndpointUrl:
      s3EndpointUrl === undefined
        ? undefined
        : env.url('TRACELAKE_S3_ENDPOINT_URL', { schemes: ['http', 'https'] }),
    apiKeys,
    allowAnonymous,
    lanes: env.integer('TRACELAKE_LANES', { default: 8, min: 1, max: 1024 }),
    shutdownGraceS: env.decimal('TRACELAKE_SHUTDOWN_GRACE_S', { default: 25, min: 0.1, max: 3600 }),
    healthCheckTimeoutMs: env.integer('TRACELAKE_HEALTH_CHECK_TIMEOUT_MS', {
      default: 2000,
      min: 10,
      max: 60_000,
    }),
    requestTimeoutS: env.integer('TRACELAKE_REQUEST_TIMEOUT_S', { default: 60, min: 1, max: 3600 }),
  };
}

/** How every service connects to the bus: in the background, since none of them needs it for a start. */
export function busSettingsOf(config: Pick<CommonConfig, 'natsUrl' | 'natsReplicas' | 'lanes'>): {
  readonly servers: string;
  readonly lanes: number;
  readonly waitForServer: false;
  readonly streams: { readonly replicas: number };
} {
  const { natsUrl, natsReplicas, lanes } = config;
  const streams = { replicas: natsReplicas };
  return { servers: natsUrl.reveal(), lanes, waitForServer: false, streams };
}

/** The environment of this process: the one place outside services' `config.ts` that reads it. */
export function processEnvironment(): Environment {
  return process.env;
}
