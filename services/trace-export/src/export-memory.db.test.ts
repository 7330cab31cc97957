/**
 * Scenario: the benchmark of this service in a process of its own with a small fixed heap, one span's name
 * being a megabyte.
 * Guarantees: between the first and the last megabyte memory grows by at most 64 MiB, whether the reader is
 * fast or slow, and at most 16 chunks ever wait.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BenchFigure } from '@tracelake/test-kit';

const SPAN_COUNT = 300_000;

test('an export of any length is written in constant memory', { timeout: 180_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'tracelake-memory-'));
  try {
    const figures = await benchFigures(join(dir, 'report.jsonl'));
    const growths = figures.filter(({ name }) => name.startsWith('export: memory growth'));
    assert.equal(growths.length, 4);
    for (const { name, value } of growths) {
      assert.ok(value <= 64, `${name}: memory grew by ${value} MiB`);
    }
    const waited = figures.find(({ name }) => name.startsWith('export: most chunks that waited'));
    assert.ok(waited !== undefined && waited.value <= 16, `${waited?.value} chunks waited`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

async function benchFigures(report: string): Promise<BenchFigure[]> {
  const bench = fileURLToPath(new URL('../bench/export.bench.ts', import.meta.url));
  const args = ['--max-old-space-size=192', bench, '--spans', String(SPAN_COUNT), '--rounds', '1'];
  const env = { ...process.env, TRACELAKE_BENCH_REPORT: report };
  await promisify(execFile)(process.execPath, args, { env });
  const lines = (await readFile(report, 'utf8')).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as BenchFigure);
}
