/** Processes in a lake, and lanes that build them as the service's do, without the bus. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LaneSet, TokenPool } from '@tracelake/channels';
import { ensureExists } from '@tracelake/domain';
import { LaneLeaseRepository, sql } from '@tracelake/storage';
import { generateProcess } from '@tracelake/test-kit';
import type { BlockReader } from '../src/build/block-reader.ts';
import type { BuildDependencies } from '../src/build/build-dependencies.ts';
import { InstanceBuilder } from '../src/build/instance-builder.ts';
import type { BuildRequest, InstanceBuilds } from '../src/build/instance-builds.ts';
import type { PartitionWriter } from '../src/build/partition-writer.ts';
import { BuildActivity } from '../src/compaction/build-activity.ts';
import { DecodeWorkerPool } from '../src/decode/decode-worker-pool.ts';
import { createLaneFactories, createLaneWork } from '../src/lanes/materializer-lanes.ts';
import { openBuildLab } from '../test/build-lab.ts';
import { openTestLake, type TestLake } from '../test/test-lake.ts';

export interface LaneBench extends AsyncDisposable {
  /** Builds a small process with a builder that knows of no lanes. */
  buildDirectly(): Promise<void>;
  /** Builds the same in a lane. */
  buildInOneLane(): Promise<void>;
  /** Builds in each of the first `count` lanes a process of its own, all at once. */
  buildInLanes(count: number): Promise<void>;
  /** Forgets what was built. */
  reset(): Promise<void>;
  /** The processes of the database, which work for the lanes too. */
  databasePids(): Promise<readonly number[]>;
}

interface BenchLane extends AsyncDisposable {
  readonly builds: InstanceBuilds;
}

const LANES = 2;
const never = new AbortController().signal;

export async function openLaneBench({
  spanCount,
  smallSpanCount,
  cpuTokens,
}: {
  readonly spanCount: number;
  readonly smallSpanCount: number;
  readonly cpuTokens: number;
}): Promise<LaneBench> {
  const stack = new AsyncDisposableStack();
  const lake = stack.use(await openTestLake());
  const instances: BuildRequest[] = [];
  for (const spans of [...Array.from({ length: LANES }, () => spanCount), smallSpanCount]) {
    const instance = await ingest(lake, instances.length + 1, spans);
    instances.push({ viewSet: 'thread_spans', instance });
  }
  const instanceOf = (lane: number) => ensureExists(instances[lane], 'instance');
  const decoders = stack.use(
    new DecodeWorkerPool({ workers: cpuTokens, decodeTimeoutMs: 60_000, workerHeapMb: 512 }),
  );
  const overrides = { decoders, cpuTokens: new TokenPool(cpuTokens) };
  const lab = stack.use(await openBuildLab(lake, { overrides }));
  // As the service has it unless told otherwise.
  const settings = { ...lab.dependencies.settings, workers: cpuTokens };
  const deps = { ...lab.dependencies, settings };
  const direct = new InstanceBuilder(deps);
  const lanes = await openLanes(stack, lake, deps, lab.tempDir);
  const laneBuilds = (lane: number) => ensureExists(lanes.find(lane), 'lane').builds;
  const small = instanceOf(LANES);
  return {
    buildDirectly: async () => void (await direct.build(small, never)),
    buildInOneLane: async () => void (await laneBuilds(0).build(small, never)),
    buildInLanes: async (count) => {
      const builds = Array.from({ length: count }, (_, lane) =>
        laneBuilds(lane).build(instanceOf(lane), never),
      );
      await Promise.all(builds);
    },
    reset: () => forgetBuilt(lake),
    databasePids: async () => {
      const rows = await lake.database.query<{ pid: number }>(
        sql`SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL`,
      );
      return rows.map(({ pid }) => pid);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Lanes as the service makes them: own reader, own writer, a lease whose number is checked by each commit. */
async function openLanes(
  stack: AsyncDisposableStack,
  { database, objectStore }: TestLake,
  deps: BuildDependencies,
  tempDir: string,
): Promise<LaneSet<BlockReader, PartitionWriter, BenchLane>> {
  const { logger } = deps;
  const settings = { lanes: LANES, payloadBytesMax: 256 * 2 ** 20, rowGroupRows: 32_768 };
  const lanes = new LaneSet<BlockReader, PartitionWriter, BenchLane>(
    createLaneFactories({ objectStore, tempDir, settings, logger }),
  );
  const activity = new BuildActivity();
  const shared = { deps, activity, compaction: undefined, hardStop: never, onBuilt: () => {} };
  const leases = new LaneLeaseRepository(database);
  for (let lane = 0; lane < LANES; lane++) {
    const request = { lane, owner: 'bench', ttlMs: 600_000 };
    const fencingNumber = ensureExists(await leases.acquire(request), 'lease');
    const opened = lanes.open(lane, ({ reader, writer }) => {
      const own = { reader, writer, fence: { lane, fencingNumber } };
      const { builds } = createLaneWork(own, shared);
      return { builds, [Symbol.asyncDispose]: async () => {} };
    });
    stack.use(opened);
  }
  return lanes;
}

async function ingest(lake: TestLake, seed: number, threadSpans: number): Promise<string> {
  const generated = generateProcess({ seed, threadSpans });
  for (const request of generated) await lake.ingest(request);
  const [stream] = await lake.database.query<{ stream_id: string }>(
    sql`SELECT stream_id FROM streams WHERE process_id = ${generated.processId}`,
  );
  return ensureExists(stream, 'stream').stream_id;
}

async function forgetBuilt({ database, directory }: TestLake): Promise<void> {
  await database.query(sql`DELETE FROM partitions`);
  await rm(join(directory, 'objects', 'views'), { recursive: true, force: true });
}
