/** Files of random columns, read back by two readers that share no code with the writer. */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import {
  type Column,
  type ColumnDefinition,
  type ColumnType,
  type RowColumns,
  textOfCode,
  Utf8Texts,
} from '@tracelake/lakehouse';
import { type SeededRandom, seededRandom } from '@tracelake/test-kit';
import { parquetReadObjects } from 'hyparquet';
import { writeParquet } from '../parquet-writing.ts';

let dir = '';
let connection: DuckDBConnection;
before(async () => {
  const instance = await DuckDBInstance.create(':memory:');
  connection = await instance.connect();
  dir = await mkdtemp(join(tmpdir(), 'tracelake-encoding-'));
});
after(async () => {
  connection.closeSync();
  await rm(dir, { recursive: true, force: true });
});

const INT64_MAX = 2n ** 63n - 1n;
const EXTREMES = [0n, -1n, 1n, INT64_MAX, -INT64_MAX - 1n, 2n ** 32n, -(2n ** 32n), 2n ** 53n + 1n];
const TYPES: ColumnType[] = ['i64', 'timestamp', 'i32', 'u32', 'f64', 'bool', 'string'];
const TEXTS = ['', 'a', 'ab', 'b', '\0', 'naïve', '☃', '🚀', '\ud800', 'x'.repeat(2000), '￿'];

/** Each column has a manner of its own: constant, ascending, of few values, of any values, extreme. */
function randomColumn(type: ColumnType, rowCount: number, random: SeededRandom): Column {
  const manner = random.int(5);
  const number = (row: number): number => {
    if (manner === 0) return 7;
    if (manner === 1) return row * 3 + random.int(4);
    if (manner === 2) return random.int(5) - 2;
    return Math.floor(random.next() * 2 ** 32) - 2 ** 31;
  };
  const rows = { length: rowCount };
  switch (type) {
    case 'i64':
      return {
        type,
        values: BigInt64Array.from(rows, (_, row) =>
          manner === 4 ? random.pick(EXTREMES) : BigInt(number(row)) ** (manner === 3 ? 2n : 1n),
        ),
      };
    case 'timestamp':
      return {
        type,
        values: BigInt64Array.from(
          rows,
          (_, row) =>
            1_700_000_000_000_000_000n + BigInt(number(row)) * (manner === 4 ? 4096n : 1n),
        ),
      };
    case 'i32':
      return { type, values: Int32Array.from(rows, (_, row) => number(row)) };
    case 'u32':
      return { type, values: Uint32Array.from(rows, (_, row) => number(row)) };
    case 'f64':
      return {
        type,
        values: Float64Array.from(rows, (_, row) =>
          manner === 4
            ? random.pick([
                0,
                -0,
                Number.MAX_VALUE,
                Number.MIN_VALUE,
                -1.5,
                Number.POSITIVE_INFINITY,
              ])
            : number(row) / 7,
        ),
      };
    case 'bool':
      return { type, values: Uint8Array.from(rows, () => (manner === 0 ? 1 : random.int(2))) };
    case 'string': {
      const size = [1, 3, 300, rowCount, 2 * rowCount + 1][manner] ?? 1;
      const dictionary = Array.from({ length: size }, (_, index) =>
        index < TEXTS.length && random.int(2) === 0 ? (TEXTS[index] ?? '') : `text ${index >> 1}`,
      );
      return {
        type,
        codes: Uint32Array.from(rows, () => random.int(size)),
        dictionary: random.int(2) === 0 ? dictionary : utf8TextsOf(dictionary, random),
      };
    }
  }
}

function utf8TextsOf(texts: readonly string[], random: SeededRandom): Utf8Texts {
  const all = new Utf8Texts();
  for (let from = 0; from < texts.length; ) {
    const part = texts.slice(from, from + 1 + random.int(texts.length));
    const encoded = part.map((text) => Buffer.from(text));
    const starts = new Uint32Array(part.length);
    for (let index = 1; index < part.length; index++) {
      starts[index] = (starts[index - 1] ?? 0) + (encoded[index - 1]?.length ?? 0);
    }
    const lengths = Uint32Array.from(encoded, ({ length }) => length);
    all.add({ bytes: new Uint8Array(Buffer.concat(encoded)), starts, lengths });
    from += part.length;
  }
  return all;
}

