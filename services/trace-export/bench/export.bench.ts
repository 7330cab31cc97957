/**
 * Warm export of one thread and of async operations, without HTTP: Parquet rows to chunks, plain and compressed, a
 * reader that takes them as they come, and one that is slow. Figures are the best of interleaved rounds, CPU is that
 * of all threads; memory growth is between the first and the last megabyte, at one and at ten times the spans.
 * Run: `npm run bench -- export [--spans N] [--rounds N]`.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { xxHash64OfText } from '@tracelake/bus';
import { type BenchFigure, reportBench } from '@tracelake/test-kit';
import type { TraceCompression } from '../src/export-request.ts';
import { startTrace } from '../src/trace-generation.ts';
import type { PartitionFile, TracePlan } from '../src/trace-plan.ts';
import { type AsyncRow, SpanFiles, samplePlan, type ThreadRow } from '../test/span-files.ts';

const MIB = 1024 * 1024;
const ROWS_PER_FILE = 250_000;
const DEPTH = 8;
const CHUNK_BYTES = 8192;
const LONG_NAME = 'n'.repeat(MIB);

interface Figures {
  readonly slices: number;
  readonly megabytes: number;
  /** Sizes of all chunks, in order. */
  readonly chunkBytes: readonly number[];
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
  readonly compress: TraceCompression;
  /** The reader rests so long after each megabyte. */
  readonly restMs: number;
}

async function measure({ files, tempDir, plan, compress, restMs }: Reading): Promise<Figures> {
  const cpu = process.cpuUsage();
  await using trace = startTrace({
    plan,
    objects: files.objects,
    tempDir,
    hash: xxHash64OfText,
    compress,
    limits: {
      chunkBytes: CHUNK_BYTES,
      channelChunks: 16,
      openSpansMax: 1_000_000,
      queryMemoryBytes: 256 * MIB,
    },
    signal: new AbortController().signal,
  });
  const chunkBytes: number[] = [];
  let bytes = 0;
  let firstRss = 0;
  let peakRss = 0;
  for await (const { data } of trace.channel) {
    const before = Math.floor(bytes / MIB);
    bytes += data.length;
    chunkBytes.push(data.length);
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
    megabytes: bytes / 1e6,
    chunkBytes,
    cpuMs: (user + system) / 1000,
    rssGrowthMb: (peakRss - firstRss) / MIB,
    maxDepth: trace.stats.maxDepth,
  };
}

/** What one kind of trace costs, from the best of its rounds. */
function figuresOf(what: string, plain: Figures, deflated: Figures): BenchFigure[] {
  return [
    {
      name: `export, ${what}: slices`,
      value: (plain.slices / plain.cpuMs) * 1000,
      unit: 'slices per CPU second',
      better: 'higher',
      target: 1_500_000,
    },
    {
      name: `export, ${what}: MB of trace`,
      value: (plain.megabytes / plain.cpuMs) * 1000,
      unit: 'MB per CPU second',
      better: 'higher',
      target: 100,
    },
    {
      name: `export, ${what}: bytes, none to deflate`,
      value: plain.megabytes / deflated.megabytes,
      unit: 'times smaller',
      better: 'higher',
      target: 5,
      scalesWithMachine: false,
    },
    {
      name: `export, ${what}: CPU, deflate to none`,
      value: deflated.cpuMs / plain.cpuMs,
      unit: 'times',
      better: 'lower',
      target: 2,
      scalesWithMachine: false,
    },
  ];
}

function chunkFigures({ chunkBytes }: Figures): BenchFigure[] {
  const sorted = [...chunkBytes].sort((a, b) => a - b);
  const exact = chunkBytes.filter((size) => size === CHUNK_BYTES).length;
  const common = { better: 'higher', scalesWithMachine: false } as const;
  return [
    {
      name: 'export: chunk, median',
      value: sorted[sorted.length >> 1] ?? 0,
      unit: 'bytes',
      target: CHUNK_BYTES,
      ...common,
    },
    {
      name: `export: chunks of exactly ${CHUNK_BYTES} bytes`,
      value: (exact / chunkBytes.length) * 100,
      unit: '%',
      ...common,
    },
  ];
}

function growthFigure(what: string, { rssGrowthMb }: Figures): BenchFigure {
  return {
    name: `export: memory growth, ${what}`,
    value: rssGrowthMb,
    unit: 'MiB of RSS',
    better: 'lower',
    target: 64,
    scalesWithMachine: false,
  };
}

const cheapest = (all: readonly Figures[]): Figures =>
  all.reduce((a, b) => (b.cpuMs < a.cpuMs ? b : a));

const { values } = parseArgs({
  strict: false,
  options: { spans: { type: 'string' }, rounds: { type: 'string' } },
});
const spanCount = Number(values.spans ?? 1_000_000);
const rounds = Number(values.rounds ?? 4);
const dir = await mkdtemp(join(tmpdir(), 'tracelake-bench-'));
try {
  const files = new SpanFiles(dir);
  const thread = await writeThread(files, spanCount);
  const asyncFiles = await writeAsync(files, spanCount / 4);
  const plans = { thread: samplePlan({ threads: [thread] }), async: samplePlan({ asyncFiles }) };
  const reading = { files, tempDir: dir, restMs: 0, compress: 'none', plan: plans.thread } as const;
  const found: Record<string, Figures[]> = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const kind of ['thread', 'async'] as const) {
      for (const compress of ['none', 'deflate'] as const) {
        const figures = await measure({ ...reading, plan: plans[kind], compress });
        found[`${kind} ${compress}`] = [...(found[`${kind} ${compress}`] ?? []), figures];
      }
    }
  }
  const best = (what: string) => cheapest(found[what] ?? []);
  const slow = await measure({ ...reading, restMs: 20 });
  // The same files ten times over: threads are written one after the other.
  const long = samplePlan({ threads: Array.from({ length: 10 }, () => thread) });
  const tenfold = await measure({ ...reading, plan: long });
  reportBench([
    ...figuresOf('thread spans', best('thread none'), best('thread deflate')),
    ...figuresOf('async spans', best('async none'), best('async deflate')),
    ...chunkFigures(best('thread none')),
    growthFigure(`${spanCount} spans`, best('thread none')),
    growthFigure(`${spanCount / 4} async spans`, best('async none')),
    growthFigure('ten times the spans', tenfold),
    growthFigure('a slow reader', slow),
    {
      name: 'export: most chunks that waited for a slow reader',
      value: slow.maxDepth,
      unit: 'chunks',
      better: 'lower',
      target: 16,
      scalesWithMachine: false,
    },
  ]);
} finally {
  await rm(dir, { recursive: true, force: true });
}
