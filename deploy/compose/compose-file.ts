/**
 * compose.yaml as data: what tests check, and what the Testcontainers twin of the end-to-end tests is made of.
 * It knows no more of compose than the file uses, and refuses what it does not know.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

export const composeDir = import.meta.dirname;

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  /** Names of the volumes that it declares. */
  readonly volumes: readonly string[];
}

export type Condition = 'service_started' | 'service_healthy' | 'service_completed_successfully';

export interface ComposeService {
  readonly image: string;
  readonly command: readonly string[] | undefined;
  readonly environment: Readonly<Record<string, string>>;
  readonly ports: readonly {
    readonly address: string;
    readonly host: number;
    readonly container: number;
  }[];
  readonly mounts: readonly Mount[];
  readonly tmpfs: readonly string[];
  readonly dependsOn: ReadonlyMap<string, Condition>;
  readonly healthcheck: Healthcheck | undefined;
  readonly restart: string | undefined;
  readonly readOnly: boolean;
  readonly user: string | undefined;
  readonly droppedCapabilities: readonly string[];
  readonly securityOptions: readonly string[];
  readonly stopGraceMs: number;
}

export interface Mount {
  /** The name of a volume, or an absolute path of this machine. */
  readonly source: string;
  readonly target: string;
  readonly kind: 'volume' | 'file';
  readonly readOnly: boolean;
}

export interface Healthcheck {
  readonly test: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
}

/** Reads the file as compose does where the given variables are set and no others. */
export function readComposeFile(variables: Readonly<Record<string, string>> = {}): ComposeFile {
  const text = readFileSync(path.join(composeDir, 'compose.yaml'), 'utf8');
  const filled = text.replaceAll(/\$\{([A-Z0-9_]+):-([^}]*)\}/g, (_, name, standard) => {
    return variables[name] ?? standard;
  });
  if (filled.includes('${'))
    throw new Error('compose.yaml has a variable without a value to assume');
  const file = parse(filled, { merge: true }) as Record<string, unknown>;
  const services = Object.entries(file.services as Record<string, RawService>);
  return {
    services: Object.fromEntries(services.map(([name, raw]) => [name, readService(name, raw)])),
    volumes: Object.keys(file.volumes as object),
  };
}

interface RawService {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: Condition }>>;
  readonly healthcheck?: {
    readonly test: readonly string[];
    readonly interval: string;
    readonly timeout: string;
    readonly retries: number;
  };
  readonly restart?: string;
  readonly read_only?: boolean;
  readonly user?: string;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period?: string;
}

function readService(name: string, raw: RawService): ComposeService {
  const {
    image,
    command,
    environment = {},
    ports = [],
    volumes = [],
    tmpfs = [],
    depends_on = {},
    healthcheck,
    restart,
    read_only = false,
    user,
    cap_drop = [],
    security_opt = [],
    stop_grace_period = '10s',
    ...unknown
  } = raw;
  const keys = Object.keys(unknown);
  if (keys.length > 0) throw new Error(`${name} has what is not read here: ${keys.join(', ')}`);
  return {
    image,
    command,
    environment,
    ports: ports.map((port) => readPort(port)),
    mounts: volumes.map((volume) => readMount(volume)),
    tmpfs,
    dependsOn: new Map(Object.entries(depends_on).map(([key, { condition }]) => [key, condition])),
    healthcheck: healthcheck && {
      test: healthcheck.test,
      intervalMs: readDurationMs(healthcheck.interval),
      timeoutMs: readDurationMs(healthcheck.timeout),
      retries: healthcheck.retries,
    },
    restart,
    readOnly: read_only,
    user,
    droppedCapabilities: cap_drop,
    securityOptions: security_opt,
    stopGraceMs: readDurationMs(stop_grace_period),
  };
}

function readPort(text: string) {
  const [, address, host, container] = /^([\d.]+):(\d+):(\d+)$/.exec(text) ?? [];
  if (address === undefined) throw new Error(`${text} is no address, port and port`);
  return { address, host: Number(host), container: Number(container) };
}

function readMount(text: string): Mount {
  const [source = '', target, mode = 'rw', ...rest] = text.split(':');
  if (target === undefined || !['ro', 'rw'].includes(mode) || rest.length > 0) {
    throw new Error(`${text} is no source, target and mode`);
  }
  const isFile = source.startsWith('.');
  return {
    source: isFile ? path.join(composeDir, source) : source,
    target,
    kind: isFile ? 'file' : 'volume',
    readOnly: mode === 'ro',
  };
}

function readDurationMs(text: string): number {
  const [, seconds] = /^(\d+)s$/.exec(text) ?? [];
  if (seconds === undefined) throw new Error(`${text} is no whole number of seconds`);
  return Number(seconds) * 1000;
}
