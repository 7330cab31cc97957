/**
 * Composition root of the query service. Opened in this order and closed in the reverse: database, object
 * store, bus, cache, query processes, HTTP. So a stop first lets the queries under way end.
 */

import { join } from 'node:path';
import { type Bus, connectBus } from '@tracelake/bus';
import { ObjectCache } from '@tracelake/lake-reading';
import { createViewRegistry } from '@tracelake/lakehouse';
import {
  busSettingsOf,
  createHttpServer,
  type HttpServer,
  type LakeStores,
  openLakeStores,
  type RunningService,
  type ServiceContext,
} from '@tracelake/service-kit';
import { createLakeCatalog } from '@tracelake/sql';
import { makeWorkDirectory } from '@tracelake/storage';
import type { QueryConfig } from './config.ts';
import { defaultEngineOptions, EnginePool } from './engine/engine-pool.ts';
import { problemOfQueryError } from './http/error-response.ts';
import { registerRoutes } from './http/routes.ts';
import { SourceResolver } from './planning/source-resolver.ts';
import { QueryQueue } from './query-queue.ts';
import { TelemetryEvents } from './telemetry-events.ts';

/** Of DuckDB while it turns the catalog's tables into Parquet. */
const CONVERSION_MEMORY_BYTES = 256 * 1024 * 1024;

/** Starts the service; disposing of it drains. Rejects when a dependency is refused or stays away. */
export async function createQueryService(
  config: QueryConfig,
  context: ServiceContext,
): Promise<RunningService> {
  await using stack = new AsyncDisposableStack();
  const { logger, metrics } = context;
  // Everything that is written lies in it: what a killed service left is swept by the next one's start.
  const { path: tempDir } = stack.use(await makeWorkDirectory(config.tempDir, 'query'));
  const events = new TelemetryEvents(logger, metrics);
  const lake = stack.use(await openLakeStores(config, context, 'tracelake-query'));
  const { db, objects } = lake;
  // Connects in the background: what is built already is read without the bus.
  const bus = stack.use(
    await connectBus({
      ...busSettingsOf(config),
      name: 'tracelake-query',
      onEvent: (event) => events.busEvent(event),
    }),
  );
  const { cacheBytes: capacityBytes } = config;
  const cache = stack.use(await ObjectCache.create({ objects, tempDir, capacityBytes }));
  const pool = stack.use(openPool(config, join(tempDir, 'engines')));
  const queue = new QueryQueue({ running: config.runningMax, waiting: config.waitingMax });
  events.registerGauges(metrics, {
    running: () => queue.running,
    waiting: () => queue.waiting,
    waitingMax: config.waitingMax,
    cache: () => cache.stats,
  });
  const server = stack.use(createServer({ config, context, lake, bus }));
  const registry = createViewRegistry();
  const resolver = new SourceResolver({
    db,
    bus,
    registry,
    lakeCatalog: createLakeCatalog(registry),
    cache,
    objects,
    decompressedBytesMax: config.decompressedBytesMax,
    tempDir,
    buildTimeoutMs: config.materializeTimeoutS * 1000,
    conversionMemoryBytes: CONVERSION_MEMORY_BYTES,
  });
  registerRoutes(server.app, {
    queue,
    pool,
    resolver,
    events,
    limits: {
      timeMs: config.timeoutS * 1000,
      rowsMax: config.rowsMax,
      bytesMax: config.bytesMax,
    },
    stallTimeoutMs: config.stallTimeoutS * 1000,
    bodyBytesMax: config.bodyBytesMax,
  });
  const url = await server.listen();
  const owned = stack.move();
  return {
    url,
    beginDrain: () => server.beginDrain(),
    describeRemaining: () => ({ queriesRunning: queue.running, queriesWaiting: queue.waiting }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function openPool(config: QueryConfig, tempDir: string): EnginePool {
  const defaults = defaultEngineOptions(tempDir);
  const { memoryBytes, threads, tempBytesMax } = config;
  return new EnginePool({
    ...defaults,
    settings: {
      ...defaults.settings,
      memoryBytes,
      threads,
      tempBytesMax,
      statementsMax: config.processStatements,
      keptBytesMax: config.keptBytes,
      // Beside DuckDB's own limit there are the process's code, its JavaScript heap and what waits to be sent.
      processBytesMax: memoryBytes + PROCESS_BYTES,
    },
    warmCount: config.warmProcesses,
    keptTimeMs: config.keptS * 1000,
    // One that ends may still be there when the next begins.
    processesMax: config.runningMax + 2,
    sqlBytesMax: config.bodyBytesMax,
  });
}

const PROCESS_BYTES = 1024 * 1024 * 1024;

interface ServerParts {
  readonly config: QueryConfig;
  readonly context: ServiceContext;
  readonly lake: LakeStores;
  readonly bus: Bus;
}

function createServer({ config, context, lake, bus }: ServerParts): HttpServer {
  return createHttpServer({
    ...config,
    logger: context.logger,
    metrics: context.metrics,
    checks: lake.checks,
    // Needed only for what is not built yet.
    optionalChecks: { nats: (signal) => bus.checkReady(signal) },
    problemOf: problemOfQueryError,
  });
}
