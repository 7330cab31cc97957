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
  type TestNats,
} from '@tracelake/test-kit';
import { createTraceExportService, readTraceExportConfig } from '../src/index.ts';

export interface TestLake extends AsyncDisposable {
  readonly ingestUrl: string;
  readonly exportUrl: string;
  readonly materializerUrl: string;
  readonly metrics: Metrics;
  readonly nats: TestNats;
  readonly tempDir: string;
  /** The object store. */
  readonly objectsDir: string;
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
  const objectsDir = join(directory, 'objects');
  const env = {
    TRACELAKE_DATABASE_URL: postgres.url,
    TRACELAKE_NATS_URL: nats.url,
    TRACELAKE_OBJECT_STORE_URL: pathToFileURL(objectsDir).href,
    TRACELAKE_INGEST_PORT: '0',
    TRACELAKE_MATERIALIZER_PORT: '0',
    TRACELAKE_TRACE_EXPORT_PORT: '0',
    TRACELAKE_LANES: '2',
    TRACELAKE_EXPORT_TEMP_DIR: tempDir,
    ...variables,
  };
  const ingest = stack.use(await startServiceProcess('ingest', env));
  const materializer = stack.use(await startServiceProcess('partition-materializer', env));
  const metrics = createMetrics({ service: 'trace-export' });
  const exporter = stack.use(
    await createTraceExportService(readTraceExportConfig(new EnvReader(env)), {
      logger: createLogger({ service: 'trace-export', level: 'warn' }),
      metrics,
      signal: new AbortController().signal,
    }),
  );
  const owned = stack.move();
  return {
    ingestUrl: ingest.url,
    exportUrl: exporter.url,
    materializerUrl: materializer.url,
    metrics,
    nats,
    tempDir,
    objectsDir,
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
