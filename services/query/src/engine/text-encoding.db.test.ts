/**
 * Scenario: values of the types that are written straight from DuckDB's memory, at their edges and at random.
 * Guarantees: CSV and JSON give each back exactly, whatever the length of a text and wherever it lies.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parseCsv, seededRandom } from '@tracelake/test-kit';
import { type EngineFixture, startEngine } from '../../test/engine-fixture.ts';

let engine: EngineFixture;
before(async () => {
  engine = await startEngine();
});
after(async () => {
  await engine[Symbol.asyncDispose]();
});

const BYTE_ORDER_MARK = '\uFEFF';
const PIECES = ['a', 'Z9', ' ', '"', ',', '\n', '\r', '\\', '\t', '\u0001', 'é', '漢字', '🦀'];

test('texts of any length and place come back, a byte order mark at their start too', async () => {
  for (const seed of [1, 2, 3]) {
    const random = seededRandom(seed);
    console.log(`seed ${seed}`);
    const texts = Array.from({ length: 400 }, (_, index) => {
      const pieces = index % 5 === 0 ? PIECES : ['a', 'bc', 'defg', 'é'];
      const count = random.int(index % 50 === 0 ? 6000 : 16);
      const text = Array.from({ length: count }, () => pieces[random.int(pieces.length)]).join('');
      return index % 11 === 0 ? BYTE_ORDER_MARK + text : text;
    });
    // Each text many times, in an order that is not that of their addresses, and nulls between them.
    const picks = Array.from({ length: 5000 }, () => random.int(texts.length + 20));
    const sql = `SELECT ([${texts.map(quote).join(', ')}])[unnest([${picks.map((pick) => pick + 1).join(', ')}])] AS t`;
    const expected = picks.map((pick) => texts[pick] ?? null);
    const rows = JSON.parse((await engine.answer(sql, { format: 'json' })).toString());
    assert.deepEqual(
      rows.map(({ t }: { t: string | null }) => t),
      expected,
    );
    const csv = parseCsv(`${(await engine.answer(sql, { format: 'csv' })).toString()}`);
    assert.deepEqual(
      csv.slice(1).map(([field]) => field),
      expected.map((text) => text ?? ''),
    );
  }
});

test('each character stands as it is or not, wherever in a text it is', async () => {
  const codes = Array.from({ length: 0xff }, (_, index) => index + 1);
  const texts = codes.flatMap((code) =>
    ['', 'a', 'abc', 'abcdefg', 'abcdefghijklmn'].map((before) => {
      return `${before}${String.fromCharCode(code)}${code % 3 === 0 ? 'z' : ''}`;
    }),
  );
  const sql = `SELECT unnest([${texts.map(quote).join(', ')}]) AS t`;
  const csv = texts.map((text) =>
    /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text,
  );
  assert.equal((await engine.answer(sql, { format: 'csv' })).toString(), `t\n${csv.join('\n')}\n`);
  const json = texts.map((text) => `{"t":${JSON.stringify(text)}}\n`);
  assert.equal((await engine.answer(sql, { format: 'ndjson' })).toString(), json.join(''));
});

test('integers at the edges of 64 bits and of a double', async () => {
  const edges = [0n, 9n, 10n, 999_999_999n, 1_000_000_000n, 2n ** 31n, 2n ** 32n, 10n ** 15n];
  const longs = [...edges, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 10n ** 18n, 2n ** 63n - 1n];
  const values = longs.flatMap((value) => [value, -value]).concat(-(2n ** 63n));
  const csv = await columnOf(values.map((value) => `(${value})::BIGINT`));
  assert.deepEqual(csv, values.map(String));
  const unsigned = [...longs, 2n ** 64n - 1n];
  assert.deepEqual(await columnOf(unsigned.map((v) => `${v}::UBIGINT`)), unsigned.map(String));
});

test('times at the edges of days, years and of what 64 bits of nanoseconds hold', async () => {
  const second = 1_000_000_000n;
  const times = [0n, -1n, 1n, second - 1n, -second, 86_400n * second, 86_400n * second - 1n]
    .concat([1_763_690_000_123_456_789n, -(2n ** 63n) + 2n, 2n ** 63n - 2n])
    .concat(
      Array.from({ length: 50 }, (_, index) => BigInt(index - 25) * 123_456_789_012_345_678n),
    );
  const expected = times.map((timeNs) => {
    const rest = ((timeNs % second) + second) % second;
    const date = new Date(Number((timeNs - rest) / 1_000_000n)).toISOString();
    return date.replace('.000Z', `.${String(rest).padStart(9, '0')}Z`);
  });
  assert.deepEqual(await columnOf(times.map((timeNs) => `make_timestamp_ns(${timeNs})`)), expected);
});

test('doubles are the shortest text that is read back as they are', async () => {
  const values = [0, 1, -1, 0.1, 1e300, 5e-324, 2 ** 53, 2 ** 53 + 2, 1e15, 1e21, -123456.75];
  const csv = await columnOf(values.map((value) => `(${value.toExponential()})::DOUBLE`));
  assert.deepEqual(csv, values.map(String));
  assert.deepEqual(await columnOf(["'-0.0'::DOUBLE", "'nan'::DOUBLE", "'-inf'::DOUBLE"]), [
    '-0.0',
    'NaN',
    '-Infinity',
  ]);
});

/** The fields of a column with these values, in their order. */
async function columnOf(values: readonly string[]): Promise<string[]> {
  const sql = `SELECT unnest([${values.join(', ')}]) AS v`;
  const csv = (await engine.answer(sql, { format: 'csv' })).toString();
  return csv.trimEnd().split('\n').slice(1);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
