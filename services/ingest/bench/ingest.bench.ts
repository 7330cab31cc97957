/**
 * Blocks acknowledged in a second over loopback, with everything that `200` promises: object synced, row committed
 * (Postgres with fsync), announced to a real nats-server. Beside it a bare `node:http` server that only reads
 * the body, with the same client, and what the disk syncs in a second. Rounds are interleaved and the best counts.
 *
 * `--seconds` for each cell (0.8), `--rounds` (3), `--connections` (1,16,64), `--kilobytes` (4.5,200,2900),
 * `--writer-threads` of the service, `--disk-ms` for each measurement of the disk (300, 0 for none), `--warm-up` in
 * seconds (3), `--node-options` for the service, as `--cpu-prof`.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { startPostgres } from '@tracelake/local-servers';
import {
  type BenchFigure,
  reportBench,
  startServiceProcess,
  startTestNats,
} from '@tracelake/test-kit';
import type { LoadOrder, LoadResult } from './load-client.ts';
import { cpuMsOfTrees, residentBytesOf } from './process-times.ts';
import type { SyncOrder } from './sync-probe.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '0.8' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '1,16,64' },
    kilobytes: { type: 'string', default: '4.5,200,2900' },
    'memory-seconds': { type: 'string', default: '0.5' },
    'warm-up': { type: 'string', default: '3' },
    'disk-ms': { type: 'string', default: '300' },
    'writer-threads': { type: 'string', default: '' },
    'node-options': { type: 'string', default: '' },
  },
  strict: false,
});
const listOf = (text: unknown) => String(text).split(',').filter(Boolean).map(Number);
const cellMs = Number(values.seconds) * 1000;
const rounds = Number(values.rounds);
const diskMs = Number(values['disk-ms']);
const cells = listOf(values.kilobytes).flatMap((kilobytes) =>
  listOf(values.connections).map((connections) => ({ kilobytes, connections })),
);
type Cell = (typeof cells)[number];

await using stack = new AsyncDisposableStack();
const root = await mkdtemp(join(tmpdir(), 'tracelake-ingest-bench-'));
stack.defer(() => rm(root, { recursive: true, force: true }));
const postgres = stack.use(await startPostgres({ dataDir: join(root, 'postgres') }));
const nats = stack.use(await startTestNats());
const ingest = stack.use(
  await startServiceProcess('ingest', {
    TRACELAKE_DATABASE_URL: postgres.url,
    TRACELAKE_NATS_URL: nats.url,
    TRACELAKE_OBJECT_STORE_URL: pathToFileURL(join(root, 'objects')).href,
    TRACELAKE_INGEST_PORT: '0',
    TRACELAKE_INGEST_OBJECT_WRITER_THREADS: String(values['writer-threads']),
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} ${values['node-options']}`.trim(),
  }),
);
const client = startProgram(new URL('./load-client.ts', import.meta.url));
const bare = startProgram(new URL('./bare-server.ts', import.meta.url));
const probe = startProgram(new URL('./sync-probe.ts', import.meta.url));
const [barePort] = (await once(bare, 'message')) as [number];
const ingestPort = Number(new URL(ingest.url).port);
const ingestPid = ingest.child.pid ?? 0;
const postgresPid = postgres.pid ?? 0;

interface Measured extends LoadResult {
  readonly blocksPerSecond: number;
  readonly serviceCpuMs: number;
  readonly databaseCpuMs: number;
  /** Of every process that took part, the client included. */
  readonly allCpuMs: number;
}

function startProgram(program: URL): ChildProcess {
  const child = fork(program, { stdio: 'inherit' });
  stack.defer(async () => {
    if (child.exitCode === null) child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  return child;
}

async function ask<Answer>(child: ChildProcess, order: LoadOrder | SyncOrder): Promise<Answer> {
  child.send(order);
  const [answer] = (await once(child, 'message')) as [Answer];
  return answer;
}

async function load(port: number, cell: Cell, durationMs: number): Promise<Measured> {
  const trees = [[ingestPid], [postgresPid], [process.pid]];
  const before = trees.map(cpuMsOfTrees);
  const order = {
    port,
    connections: cell.connections,
    blockBytes: cell.kilobytes * 1000,
    durationMs,
  };
  const result = await ask<LoadResult>(client, order);
  const [serviceCpuMs = 0, databaseCpuMs = 0, allCpuMs = 0] = trees.map(
    (tree, index) => cpuMsOfTrees(tree) - (before[index] ?? 0),
  );
  const blocksPerSecond = (result.acknowledged * 1000) / result.wallMs;
  return { ...result, blocksPerSecond, serviceCpuMs, databaseCpuMs, allCpuMs };
}

/** The most memory that the service held while a load ran. */
async function peakOf(cell: Cell, durationMs: number): Promise<{ MB: number; peakMB: number }> {
  let peakBytes = 0;
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, residentBytesOf(ingestPid));
  }, 20);
  const { bodyBytes } = await load(ingestPort, cell, durationMs);
  clearInterval(timer);
  return { MB: Math.round(bodyBytes / 1e6), peakMB: Math.round(peakBytes / 1e6) };
}

