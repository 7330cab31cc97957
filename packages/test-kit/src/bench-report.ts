/**
 * What a benchmark found, as a table for people and as JSON lines for `npm run bench -- --check`, each beside
 * the speed of a fixed loop measured in the same process, so that runs on different machines compare.
 */

import { appendFileSync } from 'node:fs';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';

export interface BenchFigure {
  /** Stable: the committed baseline knows the figure by it. */
  readonly name: string;
  readonly value: number;
  /** Rates are per CPU second of every thread and process that did the work. */
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  /** What the project promises; shown beside the value. */
  readonly target?: number;
  /** A count of bytes or chunks does not change with the machine's speed: false. Default true. */
  readonly scalesWithMachine?: boolean;
  /** Shown by the gate and never failed on: what chance decides, such as a longest delay. Default true. */
  readonly gated?: boolean;
}

/** Prints the figures, and appends them to the file that `TRACELAKE_BENCH_REPORT` names. */
export function reportBench(figures: readonly BenchFigure[]): void {
  const rows = figures.map(({ name, value, unit, target }) => ({
    figure: name,
    value: Number(value.toPrecision(4)),
    unit,
    target: target ?? '',
    'of target': target === undefined ? '' : (value / target).toFixed(2),
  }));
  console.table(rows);
  const path = process.env.TRACELAKE_BENCH_REPORT;
  if (path === undefined || path === '') return;
  const reference = measureReference();
  const lines = figures.map((figure) => JSON.stringify({ ...figure, reference }));
  appendFileSync(path, `${lines.join('\n')}\n`);
}

/** Rounds of a fixed mix of integer, typed-array and zstd work in a CPU second: the machine's speed now. */
export function measureReference(): number {
  const input = new BigInt64Array(1 << 16);
  let best = 0;
  for (let attempt = 0; attempt < 5; attempt++) {
    const before = process.cpuUsage();
    const rounds = 20;
    for (let round = 0; round < rounds; round++) referenceRound(input, round);
    const { user, system } = process.cpuUsage(before);
    best = Math.max(best, (rounds * 1e6) / (user + system));
  }
  return best;
}

function referenceRound(values: BigInt64Array<ArrayBuffer>, seed: number): void {
  let state = seed | 1;
  for (let index = 0; index < values.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[index] = BigInt(state >>> 12);
  }
  const bytes = new Uint8Array(values.buffer);
  if (zstdDecompressSync(zstdCompressSync(bytes)).length !== bytes.length) {
    throw new Error('zstd did not give back what it was given');
  }
}
