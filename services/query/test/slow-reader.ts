/** Ten million rows to a reader that takes 1 MB/s for a while and then the rest as fast as it comes. */

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { runRequest, startEngine } from './engine-fixture.ts';

export const MANY_ROWS = 10_000_000;
const SQL = `SELECT i, make_timestamp_ns(i * 1000) AS time, 'name ' || (i % 300) AS name FROM range(${MANY_ROWS}) t(i)`;
const LIMITS = { timeMs: 60_000, rowsMax: MANY_ROWS, bytesMax: 2 ** 32 };

const SLOW_BYTES = 3_000_000;
const BYTES_PER_MS = 1_000;

/** Rows that arrived, and by how many bytes this process and the query's own grew meanwhile. */
export async function readSlowly(format: 'arrow' | 'csv') {
  await using engine = await startEngine({ warmCount: 0 });
  const child = await engine.pool.acquire();
  await child.analyse(SQL);
  const { body, done } = await child.run(runRequest({ format, limits: LIMITS }));
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
  return { rows, bytes, ownGrowth: own.bytes, childGrowth: childs.bytes };
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
