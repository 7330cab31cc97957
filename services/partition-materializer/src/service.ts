/**
 * Composition root of the materializer. Opened in this order and closed in the reverse: database, object
 * store, bus, decoders, lanes, sweeper, HTTP. So a stop first ends intake, then finishes
 * or hands back what is under way.
 */

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { type Bus, connectBus, laneOf } from '@tracelake/bus';
import { LaneSet, TokenPool } from '@tracelake/channels';
import type { ProcessId } from '@tracelake/domain';
import { createViewRegistry, type ViewRegistry } from '@tracelake/lakehouse';
import {
  busSettingsOf,
  createHttpServer,
  type HttpServer,
  type LakeStores,
  openLakeStores,
  type RunningService,
  type ServiceContext,
} from '@tracelake/service-kit';
import { LaneLeaseRepository, makeWorkDirectory, PartitionCatalog } from '@tracelake/storage';
import { BoundedObjectStore } from './build/bounded-object-store.ts';
import type { BuildReport } from './build/build-report.ts';
import type { BuildRequest } from './build/instance-builds.ts';
import { createStageObserver } from './build/queue-observer.ts';
import { RunWorkerPool } from './build/run-worker-pool.ts';
import { logBusEvent } from './bus-event-log.ts';
import { BuildActivity } from './compaction/build-activity.ts';
import { createCompactionMetrics } from './compaction/compaction-metrics.ts';
import type { MaterializerConfig } from './config.ts';
import { DecodeWorkerPool } from './decode/decode-worker-pool.ts';
import { CatchUp } from './eager/catch-up.ts';
import { problemOfMaterializer } from './http/error-response.ts';
import { registerRoutes } from './http/routes.ts';
import { LaneOwner } from './lanes/lane-owner.ts';
import { LanePipeline } from './lanes/lane-pipeline.ts';
import {
  createLaneFactories,
  createLaneWork,
  type MaterializerLanes,
  type SharedParts,
} from './lanes/materializer-lanes.ts';
import { ObjectSweeper } from './object-sweeper.ts';
import { LakeObserver } from './observe/lake-observer.ts';
import { createObserverMetrics } from './observe/observer-metrics.ts';
import {
  createMaterializerMetrics,
  type MaterializerMetrics,
  measureEagerPending,
  measureTokens,
} from './telemetry-metrics.ts';

export interface MaterializerOverrides {
  /** Views beside or instead of the built-in ones. */
  readonly registry?: ViewRegistry;
}

/** Of the grace to stop, the part in which builds under way may still finish. */
const DRAIN_SHARE = 0.6;

/** Starts the service; disposing of it drains. Rejects when a dependency is refused or stays away. */
export async function createMaterializerService(
  config: MaterializerConfig,
  context: ServiceContext,
  overrides: MaterializerOverrides = {},
): Promise<RunningService> {
  await using stack = new AsyncDisposableStack();
  const metrics = createMaterializerMetrics(context.metrics);
  const registry = overrides.registry ?? createViewRegistry();
  showOutcomes(metrics, registry);
  const lake = stack.use(await openLakeStores(config, context, 'tracelake-partition-materializer'));
  const { db: database, objects } = lake;
  const ioTokens = new TokenPool(config.ioTokens);
  measureTokens(context.metrics, 'io', ioTokens);
  const objectStore = new BoundedObjectStore(objects, ioTokens, createStageObserver(metrics));
  const bus = stack.use(await openBus(config, context));
  const catalog = new PartitionCatalog(database);
  const stores = { registry, database, catalog, objectStore, metrics };
  const stopBuilds = new AbortController();
  const hardStop = stopBuilds.signal;
  const shared = await openSharedParts(stack, config, context, { ...stores, hardStop });
  const { path: tempDir } = stack.use(await makeWorkDirectory(config.tempDir, 'materializer'));
  const { logger } = context;
  const factories = createLaneFactories({ objectStore, tempDir, settings: config, logger });
  const lanes: MaterializerLanes = new LaneSet(factories);
  const onBuilt = (request: BuildRequest, report: BuildReport) =>
    lanes.find(laneOf(report.processId, config.lanes))?.noteBuilt(request, report);
  const parts = { config, context, bus, lanes, shared: { ...shared, onBuilt }, ...stores };
  stack.use(
    new LakeObserver({
      ...{ database, bus, lanes: config.lanes, logger: context.logger },
      metrics: createObserverMetrics(context.metrics),
      intervalMs: config.observeIntervalMs,
    }),
  );
  const owner = startLanes(stack, parts);
  measureEagerPending(context.metrics, () =>
    owner.heldLanes.reduce((sum, lane) => sum + (lanes.find(lane)?.eagerPending ?? 0), 0),
  );
  const server = stack.use(createServer(config, context, lake, bus));
  // What operators ask for is work of no lane: the claim on the instance keeps it apart from theirs.
  const own = {
    reader: factories.createReader(config.lanes),
    writer: factories.createWriter(config.lanes),
  };
  const { builds } = createLaneWork(own, parts.shared);
  registerRoutes(server.app, { registry, catalog, builds });
  const url = await server.listen();
  const owned = stack.move();
  return {
    url,
    beginDrain: () => server.beginDrain(),
    describeRemaining: () => ({ lanes: owner.heldLanes, requestsInFlight: server.inFlight.count }),
    async [Symbol.asyncDispose]() {
      const timer = setTimeout(
        () => stopBuilds.abort(new Error('the service stops')),
        config.shutdownGraceS * 1000 * DRAIN_SHARE,
      );
      await owned.disposeAsync();
      clearTimeout(timer);
    },
  };
}

