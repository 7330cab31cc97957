import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Column, ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { writeParquet } from './parquet-writing.ts';

let dir = '';
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tracelake-parquet-'));
});
after(() => rm(dir, { recursive: true, force: true }));

const COLUMNS: ColumnDefinition[] = [
  { name: 'id', type: 'i64' },
  { name: 'depth', type: 'u32' },
  { name: 'level', type: 'i32' },
  { name: 'begin', type: 'timestamp' },
  { name: 'value', type: 'f64' },
  { name: 'open', type: 'bool' },
  { name: 'name', type: 'string' },
];

function sampleRows(rowCount: number, names: string[]): RowColumns & { columns: Column[] } {
  const index = Array.from({ length: rowCount }, (_, row) => row);
  const columns: Column[] = [
    { type: 'i64', values: BigInt64Array.from(index, (row) => BigInt(row) - 2n ** 62n) },
    { type: 'u32', values: Uint32Array.from(index, (row) => 0xffff_ffff - row) },
    { type: 'i32', values: Int32Array.from(index, (row) => 7 - row) },
    {
      type: 'timestamp',
      values: BigInt64Array.from(index, (row) => 1_700_000_000_123_456_789n + BigInt(row)),
    },
    { type: 'f64', values: Float64Array.from(index, (row) => row / 3) },
    { type: 'bool', values: Uint8Array.from(index, (row) => row % 2) },
    {
      type: 'string',
      codes: Uint32Array.from(index, (row) => row % names.length),
      dictionary: names,
    },
  ];
  return { rowCount, columns };
}

function textRows(texts: string[], dictionary: string[]): RowColumns {
  const codes = Uint32Array.from(texts, (text) => dictionary.indexOf(text));
  return { rowCount: texts.length, columns: [{ type: 'string', codes, dictionary }] };
}