function best(results: readonly Measured[]): Measured {
  return results.reduce((a, b) => (b.blocksPerSecond > a.blocksPerSecond ? b : a));
}

const nameOf = ({ kilobytes, connections }: Cell) =>
  `${kilobytes} KB at ${connections} connection${connections === 1 ? '' : 's'}`;

const memoryMs = Number(values['memory-seconds']) * 1000;
const memoryCells = [
  { kilobytes: 200, connections: 16 },
  { kilobytes: 2900, connections: 64 },
];
const memory: Record<string, { MB: number; peakMB: number }> = {};
let gatedPeakMB: number | undefined;

const stored = new Map<Cell, Measured[]>();
const read = new Map<Cell, Measured[]>();
const synced = new Map<string, number>();
const directory = join(root, 'probe');
// Until the code is compiled and the connections are made.
for (const port of [ingestPort, barePort]) {
  await load(port, { kilobytes: 4.5, connections: 16 }, Number(values['warm-up']) * 1000);
}
for (const cell of memoryMs > 0 ? memoryCells : []) {
  // The first load makes the threads and the buffers that the service then keeps.
  await load(ingestPort, cell, memoryMs);
  memory[`${nameOf(cell)}, for a while`] = await peakOf(cell, memoryMs);
  const tenTimes = await peakOf(cell, 10 * memoryMs);
  memory[`${nameOf(cell)}, ten times as long`] = tenTimes;
  gatedPeakMB ??= tenTimes.peakMB;
}
for (let round = 0; round < rounds; round++) {
  for (const cell of cells) {
    stored.set(cell, [...(stored.get(cell) ?? []), await load(ingestPort, cell, cellMs)]);
    read.set(cell, [...(read.get(cell) ?? []), await load(barePort, cell, cellMs / 2)]);
  }
  for (const kind of diskMs > 0 ? (['file', 'object'] as const) : []) {
    for (const writers of [1, 4, 16, 64]) {
      const rate = await ask<number>(probe, {
        directory,
        writers,
        bytes: 4500,
        durationMs: diskMs,
        kind,
      });
      const name = `${kind} of 4.5 KB, ${writers} writer${writers === 1 ? '' : 's'}`;
      synced.set(name, Math.max(synced.get(name) ?? 0, rate));
    }
  }
}

console.log(
  'Acknowledged by ingest (object synced, row committed), beside a server that only reads',
);
console.table(
  Object.fromEntries(
    cells.map((cell) => {
      const ours = best(stored.get(cell) ?? []);
      const theirs = best(read.get(cell) ?? []);
      const perBlock = (ms: number) => Number((ms / ours.acknowledged).toFixed(3));
      return [
        nameOf(cell),
        {
          'blocks/s': Math.round(ours.blocksPerSecond),
          'MB/s': Math.round(ours.bodyBytes / ours.wallMs / 1000),
          'p50 ms': Number(ours.p50Ms.toFixed(1)),
          'p99 ms': Number(ours.p99Ms.toFixed(1)),
          '503s': ours.refused,
          'service CPU ms': perBlock(ours.serviceCpuMs),
          'Postgres CPU ms': perBlock(ours.databaseCpuMs),
          'client CPU ms': perBlock(ours.cpuMs),
          'all CPU ms': perBlock(ours.allCpuMs),
          'bare blocks/s': Math.round(theirs.blocksPerSecond),
          'bare MB/s': Math.round(theirs.bodyBytes / theirs.wallMs / 1000),
          ratio: Number((ours.blocksPerSecond / theirs.blocksPerSecond).toFixed(2)),
        },
      ];
    }),
  ),
);
console.log('Made durable by the disk below, a second');
console.table(Object.fromEntries([...synced].map(([name, rate]) => [name, Math.round(rate)])));

if (gatedPeakMB !== undefined) {
  console.log('Memory of the service: peak while so many MB of blocks came');
  console.table(memory);
}

const figures: BenchFigure[] = [];
for (const cell of cells) {
  const ours = best(stored.get(cell) ?? []);
  const isSmall = cell.kilobytes === 4.5;
  figures.push({
    name: `ingest ${nameOf(cell)}`,
    value: isSmall ? ours.blocksPerSecond : ours.bodyBytes / ours.wallMs / 1000,
    unit: isSmall ? 'blocks/s' : 'MB/s',
    better: 'higher',
    ...(cell.connections === 16 && isSmall ? { target: 2000 } : {}),
    ...(cell.connections === 16 && cell.kilobytes === 200 ? { target: 250 } : {}),
  });
  if (cell.connections === 16 && isSmall) {
    figures.push({
      name: `ingest ${nameOf(cell)}, of all processes`,
      value: (ours.acknowledged * 1000) / ours.allCpuMs,
      unit: 'blocks/CPU s',
      better: 'higher',
    });
  }
}
if (gatedPeakMB !== undefined) {
  const name = 'ingest peak memory at ten times the data';
  figures.push({ name, value: gatedPeakMB, unit: 'MB', better: 'lower', scalesWithMachine: false });
}
reportBench(figures);
