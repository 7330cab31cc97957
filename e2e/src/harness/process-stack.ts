/**
 * The services as processes of this machine with a real Postgres, a real nats-server and a directory store:
 * starts in a second or two, and lets a test run several replicas of a service or limit its heap.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startTestNats, startTestPostgres, type TestNats } from '@tracelake/test-kit';
import { freePort } from './free-port.ts';
import { waitUntilReady } from './readiness.ts';

export type ServiceName = 'ingest' | 'partition-materializer' | 'trace-export' | 'query';

const PORT_VARIABLE: Record<ServiceName, string> = {
  ingest: 'TRACELAKE_INGEST_PORT',
  'partition-materializer': 'TRACELAKE_MATERIALIZER_PORT',
  'trace-export': 'TRACELAKE_TRACE_EXPORT_PORT',
  query: 'TRACELAKE_QUERY_PORT',
};
const LOG_TAIL_CHARS = 200_000;

export interface ServiceProcess extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** The newest of what it printed. */
  readonly log: string;
  residentBytes(): Promise<number>;
  /** Sends a signal and waits for the end; gives the exit status, or null after a fatal signal. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>;
}

export interface ProcessStack extends AsyncDisposable {
  readonly nats: TestNats;
  readonly databaseUrl: string;
  /** The directory store. */
  readonly objectsDir: string;
  readonly ingest: ServiceProcess;
  readonly materializer: ServiceProcess;
  readonly traceExport: ServiceProcess;
  /** One more replica, one that tests seldom need, or one after the test ended it. Ends with the stack. */
  startService(name: ServiceName, options?: ServiceOptions): Promise<ServiceProcess>;
}

export interface ServiceOptions {
  /** Workspace whose code runs; this repository's when absent. */
  readonly workspaceDir?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeArgs?: readonly string[];
}

/** Starts everything; `options` say how each service runs. */
export async function startProcessStack(
  options: Partial<Record<ServiceName, ServiceOptions>> = {},
): Promise<ProcessStack> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-e2e-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const objectsDir = join(directory, 'objects');
  const [postgres, nats] = await Promise.all([startTestPostgres(), startTestNats()]);
  stack.use(nats);
  stack.use(postgres);
  const shared = {
    TRACELAKE_DATABASE_URL: postgres.url,
    TRACELAKE_NATS_URL: nats.url,
    TRACELAKE_OBJECT_STORE_URL: pathToFileURL(objectsDir).href,
    TRACELAKE_EXPORT_TEMP_DIR: directory,
    TRACELAKE_QUERY_TEMP_DIR: directory,
  };
  const startService = async (name: ServiceName, own: ServiceOptions = {}) =>
    stack.use(await startServiceProcess(name, { ...own, env: { ...shared, ...own.env } }));
  const [ingest, materializer, traceExport] = await Promise.all([
    startService('ingest', options.ingest),
    startService('partition-materializer', options['partition-materializer']),
    startService('trace-export', options['trace-export']),
  ]);
  const owned = stack.move();
  return {
    nats,
    databaseUrl: postgres.url,
    objectsDir,
    ingest,
    materializer,
    traceExport,
    startService: async (name, own = {}) =>
      owned.use(await startServiceProcess(name, { ...own, env: { ...shared, ...own.env } })),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startServiceProcess(
  name: ServiceName,
  options: ServiceOptions,
): Promise<ServiceProcess> {
  const port = await freePort();
  const workspaceDir = options.workspaceDir ?? join(import.meta.dirname, '../../..');
  const main = join(workspaceDir, 'services', name, 'src/main.ts');
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), main], {
    env: { PATH: process.env.PATH, ...options.env, [PORT_VARIABLE[name]]: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const service = new RunningService(child, `http://127.0.0.1:${port}`);
  try {
    await Promise.race([waitUntilReady(service.url), service.failure]);
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw new Error(`${name} did not start\n${service.log}`, { cause: error });
  }
  return service;
}

class RunningService implements ServiceProcess {
  readonly url: string;
  /** Rejects when the process ends. */
  readonly failure: Promise<never>;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  #log = '';

  constructor(child: ChildProcess, url: string) {
    this.url = url;
    this.#child = child;
    for (const output of [child.stdout, child.stderr]) {
      output?.setEncoding('utf8').on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-LOG_TAIL_CHARS);
      });
    }
    this.#exited = once(child, 'exit').then(([code]) => code as number | null);
    this.failure = this.#exited.then((code) => {
      throw new Error(`the process ended with ${code}`);
    });
    this.failure.catch(() => {});
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get log(): string {
    return this.#log;
  }

  async residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kilobytes === undefined) throw new Error(`no VmRSS for process ${this.pid}`);
    return Number(kilobytes) * 1024;
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    this.#child.kill(signal);
    return this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}
