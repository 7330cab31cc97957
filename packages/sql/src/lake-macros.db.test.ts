import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SqlEngine } from '../test/sql-engine.ts';
import { ALLOWED_FUNCTIONS, REFUSED_FUNCTIONS } from './allowed-functions.ts';
import { LAKE_MACRO_NAMES, LAKE_TABLE_MACRO_NAMES, lakeMacros } from './lake-macros.ts';

let engine: SqlEngine;
before(async () => {
  engine = await SqlEngine.open();
});
after(async () => {
  await engine[Symbol.asyncDispose]();
});

/** Through the analysis, as a user's statement goes. */
async function rowsOf(sql: string): Promise<unknown[][]> {
  const reader = await engine.connection.runAndReadAll(await engine.rewrite(sql));
  return reader.getRowsJson();
}

const VALUES: readonly (readonly [expression: string, value: unknown])[] = [
  [`property_get('{"Shard":"7"}', 'shard')`, '7'],
  [`property_get('{"a.b\\"c":"x"}', 'A.B"C')`, 'x'],
  [`property_get('{"n":7,"o":{"p":1}}', 'n')`, '7'],
  [`property_get('{"n":7,"o":{"p":1}}', 'o')`, '{"p":1}'],
  [`property_get('{}', 'x')`, null],
  [`property_get(NULL, 'x')`, null],
  [`properties_length('{"a":"1","b":"2"}')`, '2'],
  [`properties_to_array('{"a":"1"}')`, [{ key: 'a', value: '1' }]],
  [`properties_to_jsonb('{"a":"1"}') ->> 'a'`, '1'],
  [`jsonb_format_json(jsonb_parse('{"a":1}'))`, '{"a":1}'],
  [`jsonb_get(jsonb_parse('{"a/b~":[1]}'), 'a/b~')`, '[1]'],
  [`jsonb_get(jsonb_parse('{"$.a":1,"a":2}'), '$.a')`, '1'],
  [`jsonb_get(jsonb_parse('[1,2]'), '0')`, null],
  [`jsonb_as_string(jsonb_parse('"x"'))`, 'x'],
  [`jsonb_as_string(jsonb_parse('1'))`, null],
  [`jsonb_as_f64(jsonb_parse('1.5'))`, 1.5],
  [`jsonb_as_f64(jsonb_parse('"1.5"'))`, null],
  [`jsonb_as_i64(jsonb_parse('9007199254740993'))`, '9007199254740993'],
  [`jsonb_as_i64(jsonb_parse('1.5'))`, null],
  [`jsonb_object_keys(jsonb_parse('{"b":1,"a":2}'))`, ['b', 'a']],
  [`jsonb_array_length(jsonb_parse('[1,2,3]'))`, '3'],
  [`jsonb_array_length(jsonb_parse('{}'))`, null],
  ['lerp(10, 20, 0.25)', 12.5],
  ['unlerp(10, 20, 12.5)', 0.25],
  ['bin_center(7, 4)', 8],
  ['bin_center(-1, 4)', 0],
  ['rgba(1, 0.5, 0, 1)', 0xff_80_00_ff],
  ['rgba(2, -1, 0, 0)', 0xff_00_00_00],
  ['lerp_color(4278190335, 65535, 0.5)', 0x80_00_80_ff],
];

for (const [expression, value] of VALUES)
  test(`${expression} is ${JSON.stringify(value)}`, async () => {
    assert.deepEqual(await rowsOf(`SELECT ${expression}`), [[value]]);
  });

test('tables of JSON stand beside the row they are of', async () => {
  const sql = `SELECT p.id, e.key, e.value FROM (VALUES (1, '{"a":"x","b":2}')) p(id, j), jsonb_each(p.j) e`;
  assert.deepEqual((await rowsOf(sql)).sort(), [
    [1, 'a', '"x"'],
    [1, 'b', '2'],
  ]);
  assert.deepEqual(
    await rowsOf(`SELECT jsonb_array_elements.* FROM jsonb_array_elements('[1,"b"]')`),
    [['1'], ['"b"']],
  );
});

test('a histogram counts each value once, those outside in the first and last bin', async () => {
  const values = '(VALUES (-5), (0), (24.9), (25), (99), (100), (1e9)) t(x)';
  const [[histogram]] = (await rowsOf(`SELECT make_histogram(0, 100, 4, x) FROM ${values}`)) as [
    [Record<string, unknown>],
  ];
  assert.deepEqual(histogram.bins, ['3', '1', '0', '3']);
  assert.equal(histogram.count, '7');
  assert.equal(histogram.min, -5);
  assert.equal(histogram.max, 1e9);
});

test('NaN goes to the first bin, and no value gives empty bins', async () => {
  assert.deepEqual(
    await rowsOf(`SELECT make_histogram(0, 2, 2, x).bins FROM (VALUES ('nan'::DOUBLE), (1)) t(x)`),
    [[['1', '1']]],
  );
  assert.deepEqual(
    await rowsOf('SELECT make_histogram(0, 2, 2, x).bins FROM (SELECT 1 AS x WHERE false)'),
    [[['0', '0']]],
  );
});

test('histograms add up to the histogram of all values', async () => {
  const parts =
    'SELECT x % 7 AS part, make_histogram(0, 50, 10, x) AS h FROM range(60) t(x) GROUP BY part';
  const [[added, whole]] = (await rowsOf(
    `SELECT (SELECT sum_histograms(h) FROM (${parts})), (SELECT make_histogram(0, 50, 10, x) FROM range(60) t(x))`,
  )) as [[unknown, unknown]];
  assert.deepEqual(added, whole);
  await assert.rejects(
    rowsOf(
      'SELECT sum_histograms(h) FROM (SELECT make_histogram(0, n, 2, 1) AS h FROM range(1, 3) t(n) GROUP BY n)',
    ),
    /same bounds/,
  );
});

test('a histogram tells count, sum, variance and quantiles', async () => {
  const h = 'make_histogram(0, 100, 10, x)';
  const [row] = await rowsOf(`SELECT count_from_histogram(${h}), sum_from_histogram(${h}),
    variance_from_histogram(${h}), var_samp(x), quantile_from_histogram(${h}, 0.5),
    quantile_from_histogram(${h}, 0), quantile_from_histogram(${h}, 1), quantile_from_histogram(${h}, 0.25)
    FROM range(100) t(x)`);
  assert.deepEqual(row, ['100', 4950, 841.6666666666666, 841.6666666666666, 50, 0, 100, 25]);
});

test('every macro is known to the analysis, and none takes the place of a function of the engine', () => {
  assert.equal(LAKE_MACRO_NAMES.size + LAKE_TABLE_MACRO_NAMES.size, lakeMacros().length);
  for (const name of LAKE_MACRO_NAMES)
    assert.ok(!ALLOWED_FUNCTIONS.has(name) && !REFUSED_FUNCTIONS.has(name), name);
});
