/**
 * Rows as views make them to Parquet files: CPU time and bytes of a row. `--rows N` (default 1,000,000).
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { reportBench, seededRandom } from '@tracelake/test-kit';
import { writeParquet } from '../src/parquet-writing.ts';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '1000000' } },
  strict: false,
});
const rowCount = Number(values.rows);
const ROUNDS = 3;

const directory = await mkdtemp(join(tmpdir(), 'tracelake-parquet-bench-'));
try {
  const spans = spanRows(rowCount);
  const texts = textRows(rowCount);
  const best = new Map<string, { cpuNs: number; bytes: number }>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, { columns, rows }] of Object.entries({ spans, texts })) {
      const path = join(directory, `${name}.parquet`);
      const before = process.cpuUsage();
      const { sizeBytes } = await writeParquet({ path, columns, rows, metadata: {} });
      const { user, system } = process.cpuUsage(before);
      const cpuNs = ((user + system) * 1000) / rowCount;
      const last = best.get(name);
      if (last === undefined || cpuNs < last.cpuNs) best.set(name, { cpuNs, bytes: sizeBytes });
    }
  }
  reportBench(
    [...best].flatMap(([name, { cpuNs, bytes }]) => [
      {
        name: `parquet write of ${name}`,
        value: 1e9 / cpuNs,
        unit: 'rows/CPU-s',
        better: 'higher' as const,
      },
      {
        name: `parquet bytes of ${name}`,
        value: bytes / rowCount,
        unit: 'bytes/row',
        better: 'lower' as const,
        scalesWithMachine: false,
      },
    ]),
  );
} finally {
  await rm(directory, { recursive: true, force: true });
}

interface Input {
  readonly columns: readonly ColumnDefinition[];
  readonly rows: RowColumns;
}

/** Nested spans of jittered lengths: the columns of `thread_spans`. */
function spanRows(count: number): Input {
  const random = seededRandom(1);
  const id = new BigInt64Array(count);
  const parent = new BigInt64Array(count);
  const begin = new BigInt64Array(count);
  const end = new BigInt64Array(count);
  const duration = new BigInt64Array(count);
  const depth = new Uint32Array(count);
  const scope = new Uint32Array(count);
  let now = 1_700_000_000_000_000_000n;
  for (let row = 0; row < count; row++) {
    const level = row % 7 === 0 ? 1 : row % 3 === 0 ? 2 : 3;
    now += BigInt(50 + random.int(400));
    id[row] = BigInt(row * 2);
    parent[row] = BigInt((row - level) * 2);
    begin[row] = now;
    duration[row] = BigInt(1000 + random.int(3000) * (4 - level) ** 2);
    end[row] = now + (duration[row] ?? 0n);
    depth[row] = level;
    scope[row] = level * 20 + (row % 11);
  }
  const names = Array.from({ length: 100 }, (_, index) => `function_${index}`);
  const targets = names.map((_, index) => `module_${index % 8}`);
  const numbers = (factor: number) => scope.map((code) => Math.imul(code + 1, factor) >>> 0);
  return {
    columns: [
      { name: 'id', type: 'i64' },
      { name: 'parent', type: 'i64' },
      { name: 'depth', type: 'u32' },
      { name: 'hash', type: 'u32' },
      { name: 'begin', type: 'timestamp' },
      { name: 'end', type: 'timestamp' },
      { name: 'duration', type: 'i64' },
      { name: 'name', type: 'string' },
      { name: 'target', type: 'string' },
      { name: 'filename', type: 'string' },
      { name: 'line', type: 'u32' },
      { name: 'open', type: 'bool' },
    ],
    rows: {
      rowCount: count,
      columns: [
        { type: 'i64', values: id },
        { type: 'i64', values: parent },
        { type: 'u32', values: depth },
        { type: 'u32', values: numbers(2_654_435_761) },
        { type: 'timestamp', values: begin },
        { type: 'timestamp', values: end },
        { type: 'i64', values: duration },
        { type: 'string', codes: scope, dictionary: names },
        { type: 'string', codes: scope, dictionary: targets },
        { type: 'string', codes: scope, dictionary: targets },
        { type: 'u32', values: numbers(1) },
        { type: 'bool', values: new Uint8Array(count) },
      ],
    },
  };
}

/** A message of its own in each row, beside a constant. */
function textRows(count: number): Input {
  const dictionary = Array.from(
    { length: count },
    (_, row) => `request ${row} took ${row % 977} us`,
  );
  return {
    columns: [
      { name: 'msg', type: 'string' },
      { name: 'process_id', type: 'string' },
    ],
    rows: {
      rowCount: count,
      columns: [
        { type: 'string', codes: Uint32Array.from(dictionary.keys()), dictionary },
        { type: 'string', codes: new Uint32Array(count), dictionary: ['constant'] },
      ],
    },
  };
}
