/**
 * Warm export of one thread and of async operations, without HTTP: Parquet rows to chunks, a reader that
 * takes them as they come, and one that is slow. Prints slices/s, MB/s, the growth of memory between the
 * first and the last megabyte and the most chunks that ever waited.
 * Run: node bench/export.bench.ts [spans] [--json]
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { xxHash64OfText } from '@tracelake/bus';
import { startTrace } from '../src/trace-generation.ts';
import type { PartitionFile, TracePlan } from '../src/trace-plan.ts';
import { type AsyncRow, SpanFiles, samplePlan, type ThreadRow } from '../test/span-files.ts';

const MIB = 1024 * 1024;
const ROWS_PER_FILE = 250_000;
const DEPTH = 8;
const LONG_NAME = 'n'.repeat(MIB);

interface Figures {
  readonly slices: number;
  readonly megabytes: number;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly rssGrowthMb: number;
  readonly maxDepth: number;
}

/** Towers of calls, as the rows of `thread_spans` stand in a file. */
async function writeThread(files: SpanFiles, spanCount: number): Promise<PartitionFile[]> {
  const written: PartitionFile[] = [];
  for (let first = 0; first < spanCount; first += ROWS_PER_FILE) {
    const count = Math.min(ROWS_PER_FILE, spanCount - first);
    const rows: ThreadRow[] = Array.from({ length: count }, (_, i) => {
      const id = first + i;
      const level = id % DEPTH;
      const base = Math.floor(id / DEPTH) * 2000;
      const parent = level === 0 ? -1 : id - 1;
      const times = { begin: base + level * 100, end: base + 1900 - level * 100 };
      const name = id === first + 1000 ? LONG_NAME : `call ${id % 300}`;
      return { id, parent, depth: level + 1, ...times, name };
    });
    written.push(await files.writeThread(rows));
  }
  return written;
}

async function writeAsync(files: SpanFiles, spanCount: number): Promise<PartitionFile[]> {
  const written: PartitionFile[] = [];
  for (let first = 0; first < spanCount; first += ROWS_PER_FILE) {
    const count = Math.min(ROWS_PER_FILE, spanCount - first);
    const rows = Array.from({ length: count }, (_, i): AsyncRow[] => {
      const id = first + i + 1;
      const common = { id, parent: id % 4 === 0 ? 0 : id - 1, name: `operation ${id % 100}` };
      return [
        { ...common, time: id * 50, kind: 'begin' },
        { ...common, time: id * 50 + 5000, kind: 'end' },
      ];
    });
    written.push(await files.writeAsync(rows.flat()));
  }
  return written;
}

interface Reading {
  readonly files: SpanFiles;
  readonly tempDir: string;
  readonly plan: TracePlan;
  /** The reader rests so long after each megabyte. */
  readonly restMs: number;
}

async function measure({ files, tempDir, plan, restMs }: Reading): Promise<Figures> {
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  await using trace = startTrace({
    plan,
    objects: files.objects,
    tempDir,
    hash: xxHash64OfText,
    compress: 'none',
    limits: {
      chunkBytes: 8192,
      channelChunks: 16,
      openSpansMax: 1_000_000,
      queryMemoryBytes: 256 * MIB,
    },
    signal: new AbortController().signal,
  });
  let bytes = 0;
  let firstRss = 0;
  let peakRss = 0;
  for await (const { data } of trace.channel) {
    const before = Math.floor(bytes / MIB);
    bytes += data.length;
    if (Math.floor(bytes / MIB) === before) continue;
    const { rss } = process.memoryUsage();
    if (firstRss === 0) firstRss = rss;
    peakRss = Math.max(peakRss, rss);
    if (restMs > 0) await sleep(restMs);
  }
  const { spanCount } = await trace.done;
  const { user, system } = process.cpuUsage(cpu);
  return {
    slices: spanCount,
    megabytes: bytes / MIB,
    wallMs: performance.now() - startedMs,
    cpuMs: (user + system) / 1000,
    rssGrowthMb: (peakRss - firstRss) / MIB,
    maxDepth: trace.stats.maxDepth,
  };
}

function print(what: string, figures: Figures): void {
  if (process.argv.includes('--json')) {
    console.log(JSON.stringify({ what, ...figures }));
    return;
  }
  const { slices, megabytes, wallMs, cpuMs, rssGrowthMb, maxDepth } = figures;
  const perSecond = (count: number) => (count / wallMs) * 1000;
  console.log(
    [
      what.padEnd(22),
      `${slices} slices`.padStart(16),
      `${Math.round(perSecond(slices) / 1000)} k slices/s`.padStart(16),
      `${perSecond(megabytes).toFixed(1)} MB/s`.padStart(12),
      `${((cpuMs * 1e6) / slices).toFixed(0)} ns CPU/slice`.padStart(18),
      `RSS +${rssGrowthMb.toFixed(1)} MiB`.padStart(15),
      `depth ${maxDepth}`.padStart(9),
    ].join('  '),
  );
}

const spanCount = Number(process.argv.slice(2).find((text) => /^\d+$/.test(text)) ?? 1_000_000);
const dir = await mkdtemp(join(tmpdir(), 'tracelake-bench-'));
try {
  const files = new SpanFiles(dir);
  const thread = await writeThread(files, spanCount);
  const asyncFiles = await writeAsync(files, spanCount / 4);
  const reading = { files, tempDir: dir, restMs: 0 };
  const threadPlan = samplePlan({ threads: [thread] });
  print('threads, cold start', await measure({ ...reading, plan: threadPlan }));
  print('threads, warm', await measure({ ...reading, plan: threadPlan }));
  print('threads, slow reader', await measure({ ...reading, plan: threadPlan, restMs: 20 }));
  print('async, warm', await measure({ ...reading, plan: samplePlan({ asyncFiles }) }));
} finally {
  await rm(dir, { recursive: true, force: true });
}