type Value = bigint | number | boolean | string;

function valueAt(column: Column, row: number): Value {
  switch (column.type) {
    case 'string':
      return (textOfCode(column.dictionary, column.codes[row] ?? 0) ?? '').toWellFormed();
    case 'bool':
      return column.values[row] === 1;
    default:
      return column.values[row] ?? 0;
  }
}

async function query(sql: string): Promise<Value[][]> {
  return (await connection.runAndReadAll(sql)).getRows() as Value[][];
}

const selected = ({ name, type }: ColumnDefinition) =>
  type === 'timestamp' ? `epoch_ns(${name})` : type === 'string' ? `encode(${name})` : name;

function sameValue(read: unknown, written: Value): boolean {
  if (typeof written !== 'string') return Object.is(read, written);
  // The binding drops a byte order mark of a text; blobs come as they are.
  const { bytes } = read as { bytes: Uint8Array };
  return Buffer.from(bytes).toString() === written;
}

async function readByOther(path: string): Promise<Record<string, unknown>[]> {
  const bytes = await readFile(path);
  const file = new Uint8Array(bytes).buffer;
  const identity = (value: bigint) => value;
  return await parquetReadObjects({
    file,
    compressors: { ZSTD: (input: Uint8Array) => new Uint8Array(zstdDecompressSync(input)) },
    parsers: { timestampFromNanoseconds: identity } as never,
  });
}

const SIZES = [1, 2, 3, 7, 8, 9, 31, 32, 33, 127, 128, 129, 130, 1000, 5000];

test('columns of any values read back equal through two other readers', async () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const random = seededRandom(seed);
    for (const rowCount of [random.pick(SIZES), random.pick(SIZES), 1 + random.int(3000)]) {
      const types = Array.from({ length: 10 }, (_, index) => TYPES[index] ?? random.pick(TYPES));
      const columns = types.map((type, index) => ({ name: `c${index}`, type }));
      const data = types.map((type) => randomColumn(type, rowCount, random));
      const path = join(dir, `random-${seed}-${rowCount}.parquet`);
      const rowGroupRows = random.pick([1000, 128, 2 ** 20]);
      await writeParquet({
        path,
        columns,
        rows: { rowCount, columns: data },
        rowGroupRows,
        metadata: {},
      });
      const context = `seed ${seed}, ${rowCount} rows`;
      const read = await query(`SELECT ${columns.map(selected).join(', ')} FROM '${path}'`);
      const others = await readByOther(path);
      assert.equal(read.length, rowCount, context);
      assert.equal(others.length, rowCount, context);
      for (let row = 0; row < rowCount; row++) {
        for (const [index, column] of data.entries()) {
          const written = valueAt(column, row);
          const where = `${context}, row ${row}, ${column.type} column ${index}`;
          if (!sameValue(read[row]?.[index], written)) {
            assert.deepEqual(read[row]?.[index], written, where);
          }
          const other = others[row]?.[`c${index}`];
          if (!Object.is(other, column.type === 'u32' ? Number(written) : written)) {
            assert.deepEqual(other, written, `other reader, ${where}`);
          }
        }
      }
      await checkStatistics(path, columns, data, context);
    }
  }
});

/** What the footer states of each column is what its row groups hold. */
async function checkStatistics(
  path: string,
  columns: readonly ColumnDefinition[],
  data: readonly Column[],
  context: string,
): Promise<void> {
  for (const [index, column] of data.entries()) {
    const { name, type } = columns[index] as ColumnDefinition;
    // Filters are answered from statistics and dictionaries first, so a wrong one loses rows.
    const wanted = valueAt(column, 0);
    if (type === 'string' && String(wanted).includes('\0')) continue;
    const literal =
      type === 'timestamp'
        ? `make_timestamp_ns(${wanted})`
        : type === 'string'
          ? `'${wanted}'`
          : type === 'f64'
            ? `'${wanted}'::DOUBLE`
            : String(wanted);
    const rows = Array.from({
      length: 'codes' in column ? column.codes.length : column.values.length,
    });
    const expected = rows.filter((_, row) => {
      const value = valueAt(column, row);
      return value === wanted;
    }).length;
    const [counted] = await query(`SELECT count(*) FROM '${path}' WHERE ${name} = ${literal}`);
    assert.equal(counted?.[0], BigInt(expected), `${context}, ${name} = ${literal}`);
  }
}

