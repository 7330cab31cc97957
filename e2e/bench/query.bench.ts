/**
 * The documented queries warm through `POST /v1/query`, beside DuckDB's own API on the same files with the
 * same threads, memory and text of the views, in rounds that take turns; then what the first queries of a process
 * cost, by step. Each figure is the best of its rounds.
 *
 * Both write every row as CSV, and the numbers of rows must be equal: ours over HTTP to this process, which takes its
 * share of the same processors, DuckDB's by COPY into a file. DuckDB keeps its instance, its prepared views and its
 * cache of files from query to query; ours parses, checks, plans and locks down anew each time, and reads the files
 * again. CPU is that of the service and of all its processes but those that start meanwhile, cleaning up after the
 * answer included, and of this process while DuckDB runs in it. What starts cost is told apart, with their number.
 * Run: `npm run bench -- bench/query.bench [--spans N] [--rounds N] [--only REGEXP] [--process-statements N]`; with
 * one statement a process, every query pays for memory that is new to its process.
 */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { reportBench } from '@tracelake/test-kit';
import { startProcessStack } from '../src/harness/process-stack.ts';
import { queryRows } from '../src/harness/query-answers.ts';
import { readAnswer } from './query/answer-reading.ts';
import { childrenSettled, meterQuery } from './query/cpu-time.ts';
import { PlainDuckDb } from './query/plain-duckdb.ts';
import { type SyntheticLake, sendSyntheticLake } from './query/synthetic-lake.ts';

const THREADS = 2;
const MEMORY_BYTES = 1024 ** 3;
const LONG_MS = 100;
/** What a query over {@link LONG_MS} may take, as a multiple of DuckDB's own time. */
const RATIO_MAX = 1.3;
/** Each needs an instance that none before it had built. */
const COLD_TITLES = [
  'Log entries by level',
  'Measures by name',
  'Async events by thread',
  'Longest spans of a thread',
  'The same over all threads of a process',
];

const { values } = parseArgs({
  strict: false,
  options: {
    spans: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    'process-statements': { type: 'string' },
  },
});
const spanCount = Number(values.spans ?? 1_000_000);
const rounds = Number(values.rounds ?? 5);
const processStatements = values['process-statements'];
/** Titles of the queries measured warm. */
const only = new RegExp(String(values.only ?? ''));

await using stack = await startProcessStack();
const service = await stack.startService('query', {
  env: {
    TRACELAKE_QUERY_THREADS: String(THREADS),
    TRACELAKE_QUERY_MEMORY_BYTES: String(MEMORY_BYTES),
    TRACELAKE_MATERIALIZE_TIMEOUT_S: '3600',
    ...(processStatements && { TRACELAKE_QUERY_PROCESS_STATEMENTS: String(processStatements) }),
  },
});
const lake = await sendSyntheticLake(stack.ingest.url, spanCount);
console.error(`sent ${spanCount} thread spans and a tenth as much of each other kind`);
const queries = await documentedQueries(lake);
/** CPU of the query processes that were started, each until it waits for its first statement. */
const startsMs: number[] = [];
let askedCount = 0;
const cold = await measureCold();
await using duckDb = await openPlainDuckDb();
console.log('cold, ms: the first query of an instance, then the same one again');
console.table(cold);
const warm = new Map<string, Figures>();
for (let round = 1; round <= rounds; round++) {
  await measureRound(warm);
}
printWarm();

interface Query {
  readonly title: string;
  readonly sql: string;
}

