/** Real Parquet files, written by this package's writer and read back through DuckDB. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { seededRandom } from '@tracelake/test-kit';
import { ParquetReader } from './parquet-reading.ts';
import { writeParquet } from './parquet-writing.ts';
import { mergeSpanFiles, type NsRange, type SpanFile } from './thread-span-reading.ts';

const COLUMNS: ColumnDefinition[] = [
  { name: 'id', type: 'i64' },
  { name: 'parent', type: 'i64' },
  { name: 'depth', type: 'u32' },
  { name: 'hash', type: 'u32' },
  { name: 'begin', type: 'timestamp' },
  { name: 'end', type: 'timestamp' },
  { name: 'name', type: 'string' },
  { name: 'target', type: 'string' },
  { name: 'filename', type: 'string' },
  { name: 'line', type: 'u32' },
  { name: 'open', type: 'bool' },
];

interface Row {
  id: number;
  depth: number;
  hash: number;
  begin: number;
  end: number;
  name: string;
  open: boolean;
}

const BASE_NS = 1_795_230_665_835_000_000n;

let dir = '';
let reader: ParquetReader;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tracelake-spans-'));
  reader = new ParquetReader();
});
after(async () => {
  await reader[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

function columnsOf(rows: readonly Row[]): RowColumns {
  const names = [...new Set(rows.map((row) => row.name))];
  const ns = (offset: number) => BASE_NS + BigInt(offset);
  const constant = (text: string) => ({
    type: 'string' as const,
    codes: new Uint32Array(rows.length),
    dictionary: [text],
  });
  return {
    rowCount: rows.length,
    columns: [
      { type: 'i64', values: BigInt64Array.from(rows, (row) => BigInt(row.id)) },
      { type: 'i64', values: BigInt64Array.from(rows, (row) => BigInt(row.id - 1)) },
      { type: 'u32', values: Uint32Array.from(rows, (row) => row.depth) },
      { type: 'u32', values: Uint32Array.from(rows, (row) => row.hash) },
      { type: 'timestamp', values: BigInt64Array.from(rows, (row) => ns(row.begin)) },
      { type: 'timestamp', values: BigInt64Array.from(rows, (row) => ns(row.end)) },
      {
        type: 'string',
        codes: Uint32Array.from(rows, (row) => names.indexOf(row.name)),
        dictionary: names,
      },
      constant('target'),
      constant('it\'s a "file".rs'),
      { type: 'u32', values: Uint32Array.from(rows, (row) => row.hash % 100) },
      { type: 'bool', values: Uint8Array.from(rows, (row) => Number(row.open)) },
    ],
  };
}

let fileCount = 0;

async function writeFile(rows: readonly Row[], log: string[] = []): Promise<SpanFile> {
  const number = fileCount++;
  const path = join(dir, `it's ${number}.parquet`);
  await writeParquet({ path, columns: COLUMNS, rows: columnsOf(rows), metadata: {} });
  return {
    minBeginNs: BASE_NS + BigInt(Math.min(...rows.map((row) => row.begin))),
    open: async () => {
      log.push(`open ${number}`);
      return {
        path,
        [Symbol.asyncDispose]: async () => {
          log.push(`close ${number}`);
        },
      };
    },
  };
}

function rangeOf(begin: number, end: number): NsRange {
  return { beginNs: BASE_NS + BigInt(begin), endNs: BASE_NS + BigInt(end) };
}

const EVERYTHING = rangeOf(-1e9, 1e12);

async function readAll(
  files: readonly SpanFile[],
  range: NsRange,
  onRow?: (row: Row) => void,
): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const { batch, from, to } of mergeSpanFiles({ reader, files, range })) {
    for (let i = from; i < to; i += 1) {
      const scope = batch.scopes[batch.scope[i] ?? -1];
      const row = {
        id: Number(batch.id[i]),
        depth: batch.depth[i] ?? -1,
        hash: 0,
        begin: Number((batch.begin[i] ?? 0n) - BASE_NS),
        end: Number((batch.end[i] ?? 0n) - BASE_NS),
        name: scope?.name ?? '',
        open: batch.open[i] === 1,
      };
      assert.equal(batch.parent[i], BigInt(row.id - 1));
      assert.equal(scope?.filename, 'it\'s a "file".rs');
      assert.equal(scope?.target, 'target');
      rows.push(row);
      onRow?.(row);
    }
  }
  return rows;
}

const inOrder = (a: Row, b: Row) => a.begin - b.begin || a.id - b.id;
const withoutHash = (row: Row) => ({ ...row, hash: 0 });

function randomRows(seed: number, count: number, width: number): Row[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, id) => {
    const begin = random.int(width);
    const scope = random.int(20);
    return {
      id,
      depth: random.int(5),
      hash: scope * 7919,
      begin,
      end: begin + random.int(width),
      name: `name ${scope}`,
      open: random.int(4) === 0,
    };
  });
}

test('spans cut into files in any way come back in order of begin and id', async () => {
  for (let seed = 1; seed <= 25; seed += 1) {
    const random = seededRandom(seed + 1000);
    const rows = randomRows(seed, 1 + random.int(200), 1 + random.int(300)).sort(inOrder);
    const parts: Row[][] = Array.from({ length: 1 + random.int(6) }, () => []);
    const scattered = random.int(2) === 0;
    rows.forEach((row, i) => {
      const part = scattered
        ? random.int(parts.length)
        : Math.floor((i / rows.length) * parts.length);
      parts[part]?.push(row);
    });
    const files: SpanFile[] = [];
    for (const part of parts) if (part.length > 0) files.push(await writeFile(part));
    const range = seed % 3 === 0 ? rangeOf(random.int(100), 50 + random.int(100)) : EVERYTHING;
    const wanted = rows.filter(
      (row) =>
        BASE_NS + BigInt(row.begin) <= range.endNs && BASE_NS + BigInt(row.end) >= range.beginNs,
    );
    const read = await readAll(random.shuffle(files), range);
    assert.deepEqual(read, wanted.map(withoutHash), `seed ${seed}`);
  }
});

test('both ends of the range are inclusive, and a range of no length is a range', async () => {
  const make = (id: number, begin: number, end: number): Row => ({
    id,
    depth: 1,
    hash: 1,
    begin,
    end,
    name: 'n',
    open: false,
  });
  const files = [
    await writeFile([make(1, 0, 10), make(2, 5, 5), make(3, 10, 20), make(4, 11, 12)]),
  ];
  const ids = async (range: NsRange) => (await readAll(files, range)).map((row) => row.id);
  assert.deepEqual(await ids(rangeOf(10, 10)), [1, 3]);
  assert.deepEqual(await ids(rangeOf(5, 5)), [1, 2]);
  assert.deepEqual(await ids(rangeOf(20, 99)), [3]);
  assert.deepEqual(await ids(rangeOf(21, 99)), []);
});

test('a file is opened when the merge reaches it and closed when it is used up', async () => {
  const log: string[] = [];
  const rows = randomRows(7, 9000, 1).map((row, i) => ({ ...row, id: i, begin: i, end: i + 1 }));
  const first = fileCount;
  const files = [
    await writeFile(rows.slice(0, 3000), log),
    await writeFile(rows.slice(3000, 6000), log),
    await writeFile(rows.slice(6000), log),
  ];
  const read = await readAll(files, EVERYTHING, (row) => {
    if (row.begin === 2999 || row.begin === 3000) log.push(`row ${row.begin}`);
  });
  assert.equal(read.length, 9000);
  assert.deepEqual(log.slice(0, 5), [
    `open ${first}`,
    'row 2999',
    `close ${first}`,
    `open ${first + 1}`,
    'row 3000',
  ]);
});

test('two scopes that share a hash keep their names', async () => {
  const rows = randomRows(3, 500, 100)
    .map((row) => ({ ...row, hash: 42 }))
    .sort(inOrder);
  const read = await readAll([await writeFile(rows)], EVERYTHING);
  assert.deepEqual(read, rows.map(withoutHash));
});

test('a reader who leaves early closes the file, and an abort ends the wait', async () => {
  const log: string[] = [];
  const rows = randomRows(9, 100_000, 1).map((row, i) => ({ ...row, id: i, begin: i, end: i + 1 }));
  const file = await writeFile(rows, log);
  for await (const _ of mergeSpanFiles({ reader, files: [file], range: EVERYTHING })) break;
  assert.deepEqual(
    log.map((line) => line.split(' ')[0]),
    ['open', 'close'],
  );
  const controller = new AbortController();
  const slices = mergeSpanFiles({
    reader,
    files: [file],
    range: EVERYTHING,
    signal: controller.signal,
  });
  await slices.next();
  controller.abort(new Error('gone'));
  await assert.rejects(
    async () => {
      for await (const _ of slices);
    },
    { code: 'parquet.aborted' },
  );
  assert.equal(log.length, 4);
});

test('a file that is not there is named an error of reading', async () => {
  const missing: SpanFile = {
    minBeginNs: 0n,
    open: async () => ({ path: join(dir, 'none.parquet'), [Symbol.asyncDispose]: async () => {} }),
  };
  await assert.rejects(readAll([missing], EVERYTHING), { code: 'parquet.read-failed' });
});
