/**
 * Composition root of trace-export. Opened in this order and closed in the reverse: database, object store,
 * bus, HTTP. So a stop first lets the exports under way end.
 */

import { hostname } from 'node:os';
import { type Bus, connectBus, xxHash64OfText } from '@tracelake/bus';
import { catalogFreshness, ensureFreshPartitions } from '@tracelake/lake-reading';
import { createViewRegistry, schemaHashOf, type ViewRegistry } from '@tracelake/lakehouse';
import {
  createHttpServer,
  type HttpServer,
  type RunningService,
  type ServiceContext,
  waitForDependency,
} from '@tracelake/service-kit';
import {
  type Database,
  ensureLakeSettings,
  makeWorkDirectory,
  migrate,
  type ObjectStore,
  openDatabase,
  openObjectStore,
  PartitionCatalog,
  ProcessRepository,
  type ProcessSnapshot,
} from '@tracelake/storage';
import type { TraceExportConfig } from './config.ts';
import { ExportLimiter } from './export-limiter.ts';
import { problemOfExportError } from './http/error-response.ts';
import type { ExportPorts } from './http/export-trace.ts';
import { registerRoutes } from './http/routes.ts';
import { TelemetryEvents } from './telemetry-events.ts';
import { startTrace } from './trace-generation.ts';
import { viewsFor } from './trace-plan.ts';

export interface TraceExportOverrides {
  /** Views beside or instead of the built-in ones. */
  readonly registry?: ViewRegistry;
}

/** Starts the service; disposing of it drains. Rejects when a dependency is refused or stays away. */
export async function createTraceExportService(
  config: TraceExportConfig,
  context: ServiceContext,
  overrides: TraceExportOverrides = {},
): Promise<RunningService> {
  await using stack = new AsyncDisposableStack();
  const { logger, metrics } = context;
  const { path: tempDir } = stack.use(await makeWorkDirectory(config.tempDir, 'export'));
  const events = new TelemetryEvents(logger, metrics);
  const db = stack.use(await openLake(config, context));
  const objects = await openObjects(config, context);
  const bus = stack.use(await openBus(config, events));
  const limiter = new ExportLimiter(config.exportsMax);
  events.registerGauges(metrics, () => limiter.inFlight);
  const server = stack.use(createServer({ config, context, db, objects, bus }));
  const registry = overrides.registry ?? createViewRegistry();
  const ports = exportPorts({ config, tempDir, db, objects, bus, registry, events, limiter });
  registerRoutes(server.app, { ...ports, processes: new ProcessRepository(db) });
  const url = await server.listen();
  const owned = stack.move();
  return {
    url,
    beginDrain: () => server.beginDrain(),
    describeRemaining: () => ({ exportsInFlight: limiter.inFlight }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface PortParts {
  readonly config: TraceExportConfig;
  readonly tempDir: string;
  readonly db: Database;
  readonly objects: ObjectStore;
  readonly bus: Bus;
  readonly registry: ViewRegistry;
  readonly events: TelemetryEvents;
  readonly limiter: ExportLimiter;
}

function exportPorts(parts: PortParts): ExportPorts {
  const { config, tempDir, objects, bus, registry, events, limiter } = parts;
  const catalog = new PartitionCatalog(parts.db);
  const limits = {
    chunkBytes: config.chunkBytes,
    channelChunks: config.channelChunks,
    openSpansMax: config.openSpansMax,
    queryMemoryBytes: config.queryMemoryBytes,
  };
  return {
    limiter,
    events,
    stallTimeoutMs: config.stallTimeoutS * 1000,
    openReadLease: (signal) =>
      catalog.openReadLease({ owner: `trace-export on ${hostname()}`, signal }),
    ensureFresh({ processId, spans }, signal) {
      const views = viewsFor(spans).map((name) => {
        const view = registry.get(name);
        return { view, schemaHash: schemaHashOf(view) };
      });
      const freshness = catalogFreshness({
        bus,
        registry,
        loadSnapshot: (now) => catalog.loadProcessSnapshot({ processId, views }, now),
        contextOf: (snapshot: ProcessSnapshot) => snapshot,
      });
      const timeoutMs = config.materializeTimeoutS * 1000;
      return ensureFreshPartitions(freshness, { timeoutMs, signal });
    },
    startTrace: (plan, signal) =>
      startTrace({
        plan,
        objects,
        tempDir,
        hash: xxHash64OfText,
        limits,
        signal,
      }),
  };
}

async function openLake(config: TraceExportConfig, context: ServiceContext): Promise<Database> {
  await using stack = new AsyncDisposableStack();
  const db = stack.use(
    openDatabase(config.databaseUrl.reveal(), {
      poolSize: config.databasePoolConnections,
      applicationName: 'tracelake-trace-export',
    }),
  );
  await waitForDependency(
    async (signal) => {
      const { applied, version } = await migrate(db, signal);
      if (applied.length > 0) context.logger.info('database migrated', { applied, version });
      await ensureLakeSettings(db, { lanes: config.lanes }, signal);
    },
    { name: 'postgres', ...context },
  );
  stack.move();
  return db;
}

async function openObjects(
  config: TraceExportConfig,
  context: ServiceContext,
): Promise<ObjectStore> {
  const objects = await openObjectStore(config.objectStoreUrl, { endpoint: config.s3EndpointUrl });
  await waitForDependency((signal) => objects.checkReady(signal), {
    name: 'object-store',
    ...context,
  });
  return objects;
}

/** Connects in the background: what is built already is exported without the bus. */
function openBus(config: TraceExportConfig, events: TelemetryEvents): Promise<Bus> {
  return connectBus({
    servers: config.natsUrl.reveal(),
    name: 'tracelake-trace-export',
    lanes: config.lanes,
    waitForServer: false,
    onEvent: (event) => events.busEvent(event),
  });
}

interface ServerParts {
  readonly config: TraceExportConfig;
  readonly context: ServiceContext;
  readonly db: Database;
  readonly objects: ObjectStore;
  readonly bus: Bus;
}

function createServer({ config, context, db, objects, bus }: ServerParts): HttpServer {
  return createHttpServer({
    ...config,
    logger: context.logger,
    metrics: context.metrics,
    checks: {
      postgres: (signal) => db.checkReady(signal),
      'object-store': (signal) => objects.checkReady(signal),
    },
    // Needed only for what is not built yet.
    optionalChecks: { nats: (signal) => bus.checkReady(signal) },
    problemOf: problemOfExportError,
  });
}