async function query(sql: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRows() as unknown[][];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function readTexts(path: string): Promise<unknown[]> {
  return (await query(`SELECT text FROM '${path}'`)).map((row) => row[0]);
}

const sha256 = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

test('every value of every column type reads back equal and in order', async () => {
  const path = join(dir, 'types.parquet');
  const names = ['', 'a', 'quote \' " \\', 'naïve ☃ 🚀', '{"k":"v"}'];
  const rows = sampleRows(5000, names);
  const { sizeBytes } = await writeParquet({ path, columns: COLUMNS, rows, metadata: {} });
  assert.equal(sizeBytes, (await readFile(path)).length);
  const read = await query(
    `SELECT id, depth, level, epoch_ns(begin), value, open, name FROM '${path}'`,
  );
  assert.equal(read.length, 5000);
  read.forEach((row, index) => {
    assert.deepEqual(row, [
      BigInt(index) - 2n ** 62n,
      0xffff_ffff - index,
      7 - index,
      1_700_000_000_123_456_789n + BigInt(index),
      index / 3,
      index % 2 === 1,
      names[index % names.length],
    ]);
  });
});

test('readers see plain strings, nanosecond timestamps and the metadata', async () => {
  const path = join(dir, 'schema.parquet');
  const metadata = { view: "it's", instance: 'x' };
  await writeParquet({ path, columns: COLUMNS, rows: sampleRows(10, ['a', 'b']), metadata });
  const types = await query(`SELECT column_name, column_type FROM (DESCRIBE FROM '${path}')`);
  assert.deepEqual(types, [
    ['id', 'BIGINT'],
    ['depth', 'UINTEGER'],
    ['level', 'INTEGER'],
    ['begin', 'TIMESTAMP_NS'],
    ['value', 'DOUBLE'],
    ['open', 'BOOLEAN'],
    ['name', 'VARCHAR'],
  ]);
  const schema = await query(
    `SELECT coalesce(logical_type, converted_type) FROM parquet_schema('${path}') WHERE name IN ('begin', 'name')`,
  );
  assert.match(String(schema[0]?.[0]), /TimestampType.*isAdjustedToUTC=(0|false).*NANOS/);
  assert.match(String(schema[1]?.[0]), /^(StringType|UTF8)/);
  const pairs = await query(
    `SELECT decode(key), decode(value) FROM parquet_kv_metadata('${path}')`,
  );
  assert.deepEqual(Object.fromEntries(pairs), { ...metadata, 'time zone': 'UTC' });
});

test('the same rows give the same bytes, whatever dictionary they came with', async () => {
  const names = ['x', 'y', 'z'];
  const first = join(dir, 'same-1.parquet');
  const second = join(dir, 'same-2.parquet');
  const rows = sampleRows(300_000, names);
  await writeParquet({ path: first, columns: COLUMNS, rows, metadata: { a: '1', b: '2' } });
  const other = sampleRows(300_000, names);
  const shuffled = ['unused', 'z', 'y', 'x', 'y'];
  const renumbered: Column = {
    type: 'string',
    codes: Uint32Array.from(
      { length: 300_000 },
      (_, row) => [3, row % 2 === 0 ? 2 : 4, 1][row % 3] ?? 0,
    ),
    dictionary: shuffled,
  };
  other.columns[6] = renumbered;
  await writeParquet({ path: second, columns: COLUMNS, rows: other, metadata: { b: '2', a: '1' } });
  assert.equal(await sha256(second), await sha256(first));
});

test('files written at the same time do not mix', async () => {
  const work = Array.from({ length: 6 }, async (_, index) => {
    const path = join(dir, `parallel-${index}.parquet`);
    const rows = sampleRows(20_000 + index, [`name ${index}`]);
    await writeParquet({ path, columns: COLUMNS, rows, metadata: {} });
    return await query(`SELECT count(*), min(name), max(name) FROM '${path}'`);
  });
  const results = await Promise.all(work);
  results.forEach((rows, index) => {
    assert.deepEqual(rows, [[BigInt(20_000 + index), `name ${index}`, `name ${index}`]]);
  });
});

test('codes have the right width at each size of dictionary', async () => {
  for (const count of [1, 255, 256, 257, 8192, 8193, 65_535, 65_536, 65_537]) {
    const path = join(dir, `width-${count}.parquet`);
    const dictionary = Array.from({ length: count }, (_, index) => `value ${index}`);
    const codes = Uint32Array.from(dictionary, (_, index) => count - 1 - index);
    const rows: RowColumns = { rowCount: count, columns: [{ type: 'string', codes, dictionary }] };
    await writeParquet({ path, columns: [{ name: 'text', type: 'string' }], rows, metadata: {} });
    assert.deepEqual(await readTexts(path), dictionary.toReversed());
  }
});

test('a megabyte of text, NUL characters and lone surrogates are kept or replaced, never cut', async () => {
  const path = join(dir, 'texts.parquet');
  const texts = [
    '\0',
    'a\0b',
    'a\0c',
    '',
    'x'.repeat(1_000_000),
    '\ud800',
    '\udc00',
    '\ufffd',
    'é',
  ];
  const columns: ColumnDefinition[] = [{ name: 'text', type: 'string' }];
  await writeParquet({ path, columns, rows: textRows(texts, texts), metadata: {} });
  assert.deepEqual(
    await readTexts(path),
    texts.map((text) => text.toWellFormed()),
  );
  const withoutNul = texts.filter((text) => !text.includes('\0'));
  await writeParquet({ path, columns, rows: textRows(withoutNul, texts), metadata: {} });
  assert.deepEqual(
    await readTexts(path),
    withoutNul.map((text) => text.toWellFormed()),
  );
});

test('a million distinct messages stay within the memory limit', async () => {
  const path = join(dir, 'distinct.parquet');
  const rowCount = 1_000_000;
  const dictionary = Array.from(
    { length: rowCount },
    (_, index) => `request ${index} took ${index} us`,
  );
  const codes = Uint32Array.from(dictionary, (_, index) => index);
  const rows: RowColumns = { rowCount, columns: [{ type: 'string', codes, dictionary }] };
  const columns: ColumnDefinition[] = [{ name: 'text', type: 'string' }];
  await writeParquet({ path, columns, rows, metadata: {} });
  const [counts] = await query(`SELECT count(*), count(DISTINCT text) FROM '${path}'`);
  assert.deepEqual(counts, [1_000_000n, 1_000_000n]);
  const [last] = await query(`SELECT text FROM '${path}' OFFSET 999999`);
  assert.deepEqual(last, ['request 999999 took 999999 us']);
});

test('large text among many values lowers the rows of a row group', async () => {
  const path = join(dir, 'large-text.parquet');
  const dictionary = Array.from({ length: 20_000 }, (_, index) => `${index} ${'t'.repeat(4000)}`);
  const codes = Uint32Array.from(dictionary, (_, index) => index);
  const rows: RowColumns = {
    rowCount: codes.length,
    columns: [{ type: 'string', codes, dictionary }],
  };
  const columns: ColumnDefinition[] = [{ name: 'text', type: 'string' }];
  await writeParquet({ path, columns, rows, metadata: {} });
  const [largest] = await query(`SELECT max(row_group_num_rows) FROM parquet_metadata('${path}')`);
  assert.ok(Number(largest?.[0]) <= 8192, `row groups of ${largest?.[0]} rows`);
  assert.deepEqual(await readTexts(path), dictionary);
});

test('row groups have the wanted size', async () => {
  const path = join(dir, 'groups.parquet');
  const request = { path, columns: COLUMNS, rows: sampleRows(10_000, ['n']), metadata: {} };
  await writeParquet({ ...request, rowGroupRows: 4096 });
  const groups = await query(
    `SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata('${path}') ORDER BY 1`,
  );
  assert.deepEqual(groups, [
    [0n, 4096n],
    [1n, 4096n],
    [2n, 1808n],
  ]);
});

test('rows that do not fit the columns, and no rows at all, are refused', async () => {
  const path = join(dir, 'refused.parquet');
  const attempt = (rows: RowColumns) =>
    writeParquet({ path, columns: COLUMNS, rows, metadata: {} });
  const code = { code: 'parquet.bad-rows' };
  await assert.rejects(attempt(sampleRows(0, ['n'])), code);
  await assert.rejects(attempt({ ...sampleRows(5, ['n']), rowCount: 6 }), code);
  const missing = sampleRows(5, ['n']);
  missing.columns.pop();
  await assert.rejects(attempt(missing), code);
  const swapped = sampleRows(5, ['n']);
  swapped.columns.reverse();
  await assert.rejects(attempt(swapped), code);
  const outside = sampleRows(5, ['n']);
  outside.columns[6] = { type: 'string', codes: new Uint32Array(5).fill(1), dictionary: ['n'] };
  await assert.rejects(attempt(outside), code);
});

test('a failed or aborted write leaves no file and the writer usable', async () => {
  const own = await mkdtemp(join(dir, 'failed-'));
  const rows = sampleRows(1_000_000, ['a', 'b']);
  const request = { path: join(own, 'f.parquet'), columns: COLUMNS, rows, metadata: {} };
  const controller = new AbortController();
  const aborted = writeParquet({ ...request, signal: controller.signal });
  setTimeout(() => controller.abort(new Error('enough')), 20);
  await assert.rejects(aborted, { code: 'parquet.aborted' });
  await assert.rejects(writeParquet({ ...request, signal: AbortSignal.abort() }), {
    code: 'parquet.aborted',
  });
  await assert.rejects(writeParquet({ ...request, path: join(own, 'no-such', 'f.parquet') }), {
    code: 'parquet.write-failed',
    retryable: true,
  });
  assert.deepEqual(await readdir(own), []);
  await writeParquet(request);
  assert.deepEqual(await readdir(own), ['f.parquet']);
});