/** Those over views; the catalog's tables are Postgres's work. */
async function documentedQueries({ processId, streamId }: SyntheticLake): Promise<Query[]> {
  const text = await readFile(new URL('../../docs/queries.md', import.meta.url), 'utf8');
  return [...text.matchAll(/^### (.+)\n```sql ?\w*\n([\s\S]*?)```/gm)]
    .map(([, title = '', sql = '']) => ({
      title,
      sql: sql.replaceAll('{process}', processId).replaceAll('{stream}', streamId),
    }))
    .filter(({ sql }) => !/FROM (processes|blocks|list_view_sets)\b|DESCRIBE/.test(sql));
}

async function openPlainDuckDb(): Promise<PlainDuckDb> {
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-bench-'));
  process.once('exit', () => void rm(directory, { recursive: true, force: true }));
  const partitions = await queryRows(service.url, 'SELECT * FROM list_partitions()');
  return await PlainDuckDb.open({
    lake,
    threads: THREADS,
    memoryBytes: MEMORY_BYTES,
    answerPath: join(directory, 'answer.csv'),
    filesOf: (viewSet, instance) =>
      partitions
        .filter((one) => one.view_set_name === viewSet && one.view_instance_id === instance)
        .flatMap((one) => (one.file_path ? [join(stack.objectsDir, String(one.file_path))] : [])),
  });
}

async function measureCold() {
  const table: Record<string, Record<string, number>> = {};
  for (const title of COLD_TITLES) {
    const query = queries.find((one) => one.title === title);
    if (query === undefined) throw new Error(`no documented query "${title}"`);
    const first = await ask(query.sql);
    const again = await ask(query.sql);
    table[title] = { ...first.steps, total: rounded(first.ms), 'total again': rounded(again.ms) };
  }
  return table;
}

interface Figures {
  ours: number;
  duckDb: number;
  oursCpu: number;
  duckDbCpu: number;
  rows: number;
}

/** Keeps the best of each query's rounds. */
async function measureRound(best: Map<string, Figures>): Promise<void> {
  for (const { title, sql } of queries.filter((query) => only.test(query.title))) {
    const none = { ours: Infinity, duckDb: Infinity, oursCpu: Infinity, duckDbCpu: Infinity };
    const known = best.get(title) ?? none;
    const ours = await ask(sql);
    const cpuBefore = process.cpuUsage();
    const startedMs = performance.now();
    const rows = await duckDb.run(sql);
    const duckDbMs = performance.now() - startedMs;
    const { user, system } = process.cpuUsage(cpuBefore);
    if (ours.rows !== rows) throw new Error(`${title}: ${ours.rows} rows, DuckDB has ${rows}`);
    best.set(title, {
      ours: Math.min(known.ours, ours.ms),
      duckDb: Math.min(known.duckDb, duckDbMs),
      oursCpu: Math.min(known.oursCpu, ours.cpuMs),
      duckDbCpu: Math.min(known.duckDbCpu, (user + system) / 1000),
      rows,
    });
  }
}

/** The whole answer as CSV, asked while no process starts. */
async function ask(sql: string) {
  await childrenSettled(service.pid);
  const cpu = await meterQuery(service.pid);
  const { ms, timing, chunks } = await readAnswer(service.url, sql);
  const steps = Object.fromEntries(
    [...timing.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, step, dur]) => [step, Number(dur)]),
  );
  const spent = await cpu.stop();
  startsMs.push(...spent.startsMs);
  askedCount += 1;
  return { ms, cpuMs: spent.answerMs, steps, rows: lineCount(chunks) - 1 };
}

/** No text of the recording has a line break. */
function lineCount(chunks: readonly Buffer[]): number {
  let count = 0;
  for (const chunk of chunks) {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) count += 1;
  }
  return count;
}

function printWarm(): void {
  const table: Record<string, Record<string, number | string>> = {};
  for (const [title, { ours, duckDb: plain, oursCpu, duckDbCpu, rows }] of warm) {
    table[title] = {
      rows,
      'ours, ms': rounded(ours),
      'DuckDB, ms': rounded(plain),
      ratio: (ours / plain).toFixed(2),
      'ours, CPU ms': rounded(oursCpu),
      'DuckDB, CPU ms': rounded(duckDbCpu),
      verdict: plain <= LONG_MS ? '' : ours / plain <= RATIO_MAX ? 'within' : 'OVER',
    };
  }
  console.table(table);
  const figures = [...warm.values()];
  const ratios = figures.filter(({ duckDb: ms }) => ms > LONG_MS).map((f) => f.ours / f.duckDb);
  const over = ratios.filter((ratio) => ratio > RATIO_MAX).length;
  console.log(
    `best of ${rounds}: of ${warm.size} queries ${ratios.length} take DuckDB over ${LONG_MS} ms, ` +
      `of which ${over} take us more than ${RATIO_MAX} times as long; ` +
      `${askedCount} queries needed ${startsMs.length} new processes, ` +
      `each of ${rounded(median(startsMs))} CPU ms (median) until it waits`,
  );
  const added = figures.map((one) => one.oursCpu - one.duckDbCpu);
  const sum = (of: (one: Figures) => number) => figures.reduce((total, one) => total + of(one), 0);
  reportBench([
    {
      name: "query: CPU of all documented queries, of DuckDB's own",
      value: sum(({ oursCpu }) => oursCpu) / sum(({ duckDbCpu }) => duckDbCpu),
      unit: 'ratio',
      better: 'lower',
      scalesWithMachine: false,
    },
    {
      name: 'query: median of the CPU that a query takes more',
      value: median(added),
      unit: 'CPU ms',
      better: 'lower',
    },
  ]);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
