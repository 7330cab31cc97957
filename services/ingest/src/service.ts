/**
 * Composition root of ingest. Opened in this order and closed in the reverse: database, object store, bus,
 * marker, sweeper, announcer, HTTP. So a stop first ends intake, then announces what is queued.
 */

import { type Bus, connectBus } from '@tracelake/bus';
import {
  ByteBudget,
  busSettingsOf,
  createHttpServer,
  type HttpServer,
  type LakeStores,
  openLakeStores,
  type RunningService,
  type ServiceContext,
} from '@tracelake/service-kit';
import {
  BlockRepository,
  ProcessRepository,
  requeueRecent,
  StreamRepository,
} from '@tracelake/storage';
import { AnnouncedMarker, type MarkerPorts } from './announced-marker.ts';
import { Announcer } from './announcer.ts';
import { BlockRows } from './block-rows.ts';
import { BlockWriter } from './block-writer.ts';
import { createBusPublisher } from './bus-publisher.ts';
import type { IngestConfig } from './config.ts';
import { problemOfIngestError } from './http/error-response.ts';
import { ReceiveBuffers } from './http/receive-buffers.ts';
import { registerRoutes } from './http/routes.ts';
import { KnownStreams } from './known-streams.ts';
import { TelemetryEvents } from './telemetry-events.ts';
import { UnannouncedSweeper } from './unannounced-sweeper.ts';

/** Announcing what is queued may take this much of the grace. */
const ANNOUNCE_DRAIN_MS = 3000;
/** How long a start waits for the bus before it goes on without. */
const BUS_START_MS = 2000;
/** Rows younger than this are on their way to the bus. */
const SWEEP_MINIMUM_AGE_MS = 5000;
/** Rows of each kind that are announced again when the bus lost its messages. */
const REQUEUED_ROWS_MAX = 100_000;

/** Starts ingest; disposing of it drains. Rejects when a dependency is refused or stays away. */
export async function createIngestService(
  config: IngestConfig,
  context: ServiceContext,
): Promise<RunningService> {
  await using stack = new AsyncDisposableStack();
  const { logger, metrics } = context;
  const events = new TelemetryEvents(logger, metrics);
  const lake = stack.use(await openLakeStores(config, context, 'tracelake-ingest'));
  const { db, objects } = lake;
  const tables: MarkerPorts = {
    processes: new ProcessRepository(db),
    streams: new StreamRepository(db),
    blocks: new BlockRepository(db),
  };
  const knownStreams = new KnownStreams({ streams: tables.streams });
  const bus = stack.use(await openBus(config, events));
  const announcer = startAnnouncing(stack, { config, db, bus, tables, events });
  const budget = new ByteBudget(config.maxInFlightBytes);
  const writeTimeoutMs = config.writeTimeoutS * 1000;
  const { blocks } = tables;
  const rows = new BlockRows({ blocks, events, timeoutMs: writeTimeoutMs });
  const server = stack.use(createServer({ config, context, lake, bus }));
  events.registerGauges(metrics, {
    budget,
    rowQueueDepth: () => rows.depth,
    announceQueueDepth: () => announcer.queueDepth,
    announcementsUnacknowledged: () => announcer.unacknowledged,
  });
  registerRoutes(
    server.app,
    {
      ...tables,
      knownStreams,
      announcer,
      events,
      readiness: server.readiness,
      blockWriter: new BlockWriter({ objects, rows, blocks, events }),
      decompressionLimits: { decompressedBytesMax: config.maxDecompressedBytes },
    },
    {
      maxBodyBytes: config.maxBodyBytes,
      budget,
      buffers: new ReceiveBuffers(),
      writeTimeoutMs,
    },
  );
  const url = await server.listen();
  const owned = stack.move();
  return {
    url,
    beginDrain: () => server.beginDrain(),
    describeRemaining: () => ({
      requestsInFlight: server.inFlight.count,
      announcementsLeft: announcer.queueDepth + announcer.unacknowledged,
    }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Gives the bus a moment, so that a usual start announces from the first row on. Then nothing waits for it: the
 * connection is made in the background, for as long as it takes.
 */
async function openBus(config: IngestConfig, events: TelemetryEvents): Promise<Bus> {
  const bus = await connectBus({
    ...busSettingsOf(config),
    name: 'tracelake-ingest',
    onEvent: (event) => events.busEvent(event),
  });
  const signal = AbortSignal.timeout(BUS_START_MS);
  await bus.ensureStreams({ signal }).catch((error: unknown) => events.busNotReady(error));
  return bus;
}

interface AnnouncingParts {
  readonly config: IngestConfig;
  readonly db: LakeStores['db'];
  readonly bus: Bus;
  readonly tables: MarkerPorts;
  readonly events: TelemetryEvents;
}

/** Closed in reverse: what is queued is announced, the sweeper stops, what was announced is marked. */
function startAnnouncing(stack: AsyncDisposableStack, parts: AnnouncingParts): Announcer {
  const { config, db, bus, tables, events } = parts;
  const publish = createBusPublisher(bus);
  const marker = stack.use(new AnnouncedMarker({ ...tables, events }));
  const sweeper = stack.use(
    new UnannouncedSweeper({
      ...tables,
      publish,
      events,
      requeueRecent: (withinMs, signal) =>
        requeueRecent(db, { withinMs, limit: REQUEUED_ROWS_MAX }, signal),
      intervalMs: config.sweepIntervalS * 1000,
      minimumAgeMs: SWEEP_MINIMUM_AGE_MS,
    }),
  );
  const announcer = new Announcer({
    publish,
    onAnnounced: (announcement) => marker.mark(announcement),
    events,
    queueMessages: config.announceQueueMessages,
  });
  stack.defer(() => announcer.drain(AbortSignal.timeout(ANNOUNCE_DRAIN_MS)));
  stack.use(
    bus.onRecreated((streams) => {
      if (streams.includes('TELEMETRY')) sweeper.announceRecentAgain();
    }),
  );
  sweeper.start();
  return announcer;
}

interface ServerParts {
  readonly config: IngestConfig;
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
    // Without the bus everything is still made durable and acknowledged.
    optionalChecks: { nats: (signal) => bus.checkReady(signal) },
    problemOf: problemOfIngestError,
  });
}
