/**
 * Composition root of trace-export. Opened in this order and closed in the reverse: database, object store,
 * bus, HTTP. So a stop first lets the exports under way end.
 */

import { hostname } from 'node:os';
import { type Bus, connectBus, xxHash64OfText } from '@tracelake/bus';
import { catalogFreshness, ensureFreshPartitions } from '@tracelake/lake-reading';
import { createViewRegistry, schemaHashOf, type ViewRegistry } from '@tracelake/lakehouse';
import {
  busSettingsOf,
  createHttpServer,
  type HttpServer,
  type LakeStores,
  openLakeStores,
  type RunningService,
  type ServiceContext,
} from '@tracelake/service-kit';
import {
  makeWorkDirectory,
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
  const lake = stack.use(await openLakeStores(config, context, 'tracelake-trace-export'));
  const { db } = lake;
  // Connects in the background: what is built already is exported without the bus.
  const bus = stack.use(
    await connectBus({
      ...busSettingsOf(config),
      name: 'tracelake-trace-export',
      onEvent: (event) => events.busEvent(event),
    }),
  );
  const limiter = new ExportLimiter(config.exportsMax);
  events.registerGauges(metrics, () => limiter.inFlight);
  const server = stack.use(createServer({ config, context, lake, bus }));
  const registry = overrides.registry ?? createViewRegistry();
  const ports = exportPorts({ config, tempDir, lake, bus, registry, events, limiter });
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
  readonly lake: LakeStores;
  readonly bus: Bus;
  readonly registry: ViewRegistry;
  readonly events: TelemetryEvents;
  readonly limiter: ExportLimiter;
}

function exportPorts(parts: PortParts): ExportPorts {
  const { config, tempDir, lake, bus, registry, events, limiter } = parts;
  const { db, objects } = lake;
  const catalog = new PartitionCatalog(db);
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
        loadSnapshot: (now, since): Promise<ProcessSnapshot> =>
          catalog.loadProcessSnapshot({ processId, views }, now, since),
      });
      const timeoutMs = config.materializeTimeoutS * 1000;
      return ensureFreshPartitions(freshness, { timeoutMs, signal });
    },
    startTrace: (plan, compress, signal) =>
      startTrace({
        plan,
        objects,
        tempDir,
        hash: xxHash64OfText,
        compress,
        limits,
        signal,
      }),
  };
}

interface ServerParts {
  readonly config: TraceExportConfig;
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
    problemOf: problemOfExportError,
  });
}
