/** A lake of a test's own with ingest on it: Postgres, NATS and a directory, all real. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  createLogger,
  createMetrics,
  EnvReader,
  type Metrics,
  type RunningService,
} from '@tracelake/service-kit';
import { type Database, openDatabase, openObjectStore, sql } from '@tracelake/storage';
import { startTestNats, startTestPostgres, type TestNats } from '@tracelake/test-kit';
import { readIngestConfig } from '../src/config.ts';
import { createIngestService } from '../src/service.ts';

export interface LakeOptions {
  /** Another Postgres than a fresh database of the shared server. */
  readonly databaseUrl?: string;
  readonly nats?: TestNats;
}

/** The stores of a lake, whichever services run on it. */
export class Lake implements AsyncDisposable {
  readonly databaseUrl: string;
  readonly nats: TestNats;
  readonly objectDirectory: string;
  readonly db: Database;
  readonly #stack: AsyncDisposableStack;

  static async open(options: LakeOptions = {}): Promise<Lake> {
    await using stack = new AsyncDisposableStack();
    const databaseUrl = options.databaseUrl ?? stack.use(await startTestPostgres()).url;
    const nats = options.nats ?? stack.use(await startTestNats());
    const objectDirectory = await mkdtemp(join(tmpdir(), 'tracelake-ingest-'));
    stack.defer(() => rm(objectDirectory, { recursive: true, force: true }));
    const db = stack.use(openDatabase(databaseUrl, { poolSize: 2 }));
    return new Lake({ databaseUrl, nats, objectDirectory, db }, stack.move());
  }

  private constructor(
    parts: Pick<Lake, 'databaseUrl' | 'nats' | 'objectDirectory' | 'db'>,
    stack: AsyncDisposableStack,
  ) {
    this.databaseUrl = parts.databaseUrl;
    this.nats = parts.nats;
    this.objectDirectory = parts.objectDirectory;
    this.db = parts.db;
    this.#stack = stack;
  }

  /** The environment of a service on this lake. */
  env(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      TRACELAKE_DATABASE_URL: this.databaseUrl,
      TRACELAKE_NATS_URL: this.nats.url,
      TRACELAKE_OBJECT_STORE_URL: pathToFileURL(this.objectDirectory).href,
      TRACELAKE_INGEST_PORT: '0',
      TRACELAKE_INGEST_SWEEP_INTERVAL_S: '0.2',
      ...more,
    };
  }

  /** Everything that ingest keeps, without the times at which rows came: equal lakes print equally. */
  async dump(): Promise<{ rows: unknown[]; objects: string[] }> {
    const rows = await this.db.query(sql`
      SELECT 'process' AS kind, to_jsonb(p) - 'insert_time' AS row FROM processes p
      UNION ALL SELECT 'stream', to_jsonb(s) - 'insert_time' FROM streams s
      UNION ALL SELECT 'block', to_jsonb(b) - 'insert_time' FROM blocks b
      ORDER BY 1, 2`);
    return { rows, objects: (await this.listObjects()).sort() };
  }

  async listObjects(): Promise<string[]> {
    const store = await openObjectStore(pathToFileURL(this.objectDirectory).href);
    const entries: string[] = [];
    for await (const { key, sizeBytes } of store.list('')) entries.push(`${key} ${sizeBytes}`);
    return entries;
  }

  async countRows(): Promise<{ processes: number; streams: number; blocks: number }> {
    const [row] = await this.db.query<Record<'processes' | 'streams' | 'blocks', bigint>>(sql`
      SELECT (SELECT count(*) FROM processes) AS processes,
        (SELECT count(*) FROM streams) AS streams, (SELECT count(*) FROM blocks) AS blocks`);
    return {
      processes: Number(row?.processes),
      streams: Number(row?.streams),
      blocks: Number(row?.blocks),
    };
  }

  async countUnannounced(): Promise<number> {
    const [row] = await this.db.query<{ count: bigint }>(
      sql`SELECT count(*) AS count FROM unannounced`,
    );
    return Number(row?.count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

export interface RunningIngest extends RunningService {
  readonly metrics: Metrics;
  /** Posts a body and returns the answer, its text read. */
  post(path: string, body: Uint8Array, headers?: Record<string, string>): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Starts ingest in this process. */
export async function startIngest(
  lake: Lake,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningIngest> {
  const reader = new EnvReader(lake.env(env));
  const config = readIngestConfig(reader);
  reader.finish();
  const metrics = createMetrics({ service: 'ingest' });
  const service = await createIngestService(config, {
    logger: createLogger({ service: 'ingest', level: 'silent' }),
    metrics,
    signal: new AbortController().signal,
  });
  return {
    ...service,
    metrics,
    post: (path, body, headers = {}) => post(service.url + path, body, headers),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

export async function post(
  url: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(url, { method: 'POST', body: Buffer.from(body), headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** The value of a counter or gauge by its exact name and some of its labels. */
export async function readMetric(
  metrics: Metrics,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  let sum = 0;
  for (const line of (await metrics.render()).split('\n')) {
    const match = /^(\w+)\{(.*)\} (\S+)$/.exec(line);
    if (match?.[1] !== name) continue;
    const hasLabels = Object.entries(labels).every(([label, value]) =>
      match[2]?.includes(`${label}="${value}"`),
    );
    if (hasLabels) sum += Number(match[3]);
  }
  return sum;
}
