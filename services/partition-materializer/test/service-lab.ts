/** The materializer as a service in this process, on a lake and a nats-server of a test's own. */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Bus, connectBus } from '@tracelake/bus';
import {
  createLogger,
  createMetrics,
  EnvReader,
  type Metrics,
  type RunningService,
} from '@tracelake/service-kit';
import { type IngestRequest, startTestNats, type TestNats } from '@tracelake/test-kit';
import { decodeProcessInfo, decodeStreamInfo } from '@tracelake/transit';
import { readConfig } from '../src/config.ts';
import { createMaterializerService, type MaterializerOverrides } from '../src/service.ts';
import { readMetric } from './build-lab.ts';
import { openTestLake, type TestLake } from './test-lake.ts';

export const LANES = 3;

export interface RunningMaterializer extends AsyncDisposable {
  readonly url: string;
  readonly metrics: Metrics;
  readonly logLines: Record<string, unknown>[];
  metric(nameAndLabels: string): Promise<number>;
}

export interface ServiceLab extends AsyncDisposable {
  readonly lake: TestLake;
  readonly nats: TestNats;
  /** A bus of the test's own, which announces and requests. */
  readonly bus: Bus;
  /** The environment that a process of the service would be given. */
  readonly environment: Readonly<Record<string, string>>;
  start(
    environment?: Record<string, string>,
    overrides?: MaterializerOverrides,
  ): Promise<RunningMaterializer>;
  /** Stores a request and announces it, as ingest does. */
  ingest(request: IngestRequest): Promise<void>;
}

export async function openServiceLab(): Promise<ServiceLab> {
  const stack = new AsyncDisposableStack();
  const lake = stack.use(await openTestLake());
  const nats = stack.use(await startTestNats());
  const bus = stack.use(await connectBus({ servers: nats.url, name: 'test', lanes: LANES }));
  const environment = {
    TRACELAKE_DATABASE_URL: lake.databaseUrl,
    TRACELAKE_NATS_URL: nats.url,
    TRACELAKE_OBJECT_STORE_URL: lake.objectStoreUrl,
    TRACELAKE_LANES: String(LANES),
    TRACELAKE_MATERIALIZER_PORT: '0',
    TRACELAKE_MATERIALIZER_LANE_LEASE_S: '2',
    TRACELAKE_MATERIALIZER_CLAIM_S: '2',
    TRACELAKE_CPU_TOKENS: '1',
  };
  return {
    lake,
    nats,
    bus,
    environment,
    start: (more = {}, overrides = {}) => startMaterializer({ ...environment, ...more }, overrides),
    ingest: (request) => ingestAndAnnounce(lake, bus, request),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function startMaterializer(
  environment: Record<string, string>,
  overrides: MaterializerOverrides,
): Promise<RunningMaterializer> {
  const env = new EnvReader(environment);
  const config = readConfig(env);
  env.finish();
  const metrics = createMetrics({ service: 'test' });
  const logLines: Record<string, unknown>[] = [];
  const write = (line: string) => logLines.push(JSON.parse(line));
  const logger = createLogger({ service: 'test', destination: { write } });
  const { signal } = new AbortController();
  const context = { logger, metrics, signal };
  const service: RunningService = await createMaterializerService(config, context, overrides);
  return {
    url: service.url,
    metrics,
    logLines,
    metric: (name) => readMetric(metrics, name),
    async [Symbol.asyncDispose]() {
      service.beginDrain?.();
      await service[Symbol.asyncDispose]();
    },
  };
}

async function ingestAndAnnounce(lake: TestLake, bus: Bus, request: IngestRequest): Promise<void> {
  const block = await lake.ingest(request);
  const insertTimeUs = BigInt(Date.now()) * 1000n;
  const options = { whenDown: 'reject' } as const;
  if (block !== undefined) {
    const payloadBytes = block.payload.objects.length + block.payload.dependencies.length;
    const facts = { tags: [], insertTimeUs, payloadBytes };
    await bus.announceBlock({ ...block, ...facts }, options).catch(ignoreOutage);
  } else if (request.path.endsWith('insert_process')) {
    const { processId } = decodeProcessInfo(request.body);
    await bus.announceProcess({ processId, insertTimeUs }, options).catch(ignoreOutage);
  } else {
    const { processId, streamId, tags } = decodeStreamInfo(request.body);
    const message = { processId, streamId, tags, insertTimeUs };
    await bus.announceStream(message, options).catch(ignoreOutage);
  }
}

/** Ingest acknowledges without the bus; its relay, which these tests do without, announces later. */
function ignoreOutage(): void {}

/** Looks until the check gives something, or fails with what it wanted. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  timeoutMs = 20_000,
): Promise<T> {
  const giveUpMs = performance.now() + timeoutMs;
  for (;;) {
    const result = await check();
    if (result !== undefined && result !== false) return result as T;
    if (performance.now() > giveUpMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(50);
  }
}
