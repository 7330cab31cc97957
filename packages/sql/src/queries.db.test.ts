import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { documentedQueries, withIdsOf } from '../test/documented-query.ts';
import { FixtureLake } from '../test/fixture-lake.ts';
import type { Cell } from '../test/query-answer.ts';
import { ANSWERS } from '../test/query-answers.ts';
import { RecordedRows } from '../test/recorded-rows.ts';

let lake: FixtureLake;
before(async () => {
  lake = await FixtureLake.open();
});
after(async () => {
  await lake[Symbol.asyncDispose]();
});

const queries = documentedQueries();

test('every documented query has an answer worked out without it', () => {
  assert.ok(queries.length >= 30);
  assert.deepEqual(queries.map(({ title }) => title).sort(), Object.keys(ANSWERS).sort());
});

for (const { title, recording, sql } of queries)
  test(`answers: ${title}`, async () => {
    const { fixture } = lake.recording(recording);
    const rows = await lake.rows(withIdsOf(sql, fixture));
    const wanted = ANSWERS[title]?.(new RecordedRows(fixture)) ?? [];
    assert.ok(wanted.length > 0);
    assert.deepEqual(
      rows.map((row) => Object.values(row).map(cell)),
      wanted.map((row) => row.map(cell)),
    );
  });

/** Numbers to 13 digits: sums of doubles depend on their order. */
function cell(value: unknown): Cell {
  if (value === null || typeof value === 'boolean') return value;
  const text = String(value);
  return /^-?\d+(\.\d+)?(e-?\d+)?$/.test(text) && !/^-?\d{14,}$/.test(text)
    ? Number(Number(text).toPrecision(13))
    : text;
}
