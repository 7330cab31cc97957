/**
 * Scenario: ten million rows to a reader that takes 1 MB/s for a while and then the rest as fast as it comes;
 * fewer rows to one that stops for longer than the time limit.
 * Guarantees: neither the child nor the service grows with the answer or with the reader's slowness, the
 * time that the reader takes is not the query's, and every row arrives.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type EngineFixture, runRequest, startEngine } from '../../test/engine-fixture.ts';

const ROWS = 10_000_000;
const SQL = `SELECT i, make_timestamp_ns(i * 1000) AS time, 'name ' || (i % 300) AS name FROM range(${ROWS}) t(i)`;

const TIME_MS = 60_000;

/** A short time limit, and a pause that is longer than it and the grace together. */
const SHORT_TIME_MS = 2_000;
const PAUSE_MS = 6_500;

const SLOW_BYTES = 3_000_000;
const BYTES_PER_MS = 1_000;

const GROWTH_MAX = 64 * 2 ** 20;

for (const format of ['arrow', 'csv'] as const) {
  const options = { skip: process.platform !== 'linux', timeout: 300_000 };
  test(
    `memory is flat while a slow reader takes ten million rows as ${format}`,
    options,
    async (context) => {
      await using engine = await startEngine({ warmCount: 0 });
      const limits = { timeMs: TIME_MS, rowsMax: ROWS, bytesMax: 2 ** 32 };
      const figures = await readSlowly(engine, { sql: SQL, format, limits });
      context.diagnostic(JSON.stringify(figures));
      assert.equal(figures.rows, ROWS);
      assert.ok(figures.childGrowth < GROWTH_MAX, `the child grew by ${figures.childGrowth}`);
      assert.ok(figures.ownGrowth < GROWTH_MAX, `the service grew by ${figures.ownGrowth}`);
    },
  );
}

test('a reader that pauses for longer than the time limit loses nothing', async () => {
  await using engine = await startEngine({ warmCount: 0 });
  const process = await engine.pool.acquire();
  await process.analyse('SELECT * FROM range(300000)');
  const limits = { timeMs: SHORT_TIME_MS, rowsMax: ROWS, bytesMax: 2 ** 30 };
  const { body, done } = await process.run(runRequest({ format: 'csv', limits }));
  let lines = 0;
  let hasPaused = false;
  for await (const chunk of body) {
    if (!hasPaused) await delay(PAUSE_MS);
    hasPaused = true;
    for (const byte of chunk as Uint8Array) if (byte === 10) lines += 1;
  }
  assert.equal(lines, 300_001);
  assert.equal((await done).rows, 300_000);
  await engine.pool.release(process);
});

interface Wanted {
  readonly sql: string;
  readonly format: 'arrow' | 'csv';
  readonly limits: { timeMs: number; rowsMax: number; bytesMax: number };
}

async function readSlowly(engine: EngineFixture, { sql, format, limits }: Wanted) {
  const child = await engine.pool.acquire();
  await child.analyse(sql);
  const { body, done } = await child.run(runRequest({ format, limits }));
  const pid = childPid();
  const own = new Growth(() => process.memoryUsage.rss());
  const childs = new Growth(() => residentBytes(pid));
  let bytes = 0;
  let measuredAt = 0;
  for await (const chunk of body) {
    bytes += (chunk as Uint8Array).byteLength;
    if (bytes < SLOW_BYTES) await delay((chunk as Uint8Array).byteLength / BYTES_PER_MS);
    if (bytes - measuredAt < 1_000_000) continue;
    measuredAt = bytes;
    own.measure();
    childs.measure();
  }
  const { rows } = await done;
  await engine.pool.release(child);
  return { rows, ownGrowth: own.bytes, childGrowth: childs.bytes };
}

/** How far the most lies above what was held when two megabytes had gone. */
class Growth {
  readonly #read: () => number;
  readonly #samples: number[] = [];

  constructor(read: () => number) {
    this.#read = read;
  }

  measure(): void {
    this.#samples.push(this.#read());
  }

  get bytes(): number {
    const settled = this.#samples.slice(2);
    return Math.max(...settled) - (settled[0] ?? 0);
  }
}

function residentBytes(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib ?? 0) * 1024;
}

/** The only child of this process. */
function childPid(): number {
  const children = readdirSync('/proc/self/task').flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, 'utf8').trim().split(' '),
  );
  return Number(children.find((pid) => pid !== ''));
}
