/**
 * Composition root of ingest. Opened in this order and closed in the reverse: database, object store, bus,
 * marker, sweeper, announcer, HTTP. So a stop first ends intake, then announces what is queued.
 */
import { type Bus, connectBus } from '@tracelake/bus';
import {
  ByteBudget,
  createHttpServer,
  type HttpServer,
  type Logger,
  type RunningService,
  type ServiceContext,
  waitForDependency,
} from '@tracelake/service-kit';
import {
  BlockRepository,
  type Database,
  ensureLakeSettings,
  migrate,
  type ObjectStore,
  openDatabase,
  openObjectStore,
  ProcessRepository,
  requeueRecent,
  StreamRepository,
} from '@tracelake/storage';
import { AnnouncedMarker, type MarkerPorts } from './announced-marker.ts';
import { Announcer } from './announcer.ts';
import { BlockWriter } from './block-writer.ts';
import { createBusPublisher } from './bus-publisher.ts';
import type { IngestConfig } from './config.ts';
import { problemOfIngestError } from './http/error-response.ts';
import { registerRoutes } from './http/routes.ts';
import { TelemetryEvents } from './telemetry-events.ts';
import { UnannouncedSweeper } from './unannounced-sweeper.ts';

/** Announcing what is queued may take this much of the grace. */
const ANNOUNCE_DRAIN_MS = 3000;
/** Rows younger than this are on their way to the bus. */
const SWEEP_MINIMUM_AGE_MS = 5000;

/** Starts ingest; disposing of it drains. Rejects when a dependency is refused or stays away. */
export async function createIngestService(
  config: IngestConfig,
  context: ServiceContext,
): Promise<RunningService> {
  await using stack = new AsyncDisposableStack();
  const { logger, metrics } = context;
  const events = new TelemetryEvents(logger, metrics);
  const db = stack.use(await openLake(config, context));
  const objects = await openObjects(config, context);
  const tables: MarkerPorts = {
    processes: new ProcessRepository(db),
    streams: new StreamRepository(db),
    blocks: new BlockRepository(db),
  };
  const bus = stack.use(await openBus(config, context));
  const announcing = startAnnouncing(stack, { config, db, bus, tables, events, logger });
  const budget = new ByteBudget(config.maxInFlightBytes);
  const { announcer } = announcing;
  events.registerGauges(metrics, {
    budget,
    announceQueueDepth: () => announcer.queueDepth,
    announcementsUnacknowledged: () => announcer.unacknowledged,
  });
  const server = stack.use(createServer({ config, context, db, objects, bus }));
  registerRoutes(
    server.app,
    {
      ...tables,
      announcer,
      events,
      readiness: server.readiness,
      blockWriter: new BlockWriter({ objects, blocks: tables.blocks, events }),
      decompressionLimits: { decompressedBytesMax: config.maxDecompressedBytes },
    },
    { maxBodyBytes: config.maxBodyBytes, budget, writeTimeoutMs: config.writeTimeoutS * 1000 },
  );
  const url = await server.listen();
  const owned = stack.move();
  return {
    url,
    beginDrain: () => server.beginDrain(),
    describeRemaining: () => ({
      requestsInFlight: server.inFlight.count,
      announcementsQueued: announcer.queueDepth + announcer.unacknowledged,
    }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
