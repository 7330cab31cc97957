/**
 * Scenario: ten million rows to a reader that takes 1 MB/s for a while and then the rest as fast as it comes;
 * fewer rows to one that stops for longer than the time limit.
 * Guarantees: neither the child nor the service grows with the answer or with the reader's slowness, the
 * time that the reader takes is not the query's, and every row arrives.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { runRequest, startEngine } from '../../test/engine-fixture.ts';
import { MANY_ROWS, readSlowly } from '../../test/slow-reader.ts';

/** A short time limit, and a pause that is longer than it and the grace together. */
const SHORT_TIME_MS = 2_000;
const PAUSE_MS = 6_500;

const GROWTH_MAX = 64 * 2 ** 20;

for (const format of ['arrow', 'csv'] as const) {
  const options = { skip: process.platform !== 'linux', timeout: 300_000 };
  test(
    `memory is flat while a slow reader takes ten million rows as ${format}`,
    options,
    async (context) => {
      const figures = await readSlowly(format);
      context.diagnostic(JSON.stringify(figures));
      assert.equal(figures.rows, MANY_ROWS);
      assert.ok(figures.childGrowth < GROWTH_MAX, `the child grew by ${figures.childGrowth}`);
      assert.ok(figures.ownGrowth < GROWTH_MAX, `the service grew by ${figures.ownGrowth}`);
    },
  );
}

test('a reader that pauses for longer than the time limit loses nothing', async () => {
  await using engine = await startEngine({ warmCount: 0 });
  const process = await engine.pool.acquire();
  await process.analyse('SELECT * FROM range(300000)');
  const limits = { timeMs: SHORT_TIME_MS, rowsMax: MANY_ROWS, bytesMax: 2 ** 30 };
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
