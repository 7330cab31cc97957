/** A whole lake on this machine: Postgres, nats-server, object directory, ingest, materializer and this service. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createLogger, createMetrics, EnvReader, type Metrics } from '@tracelake/service-kit';
import {
  type IngestRequest,
  startServiceProcess,
  startTestNats,
  startTestPostgres,
} from '@tracelake/test-kit';
import { createQueryService, readQueryConfig } from '../src/index.ts';

export interface TestLake extends AsyncDisposable {
  readonly queryUrl: string;
  readonly metrics: Metrics;
  readonly tempDir: string;
  /** Of the materializer. */
  readonly materializerUrl: string;
  /** Posts requests one after another and fails unless each is acknowledged. */
  ingest(requests: readonly IngestRequest[]): Promise<void>;
}

/** Starts everything; `variables` are set for all services. */
export async function startTestLake(
  variables: Readonly<Record<string, string>> = {},
): Promise<TestLake> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-test-lake-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const [postgres, nats] = await Promise.all([startTestPostgres(), startTestNats()]);
  stack.use(postgres);
  stack.use(nats);
  const tempDir = await mkdtemp(join(directory, 'temp-'));
  const env = {
    TRACELAKE_DATABASE_URL: postgres.url,
    TRACELAKE_NATS_URL: nats.url,
    TRACELAKE_OBJECT_STORE_URL: pathToFileURL(join(directory, 'objects')).href,
    TRACELAKE_INGEST_PORT: '0',
    TRACELAKE_MATERIALIZER_PORT: '0',
    TRACELAKE_QUERY_PORT: '0',
    TRACELAKE_LANES: '2',
    TRACELAKE_QUERY_TEMP_DIR: tempDir,
    ...variables,
  };
  const ingest = stack.use(await startServiceProcess('ingest', env));
  const materializer = stack.use(await startServiceProcess('partition-materializer', env));
  const metrics = createMetrics({ service: 'query' });
  const query = stack.use(
    await createQueryService(readQueryConfig(new EnvReader(env)), {
      logger: createLogger({ service: 'query', level: 'warn' }),
      metrics,
      signal: new AbortController().signal,
    }),
  );
  const owned = stack.move();
  return {
    queryUrl: query.url,
    materializerUrl: materializer.url,
    metrics,
    tempDir,
    ingest: (requests) => postAll(ingest.url, requests),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function postAll(url: string, requests: readonly IngestRequest[]): Promise<void> {
  for (const { path, body } of requests) {
    const response = await fetch(`${url}${path}`, { method: 'POST', body: new Uint8Array(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }
}
