import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ParquetReader } from './parquet-reading.ts';

const FAILS_LATE =
  "SELECT CASE WHEN range > 300000 THEN CAST('x' || range AS BIGINT) ELSE range END FROM range(1000000)";

test('a query that fails in the middle of its rows never looks whole', async () => {
  await using reader = new ParquetReader();
  let rowCount = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of reader.chunks(FAILS_LATE)) rowCount += chunk.rowCount;
    },
    { code: 'parquet.read-failed' },
  );
  assert.ok(rowCount > 0);
});

test('a query that ends gives all its rows', async () => {
  await using reader = new ParquetReader();
  let rowCount = 0;
  for await (const chunk of reader.chunks('FROM range(10_000)')) rowCount += chunk.rowCount;
  assert.equal(rowCount, 10_000);
});