test('each column of each row group states its least and greatest value', async () => {
  const path = join(dir, 'statistics.parquet');
  const columns: ColumnDefinition[] = [
    { name: 'id', type: 'i64' },
    { name: 'hash', type: 'u32' },
    { name: 'level', type: 'i32' },
    { name: 'value', type: 'f64' },
    { name: 'open', type: 'bool' },
    { name: 'name', type: 'string' },
    { name: 'file', type: 'string' },
  ];
  const rows: RowColumns = {
    rowCount: 4,
    columns: [
      { type: 'i64', values: BigInt64Array.of(5n, -(2n ** 40n), 2n ** 33n, 2n ** 33n - 1n) },
      { type: 'u32', values: Uint32Array.of(1, 0xffff_fff0, 2, 3) },
      { type: 'i32', values: Int32Array.of(-5, 7, 1, 1) },
      { type: 'f64', values: Float64Array.of(1.5, -2.5, 0, 0) },
      { type: 'bool', values: Uint8Array.of(0, 0, 1, 1) },
      { type: 'string', codes: Uint32Array.of(1, 0, 2, 2), dictionary: ['b', 'a', '🚀'] },
      { type: 'string', codes: new Uint32Array(4), dictionary: ['only'] },
    ],
  };
  await writeParquet({ path, columns, rows, rowGroupRows: 2, metadata: {} });
  const stated = await query(
    `SELECT stats_min_value, stats_max_value FROM parquet_metadata('${path}') ORDER BY column_id, row_group_id`,
  );
  assert.deepEqual(stated, [
    [String(-(2n ** 40n)), '5'],
    [String(2n ** 33n - 1n), String(2n ** 33n)],
    ['1', String(0xffff_fff0)],
    ['2', '3'],
    ['-5', '7'],
    ['1', '1'],
    ['-2.5', '1.5'],
    ['-0.0', '0.0'],
    ['false', 'false'],
    ['true', 'true'],
    ['a', 'b'],
    ['🚀', '🚀'],
    ['only', 'only'],
    ['only', 'only'],
  ]);
});

test('a NaN leaves its row group without statistics, so that no filter loses rows', async () => {
  const path = join(dir, 'nan.parquet');
  const values = Float64Array.of(1, Number.NaN, 3);
  const rows: RowColumns = { rowCount: 3, columns: [{ type: 'f64', values }] };
  await writeParquet({ path, columns: [{ name: 'value', type: 'f64' }], rows, metadata: {} });
  const stated = `SELECT stats_min_value FROM parquet_metadata('${path}')`;
  assert.deepEqual(await query(stated), [[null]]);
  const above = `SELECT count(*) FROM '${path}' WHERE value > 3`;
  assert.deepEqual(await query(above), [[1n]]);
});

test('texts of a value of their own stand behind their lengths, those that repeat in a dictionary', async () => {
  const path = join(dir, 'encodings.parquet');
  const rowCount = 3000;
  const dictionary = Array.from({ length: rowCount }, (_, index) => `text ${index}`);
  const unique = Uint32Array.from(dictionary.keys());
  const columns = ['each', 'few', 'long'].map((name) => ({ name, type: 'string' as const }));
  // One long text in nearly half of the rows must not be repeated.
  const long = unique.map((code) => (code % 2 === 0 && code > 4 ? 4 : code));
  const longTexts = dictionary.with(4, 'l'.repeat(10_000));
  const rows: RowColumns = {
    rowCount,
    columns: [
      { type: 'string', codes: unique, dictionary },
      { type: 'string', codes: unique.map((code) => code % 100), dictionary },
      { type: 'string', codes: long, dictionary: longTexts },
    ],
  };
  await writeParquet({ path, columns, rows, metadata: {} });
  assert.deepEqual(
    await query(`SELECT path_in_schema, encodings FROM parquet_metadata('${path}')`),
    [
      ['each', 'DELTA_LENGTH_BYTE_ARRAY'],
      ['few', 'PLAIN, RLE_DICTIONARY'],
      ['long', 'PLAIN, RLE_DICTIONARY'],
    ],
  );
});
