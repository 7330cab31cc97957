/**
 * Scenario: the benchmark of this service in a process of its own with a small fixed heap, one span's name
 * being a megabyte.
 * Guarantees: between the first and the last megabyte memory grows by at most 64 MiB, whether the reader is
 * fast or slow, and at most 16 chunks ever wait.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const SPAN_COUNT = 500_000;

interface Figures {
  readonly what: string;
  readonly slices: number;
  readonly megabytes: number;
  readonly rssGrowthMb: number;
  readonly maxDepth: number;
}

test('an export of any length is written in constant memory', { timeout: 180_000 }, async () => {
  const bench = fileURLToPath(new URL('../bench/export.bench.ts', import.meta.url));
  const args = ['--max-old-space-size=192', bench, String(SPAN_COUNT), '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const runs = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Figures);
  assert.equal(runs.length, 4);
  for (const { what, slices, megabytes, rssGrowthMb, maxDepth } of runs) {
    assert.ok(slices >= SPAN_COUNT / 4, what);
    assert.ok(megabytes > 5, what);
    assert.ok(maxDepth <= 16, `${what}: ${maxDepth} chunks waited`);
    assert.ok(rssGrowthMb <= 64, `${what}: memory grew by ${rssGrowthMb} MiB`);
  }
});
