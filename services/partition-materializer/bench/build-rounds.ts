/**
 * The process that `build-instance.bench.ts` measures: builds each target again and again, so that it has the
 * memory, the threads and the caches of a materializer and nothing of whoever made the blocks.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase, openObjectStore, PartitionCatalog, sql } from '@tracelake/storage';
import { keepFreedMemory } from '../src/freed-memory.ts';
import { letHeapsGrow } from '../src/heap-growth.ts';
import { openBuildLab } from '../test/build-lab.ts';

export interface RoundsRequest {
  readonly databaseUrl: string;
  readonly objectStoreUrl: string;
  readonly directory: string;
  readonly targets: readonly { readonly viewSet: string; readonly instance: string }[];
  /** Of each target; the first is the cold one. */
  readonly rounds: number;
}

export interface BuildRound {
  readonly viewSet: string;
  readonly rows: number;
  readonly blocks: number;
  readonly partitions: number;
  readonly bytes: number;
  readonly wallMs: number;
  /** Of all threads of the process. */
  readonly cpuMs: number;
  /** Above what the process held before the round. */
  readonly peakRssGrowthMb: number;
  readonly longestLoopDelayMs: number;
}

/** Threads take a tenth of it on an idle machine. */
const THREADS_START_MS = 1500;

letHeapsGrow();
keepFreedMemory();
const request: RoundsRequest = JSON.parse(process.argv[2] ?? '{}');
await using database = openDatabase(request.databaseUrl, { poolSize: 4 });
const objectStore = await openObjectStore(request.objectStoreUrl);
const catalog = new PartitionCatalog(database);
await using lab = await openBuildLab({ ...request, objectStore, catalog });

// As the service does: what is measured is building, not the start of a service.
lab.dependencies.decoders.start();
lab.dependencies.runWorkers.start();
await sleep(THREADS_START_MS);

for (let round = 0; round < request.rounds; round++) {
  for (const target of request.targets) {
    await database.query(sql`DELETE FROM partition_blocks`);
    await database.query(sql`DELETE FROM partitions`);
    process.send?.(await measureBuild(target));
  }
}
process.disconnect?.();

async function measureBuild(target: RoundsRequest['targets'][number]): Promise<BuildRound> {
  const rssBefore = process.memoryUsage.rss();
  resetPeakRss();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  const report = await lab.builder.build(target, AbortSignal.timeout(600_000));
  const wallMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpuBefore);
  delay.disable();
  const [stored] = await database.query<{ bytes: unknown }>(
    sql`SELECT coalesce(sum(size_bytes), 0) AS bytes FROM partitions`,
  );
  return {
    viewSet: target.viewSet,
    rows: report.rows,
    blocks: report.blocksDecoded,
    partitions: report.built,
    bytes: Number(stored?.bytes),
    wallMs,
    cpuMs: (user + system) / 1000,
    peakRssGrowthMb: (peakRssBytes() - rssBefore) / 2 ** 20,
    longestLoopDelayMs: delay.max / 1e6,
  };
}

/** Linux starts the peak again on request. */
function resetPeakRss(): void {
  writeFileSync('/proc/self/clear_refs', '5');
}

function peakRssBytes(): number {
  const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}
