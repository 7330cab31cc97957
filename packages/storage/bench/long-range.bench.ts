/**
 * What it costs to decide over long ranges that all is current, and to plan: 1 and 30 days of sparse blocks (30 a
 * stream and day), 1 and 100 streams, and ten times the blocks. CPU is that of this process and of the Postgres
 * backend that serves it.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isCoverageConsistent, planLayout } from '@tracelake/lakehouse';
import { type BenchFigure, reportBench } from '@tracelake/test-kit';
import { readInstanceSnapshot } from '../src/instance-snapshot.ts';
import { readProcessSnapshot } from '../src/lake-snapshot.ts';
import type { Connection, Database } from '../src/postgres/database.ts';
import { type SqlStatement, sql } from '../src/postgres/sql.ts';
import { THREAD_VIEW } from '../test/catalog-fixture.ts';
import { storeLongRange } from '../test/long-range-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const ROUNDS = 3;
const SCHEMA_HASH = 'aa';
const VIEW = { view: THREAD_VIEW, schemaHash: SCHEMA_HASH };
const CLOCK_TICK_MS = 10;

interface Case {
  readonly days: number;
  readonly streamCount: number;
  readonly blocksPerDay: number;
}

const CASES: readonly Case[] = [
  { days: 1, streamCount: 1, blocksPerDay: 30 },
  { days: 30, streamCount: 1, blocksPerDay: 30 },
  { days: 1, streamCount: 100, blocksPerDay: 30 },
  { days: 30, streamCount: 100, blocksPerDay: 30 },
  { days: 30, streamCount: 1, blocksPerDay: 300 },
  { days: 30, streamCount: 1, blocksPerDay: 3000 },
];

/** Rows between two measurements of what is held while they come. */
const ROWS_BETWEEN = 16;

interface Measured {
  readonly statements: number;
  readonly wallMs: number;
  readonly nodeCpuMs: number;
  readonly postgresCpuMs: number;
  readonly heldBytesMax: number;
}

async function measure(
  db: Database,
  work: (transaction: Connection) => Promise<unknown>,
  { countsHeld }: { readonly countsHeld: boolean },
): Promise<Measured> {
  let statements = 0;
  let heldBytesMax = 0;
  const before = liveBytes();
  return db.transaction(
    async (transaction) => {
      const [row] = await transaction.query<{ pid: number }>(sql`SELECT pg_backend_pid() AS pid`);
      const pid = row?.pid ?? 0;
      const counting: Connection = {
        ...transaction,
        async forEachRow<Row>(statement: SqlStatement, onRow: (row: Row) => void) {
          statements += 1;
          let rows = 0;
          await transaction.forEachRow<Row>(statement, (row) => {
            onRow(row);
            const looks = countsHeld && rows++ % ROWS_BETWEEN === 0;
            if (looks) heldBytesMax = Math.max(heldBytesMax, liveBytes() - before);
          });
        },
        async query<Row>(statement: SqlStatement) {
          statements += 1;
          const rows = await transaction.query<Row>(statement);
          if (countsHeld) heldBytesMax = Math.max(heldBytesMax, liveBytes() - before);
          return rows;
        },
      };
      const startMs = performance.now();
      const startCpu = process.cpuUsage();
      const startTicks = cpuTicksOf(pid);
      await work(counting);
      const { user, system } = process.cpuUsage(startCpu);
      return {
        statements,
        wallMs: performance.now() - startMs,
        nodeCpuMs: (user + system) / 1000,
        postgresCpuMs: (cpuTicksOf(pid) - startTicks) * CLOCK_TICK_MS,
        heldBytesMax,
      };
    },
    { isolation: 'repeatable read', readOnly: true },
  );
}

function liveBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** User and system time, fields 14 and 15; the name before them may have spaces. */
function cpuTicksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

async function bestOf(run: (countsHeld: boolean) => Promise<Measured>): Promise<Measured> {
  let best: Measured | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    const measured = await run(false);
    const cpuMs = measured.nodeCpuMs + measured.postgresCpuMs;
    if (best === undefined || cpuMs < best.nodeCpuMs + best.postgresCpuMs) best = measured;
  }
  const { heldBytesMax } = await run(true);
  return { ...(best as Measured), heldBytesMax };
}

const figures: BenchFigure[] = [];
const table: Record<string, unknown>[] = [];
await using fixture = await openTestDatabase();
const { db } = fixture;
for (const { days, streamCount, blocksPerDay } of CASES) {
  const blocksPerStream = days * blocksPerDay;
  const stored = await storeLongRange(db, {
    ...{ days, streamCount, blocksPerStream, blocksPerRun: 1000 },
    ...{ schemaHash: SCHEMA_HASH, viewSet: THREAD_VIEW.name },
  });
  const read = (transaction: Connection) =>
    readProcessSnapshot(transaction, { processId: stored.processId, views: [VIEW] }).then(
      ({ instances }) => {
        if (!instances.every((one) => isCoverageConsistent(THREAD_VIEW, one.partitions))) {
          throw new Error('the partitions are not current');
        }
      },
    );
  const [instance = ''] = stored.streamIds;
  const plan = (transaction: Connection) =>
    readInstanceSnapshot(transaction, { ...VIEW, instance }).then(({ layout }) => {
      if (layout === undefined || planLayout(layout).decision !== 'current') {
        throw new Error('the instance is not current');
      }
    });
  for (const [what, work, blocks] of [
    ['freshness of a process', read, blocksPerStream * streamCount],
    ['plan of a stream', plan, blocksPerStream],
  ] as const) {
    const best = await bestOf((countsHeld) => measure(db, work, { countsHeld }));
    const cpuMs = best.nodeCpuMs + best.postgresCpuMs;
    table.push({
      what,
      days,
      streams: streamCount,
      blocks,
      statements: best.statements,
      'wall ms': Math.round(best.wallMs),
      'Node CPU ms': Math.round(best.nodeCpuMs),
      'Postgres CPU ms': Math.round(best.postgresCpuMs),
      'CPU us a block': Number(((1000 * cpuMs) / blocks).toFixed(2)),
      'held MB at most': Number((best.heldBytesMax / 1e6).toFixed(1)),
    });
    if (blocks < 90_000) continue;
    const name = `${what}, ${days} days, ${streamCount} streams, ${blocks} blocks`;
    figures.push(
      {
        name: `${name}: blocks`,
        value: (1000 * blocks) / cpuMs,
        unit: 'blocks/CPU s',
        better: 'higher',
      },
      {
        name: `${name}: statements`,
        value: best.statements,
        unit: 'statements',
        better: 'lower',
        target: 3,
        scalesWithMachine: false,
      },
      {
        name: `${name}: held`,
        value: best.heldBytesMax / 1e6,
        unit: 'MB',
        better: 'lower',
        scalesWithMachine: false,
      },
    );
  }
}
console.table(table);
reportBench(figures);
