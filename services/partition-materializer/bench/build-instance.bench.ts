/**
 * Blocks in a directory store to closed, registered partitions: fetch, decompress, decode, fold, encode, fsync,
 * commit, in a process of its own whose threads are all counted. First every view cold, then again warm.
 * `--spans N` (default 2,100,000, in blocks of 2.9 MB), `--rows N` of the other views, `--rounds N`, `--views a,b`.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { sql } from '@tracelake/storage';
import { type BenchFigure, generateProcess, reportBench } from '@tracelake/test-kit';
import { openTestLake, type TestLake } from '../test/test-lake.ts';
import type { BuildRound, RoundsRequest } from './build-rounds.ts';

const { values } = parseArgs({
  options: {
    spans: { type: 'string', default: '2100000' },
    rows: { type: 'string', default: '500000' },
    rounds: { type: 'string', default: '4' },
    views: { type: 'string', default: 'thread_spans,async_events,log_entries,measures' },
  },
  strict: false,
});
const rowCount = Number(values.rows);

/** Each view has a process of its own; an async span is two events. */
const OPTIONS = {
  thread_spans: { seed: 1, threadSpans: Number(values.spans) },
  async_events: { seed: 2, asyncSpans: Math.ceil(rowCount / 2) },
  log_entries: { seed: 3, logEntries: rowCount },
  measures: { seed: 4, measures: rowCount },
} as const;
const TARGET_ROWS_PER_SECOND = { thread_spans: 2e6 } as Readonly<Record<string, number>>;
const TARGET_OTHER_ROWS_PER_SECOND = 1e6;

await using lake = await openTestLake();
const targets: RoundsRequest['targets'][number][] = [];
for (const [viewSet, options] of Object.entries(OPTIONS)) {
  if (!String(values.views).split(',').includes(viewSet)) continue;
  targets.push({ viewSet, instance: await ingestProcess(lake, viewSet, options) });
}
const { databaseUrl, objectStoreUrl, directory } = lake;
const rounds = await runRounds({
  ...{ databaseUrl, objectStoreUrl, directory, targets },
  rounds: Number(values.rounds),
});
console.table(rounds.map(tableRow));
reportBench(targets.flatMap(({ viewSet }) => figuresOf(viewSet)));

async function ingestProcess(
  { database, ingest }: TestLake,
  viewSet: string,
  options: Parameters<typeof generateProcess>[0],
): Promise<string> {
  const generated = generateProcess(options);
  for (const request of generated) await ingest(request);
  if (viewSet !== 'thread_spans') return generated.processId;
  const [stream] = await database.query<{ id: string }>(
    sql`SELECT stream_id AS id FROM streams WHERE process_id = ${generated.processId}`,
  );
  return String(stream?.id);
}

async function runRounds(request: RoundsRequest): Promise<BuildRound[]> {
  const child = fork(new URL('./build-rounds.ts', import.meta.url), [JSON.stringify(request)]);
  const measured: BuildRound[] = [];
  child.on('message', (round: BuildRound) => measured.push(round));
  const [status] = await once(child, 'exit');
  if (status !== 0) throw new Error(`the measured process ended with status ${status}`);
  return measured;
}

function tableRow(round: BuildRound): Record<string, unknown> {
  return {
    view: round.viewSet,
    rows: round.rows,
    blocks: round.blocks,
    partitions: round.partitions,
    'wall ms': Math.round(round.wallMs),
    'CPU ms': Math.round(round.cpuMs),
    'thousand rows/CPU-s': Math.round(round.rows / round.cpuMs),
    'bytes/row': Number((round.bytes / round.rows).toFixed(2)),
    'peak RSS growth MB': Math.round(round.peakRssGrowthMb),
    'longest loop delay ms': Math.round(round.longestLoopDelayMs),
  };
}

function figuresOf(viewSet: string): BenchFigure[] {
  const [cold, ...warm] = rounds.filter((round) => round.viewSet === viewSet);
  if (cold === undefined) return [];
  const all = [cold, ...warm];
  const rate = ({ rows, cpuMs }: BuildRound) => (rows * 1000) / cpuMs;
  const target = TARGET_ROWS_PER_SECOND[viewSet] ?? TARGET_OTHER_ROWS_PER_SECOND;
  const size = { unit: 'bytes/row', better: 'lower', scalesWithMachine: false } as const;
  const held = { unit: 'MB', better: 'lower', scalesWithMachine: false } as const;
  return [
    {
      name: `${viewSet}: cold build`,
      value: Math.max(...warm.map(rate)),
      unit: 'rows/CPU-s',
      better: 'higher',
      target,
    },
    {
      name: `${viewSet}: first build of a process`,
      value: rate(cold),
      unit: 'rows/CPU-s',
      better: 'higher',
    },
    {
      name: `${viewSet}: at rest`,
      value: cold.bytes / cold.rows,
      ...size,
      ...(viewSet === 'thread_spans' ? { target: 12 } : {}),
    },
    {
      name: `${viewSet}: peak RSS growth`,
      value: Math.max(...all.map((round) => round.peakRssGrowthMb)),
      ...held,
      target: 256,
    },
    {
      name: `${viewSet}: longest event loop delay`,
      gated: false,
      value: Math.max(...warm.map((round) => round.longestLoopDelayMs)),
      unit: 'ms',
      better: 'lower',
    },
  ];
}