/** From the start, so that the first failure of a view is an increase too. */
function showOutcomes(
  { builds, blocksRejected }: MaterializerMetrics,
  registry: ViewRegistry,
): void {
  for (const { name: view } of registry.list()) {
    blocksRejected.inc({ view }, 0);
    for (const outcome of ['current', 'written', 'failed']) builds.inc({ view, outcome }, 0);
  }
}

interface Stores {
  readonly registry: ViewRegistry;
  readonly database: LakeStores['db'];
  readonly catalog: PartitionCatalog;
  readonly objectStore: LakeStores['objects'];
  readonly metrics: MaterializerMetrics;
}

/** What lanes have in common: clients of the stores, the CPU tokens with their threads, the turns to merge. */
async function openSharedParts(
  stack: AsyncDisposableStack,
  config: MaterializerConfig,
  { logger, metrics }: ServiceContext,
  { hardStop, ...stores }: Stores & { readonly hardStop: AbortSignal },
): Promise<Omit<SharedParts, 'onBuilt'>> {
  const decoders = stack.use(
    new DecodeWorkerPool({
      // A token is a thread's leave to work, so there is never one without a thread.
      workers: config.cpuTokens,
      decodeTimeoutMs: config.decodeTimeoutMs,
      workerHeapMb: config.workerHeapMb,
      onWorkerReplaced: (reason) => {
        stores.metrics.workersReplaced.inc();
        logger.warn('decode worker replaced', { reason });
      },
    }),
  );
  const runWorkers = stack.use(
    new RunWorkerPool({
      workers: config.cpuTokens,
      decodeTimeoutMs: config.decodeTimeoutMs,
      onWorkerLost: (reason) => {
        stores.metrics.workersReplaced.inc();
        logger.warn('run worker lost', { reason });
      },
    }),
  );
  // A first build would wait for its threads as long as for its decoding.
  decoders.start();
  runWorkers.start();
  const cpuTokens = new TokenPool(config.cpuTokens);
  measureTokens(metrics, 'cpu', cpuTokens);
  return {
    deps: { ...stores, decoders, runWorkers, cpuTokens, logger, settings: config },
    activity: new BuildActivity(),
    compaction: config.compaction
      ? { metrics: createCompactionMetrics(metrics), turn: new TokenPool(1) }
      : undefined,
    hardStop,
  };
}

interface LaneParts extends Stores {
  readonly config: MaterializerConfig;
  readonly context: ServiceContext;
  readonly bus: Bus;
  readonly lanes: MaterializerLanes;
  readonly shared: SharedParts;
}

/** Closed in reverse: lanes are drained and given back, then nothing looks for work any more. */
function startLanes(stack: AsyncDisposableStack, parts: LaneParts): LaneOwner {
  const { config, context, bus, catalog, lanes, metrics, registry, shared } = parts;
  const { logger } = context;
  const eagerViews = registry.list().filter((view) => view.eager);
  const catchUp = stack.use(
    new CatchUp({
      catalog,
      eagerViews,
      intervalMs: config.catchUpIntervalMs,
      note: (item, processId) =>
        lanes.find(laneOf(processId as ProcessId, config.lanes))?.note(item) ?? false,
      onLooked: (behindMs) => {
        if (behindMs === undefined) metrics.eagerBehindSeconds.remove();
        else metrics.eagerBehindSeconds.set(behindMs / 1000);
      },
      logger,
    }),
  );
  bus.onRecreated(() => catchUp.lookAtAll());
  const owner = stack.use(
    new LaneOwner({
      repository: new LaneLeaseRepository(parts.database),
      laneCount: config.lanes,
      owner: `${hostname()}-${process.pid}-${randomUUID()}`,
      leaseMs: config.laneLeaseMs,
      startLane: ({ lane, fencingNumber, lost }) => {
        const opened = lanes.open(lane, ({ reader, writer }) => {
          const fence = { lane, fencingNumber };
          const work = createLaneWork({ reader, writer, fence }, shared);
          const common = { bus, eagerViews, metrics, logger, hardStop: shared.hardStop };
          return new LanePipeline({ ...common, ...work, settings: config, lane, signal: lost });
        });
        // What came while the lane had no owner.
        catchUp.lookAtAll();
        return opened;
      },
      onHeldChange: (held) => metrics.lanesHeld.set(held),
      logger,
    }),
  );
  stack.use(createSweeper(parts, () => owner.heldLanes.includes(0)));
  return owner;
}

function createSweeper(parts: LaneParts, isMine: () => boolean): ObjectSweeper {
  const { config, context } = parts;
  return new ObjectSweeper({
    ...parts,
    intervalMs: config.sweepIntervalMs,
    orphanAgeMs: config.orphanAgeMs,
    isMine,
    logger: context.logger,
  });
}

/** Without the bus, eager views are still built from what Postgres knows, so nobody waits for it. */
async function openBus(config: MaterializerConfig, { logger }: ServiceContext): Promise<Bus> {
  return await connectBus({
    ...busSettingsOf(config),
    name: 'partition-materializer',
    onEvent: (event) => logBusEvent(event, logger),
  });
}

function createServer(
  config: MaterializerConfig,
  context: ServiceContext,
  lake: LakeStores,
  bus: Bus,
): HttpServer {
  return createHttpServer({
    ...config,
    logger: context.logger,
    metrics: context.metrics,
    checks: {
      ...lake.checks,
      nats: () => bus.checkReady(),
    },
    problemOf: problemOfMaterializer,
  });
}
