/**
 * The documented queries warm through `POST /v1/query`, beside DuckDB's own API on the same files with the
 * same threads, memory and views; then what the first queries of a process cost, by step.
 * Run: `npm run bench -- bench/query.bench [--spans N] [--rounds N] [--pause-ms N]`.
 */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startProcessStack } from '../src/harness/process-stack.ts';
import { postQuery, queryRows } from '../src/harness/query-answers.ts';
import { PlainDuckDb } from './query/plain-duckdb.ts';
import { type SyntheticLake, sendSyntheticLake } from './query/synthetic-lake.ts';

const THREADS = 2;
const MEMORY_BYTES = 1024 ** 3;
const LONG_MS = 100;
/** The service starts a process for the next query after each: one that starts is no part of the figures. */
const DEFAULT_PAUSE_MS = 600;
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
    'pause-ms': { type: 'string' },
  },
});
const spanCount = Number(values.spans ?? 2_000_000);
const rounds = Number(values.rounds ?? 3);
const pauseMs = Number(values['pause-ms'] ?? DEFAULT_PAUSE_MS);

await using stack = await startProcessStack();
const service = await stack.startService('query', {
  env: {
    TRACELAKE_QUERY_THREADS: String(THREADS),
    TRACELAKE_QUERY_MEMORY_BYTES: String(MEMORY_BYTES),
    TRACELAKE_MATERIALIZE_TIMEOUT_S: '3600',
  },
});
const lake = await sendSyntheticLake(stack.ingest.url, spanCount);
console.error(`sent ${spanCount} thread spans and a tenth as much of each other kind`);
const queries = await documentedQueries(lake);
const cold = await measureCold();
await using duckDb = await openPlainDuckDb();
console.log('cold, ms: the first query of an instance, then the same one again');
console.table(cold);
const warm = new Map<string, Figures>();
for (let round = 1; round <= rounds; round++) {
  await measureRound(warm);
  printWarm(round);
}

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
    await sleep(pauseMs);
    const first = await ask(query.sql);
    await sleep(pauseMs);
    const again = await ask(query.sql);
    table[title] = { ...first.steps, total: rounded(first.ms), 'total again': rounded(again.ms) };
  }
  return table;
}

interface Figures {
  ours: number;
  duckDb: number;
  rows: number;
}

/** Keeps the best of each query's rounds. */
async function measureRound(best: Map<string, Figures>): Promise<void> {
  for (const { title, sql } of queries) {
    const known = best.get(title) ?? { ours: Infinity, duckDb: Infinity, rows: 0 };
    await sleep(pauseMs);
    const ours = await ask(sql);
    await sleep(pauseMs);
    const startedMs = performance.now();
    const rows = await duckDb.run(sql);
    const duckDbMs = performance.now() - startedMs;
    if (ours.rows !== rows) throw new Error(`${title}: ${ours.rows} rows, DuckDB has ${rows}`);
    best.set(title, {
      ours: Math.min(known.ours, ours.ms),
      duckDb: Math.min(known.duckDb, duckDbMs),
      rows,
    });
  }
}

/** The whole answer as CSV. */
async function ask(sql: string) {
  const startedMs = performance.now();
  const response = await postQuery(service.url, { sql }, 'csv');
  const bytes = Buffer.from(await response.arrayBuffer());
  const ms = performance.now() - startedMs;
  const timing = response.headers.get('server-timing') ?? '';
  const steps = Object.fromEntries(
    [...timing.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, step, dur]) => [step, Number(dur)]),
  );
  return { ms, steps, rows: lineCount(bytes) - 1 };
}

/** No text of the recording has a line break. */
function lineCount(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count += 1;
  return count;
}

function printWarm(round: number): void {
  const table: Record<string, Record<string, number>> = {};
  for (const [title, { ours, duckDb: plain, rows }] of warm) {
    table[title] = {
      rows,
      'ours, ms': rounded(ours),
      'DuckDB, ms': rounded(plain),
      ratio: Math.round((ours / plain) * 100) / 100,
    };
  }
  console.table(table);
  const long = [...warm].filter(([, figures]) => figures.duckDb > LONG_MS);
  const ratios = long.map(([title, figures]) => ({ title, ratio: figures.ours / figures.duckDb }));
  const [worst] = ratios.sort((a, b) => b.ratio - a.ratio);
  console.log(
    `${warm.size} queries, best of ${round}; ${long.length} take DuckDB over ${LONG_MS} ms; ` +
      `highest ratio of these (target 1.3): ${worst?.ratio.toFixed(2)}, ${worst?.title}`,
  );
  const added = [...warm.values()].map((figures) => figures.ours - figures.duckDb);
  console.log(`most that a query took longer: ${rounded(Math.max(...added))} ms`);
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
