import { usageError } from '../cli-error.ts';
import type { CommandArguments } from '../command.ts';

export type ServiceName = 'ingest' | 'trace-export' | 'query' | 'materializer';

/** Every service: its default port, the variable that moves it, and the one that names all of its URL. */
export const servicePorts: Readonly<
  Record<
    ServiceName,
    { readonly defaultPort: number; readonly variable: string; readonly urlVariable: string }
  >
> = {
  ingest: {
    defaultPort: 4318,
    variable: 'TRACELAKE_INGEST_PORT',
    urlVariable: 'TRACELAKE_INGEST_URL',
  },
  'trace-export': {
    defaultPort: 4320,
    variable: 'TRACELAKE_TRACE_EXPORT_PORT',
    urlVariable: 'TRACELAKE_TRACE_EXPORT_URL',
  },
  query: {
    defaultPort: 4321,
    variable: 'TRACELAKE_QUERY_PORT',
    urlVariable: 'TRACELAKE_QUERY_URL',
  },
  materializer: {
    defaultPort: 4322,
    variable: 'TRACELAKE_MATERIALIZER_PORT',
    urlVariable: 'TRACELAKE_MATERIALIZER_URL',
  },
};

export type ServiceUrls = Readonly<Record<ServiceName, string>>;

type Environment = Readonly<Record<string, string | undefined>>;

/** How to reach the services, from `--url`, `--api-key` and their variables. */
export interface Connection {
  readonly urls: ServiceUrls;
  readonly apiKey: string | undefined;
}

/** Reads the connection of a command. Throws a usage error for a URL or port that is none. */
export function readConnection(args: CommandArguments, env: Environment): Connection {
  const given = args.text('url');
  const base = given ?? nonEmpty(env.TRACELAKE_URL) ?? 'http://127.0.0.1';
  const urls = resolveServiceUrls(base, env);
  return {
    urls: given === undefined ? withOwnUrls(urls, env) : urls,
    apiKey: args.text('api-key') ?? nonEmpty(env.TRACELAKE_API_KEY),
  };
}

/** A base with a port serves every call as it is; without one each service has its own port. */
export function resolveServiceUrls(base: string, env: Environment): ServiceUrls {
  if (!isHttpUrl(base)) {
    throw usageError(`"${base}" is not a URL such as http://127.0.0.1 or http://lake:8080`);
  }
  const own = (service: ServiceName) => withPort(base, readServicePort(service, env));
  if (hasExplicitPort(base)) {
    const url = trimSlash(base);
    return { ingest: url, 'trace-export': url, query: url, materializer: url };
  }
  return {
    ingest: own('ingest'),
    'trace-export': own('trace-export'),
    query: own('query'),
    materializer: own('materializer'),
  };
}

/** Where services have addresses of their own, as in Kubernetes, each may be named by its variable. */
function withOwnUrls(urls: ServiceUrls, env: Environment): ServiceUrls {
  const own = (service: ServiceName) => {
    const { urlVariable } = servicePorts[service];
    const text = nonEmpty(env[urlVariable]);
    if (text === undefined) return urls[service];
    if (isHttpUrl(text)) return trimSlash(text);
    throw usageError(`${urlVariable} must be a URL such as http://127.0.0.1:4318, not "${text}"`);
  };
  return {
    ingest: own('ingest'),
    'trace-export': own('trace-export'),
    query: own('query'),
    materializer: own('materializer'),
  };
}

/** The port of a service as its variable says; Kubernetes' `tcp://...` values are none. */
export function readServicePort(service: ServiceName, env: Environment): number {
  const { defaultPort, variable } = servicePorts[service];
  const text = nonEmpty(env[variable]);
  if (text === undefined || /^(?:tcp|udp|sctp):\/\//.test(text)) return defaultPort;
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw usageError(`${variable} must be a port from 0 to 65535, not "${text}"`);
  }
  return port;
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** URL drops a port that is the scheme's default, so the text decides. */
function hasExplicitPort(base: string): boolean {
  return /^https?:\/\/(?:[^/@]*@)?(?:\[[^\]]*\]|[^/:]*):\d+/.test(base);
}

function withPort(base: string, port: number): string {
  const url = new URL(base);
  url.port = String(port);
  return trimSlash(url.href);
}

function trimSlash(url: string): string {
  return url.replace(/\/+$/, '');
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}
