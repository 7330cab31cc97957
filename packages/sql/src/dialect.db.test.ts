import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SqlEngine } from '../test/sql-engine.ts';

let engine: SqlEngine;
before(async () => {
  engine = await SqlEngine.open();
});
after(async () => {
  await engine[Symbol.asyncDispose]();
});

const value = async (expression: string): Promise<unknown> => {
  const sql = `SELECT ${expression} FROM (SELECT TIMESTAMP_NS '2024-01-01 00:00:00.123456789' AS t, 0::UINTEGER AS depth)`;
  const reader = await engine.connection.runAndReadAll(await engine.rewrite(sql));
  return reader.getRowsJson()[0]?.[0];
};

// What docs/queries.md tells of the difference between the dialects.
const TOLD: readonly (readonly [expression: string, value: unknown])[] = [
  ['epoch_ns(t) - epoch_ns(make_timestamp_ns(epoch_ns(t) - 1))', '1'],
  ['typeof(t - t)', 'INTERVAL'],
  ['t < now()::TIMESTAMP_NS', true],
  ['t < (now() - INTERVAL 1 hour)::TIMESTAMP_NS', true],
  ["t > TIMESTAMP '2024-01-01T02:00:00+02:00'", false],
  ["t = TIMESTAMP_NS '2024-01-01T02:00:00.123456789+02:00'", true],
  ["t = TIMESTAMP_NS '2024-01-01 00:00:00.123456789'", true],
  ['typeof(time_bucket(INTERVAL 1 minute, t))', 'TIMESTAMP'],
  ['epoch_ns((t + INTERVAL 1 millisecond)::TIMESTAMP_NS) % 1000', '0'],
  ['epoch_ns(make_timestamp_ns(epoch_ns(t) + 1000000)) % 1000', '789'],
  ['depth::INT - 1', -1],
  ['5 // 2', 2],
  ['5 / 2', 2.5],
  [`json_extract('{"a":[1,2]}', '$.a[*]')`, ['1', '2']],
  [`list_filter(json_extract('[1,2,3]', '$[*]'), lambda x: x::INT > 1)`, ['2', '3']],
];

for (const [expression, told] of TOLD)
  test(`${expression} is ${JSON.stringify(told)}`, async () => {
    assert.deepEqual(await value(expression), told);
  });

test('the difference of unsigned numbers is an error below zero, as told', async () => {
  await assert.rejects(value('depth - 1'), /Overflow/);
});

test("errors on the reference's words tell what to write", async () => {
  await assert.rejects(value('Date_Bin(INTERVAL 1 minute, t)'), /write time_bucket/);
  await assert.rejects(value('approx_percentile_cont(depth, 0.5)'), /write quantile_cont/);
  await assert.rejects(value('end'), /"end", quoted/);
  const chunks = "SELECT * FROM perfetto_trace_chunks('x', 'both')";
  await assert.rejects(engine.analyse(chunks), /the trace export/);
});
