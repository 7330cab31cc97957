import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachSeed, seededRandom } from '@tracelake/test-kit';
import { RandomStatement } from '../test/random-statement.ts';
import { SqlEngine } from '../test/sql-engine.ts';
import { parseSerialised } from './serialised-statement.ts';
import type { SqlError } from './sql-error.ts';

test('whatever a statement nests, it is taken, and its rewritten form names made-up tables only', async (t) => {
  await using engine = await SqlEngine.open();
  let [asked, taken] = [0, 0];
  await forEachSeed(t, { first: 1, count: 400 }, async (seed) => {
    asked += 1;
    const sql = new RandomStatement(seededRandom(seed)).text();
    if ((await engine.serialise(sql)).includes('"error":true')) return;
    taken += 1;
    const rewritten = await engine.rewrite(sql);
    const named = tablesNamed(parseSerialised(await engine.serialise(rewritten)));
    for (const name of named) assert.match(name, /^(lake\.s\d+|cte\d+)$/, sql);
    const { sources, derived } = await engine.analyse(sql);
    const made = new Set([...sources, ...derived].map(({ table }) => `lake.${table}`));
    for (const name of named)
      assert.ok(name.startsWith('cte') || made.has(name), `${name} of ${sql}`);
  });
  assert.ok(taken * 4 > asked * 3 || asked === 1);
});

for (const kind of ['table', 'value'] as const)
  test(`wherever a forbidden ${kind} stands in a statement, it is refused`, async (t) => {
    await using engine = await SqlEngine.open();
    let [asked, parsed] = [0, 0];
    const check = async (seed: number): Promise<void> => {
      asked += 1;
      const sql = new RandomStatement(seededRandom(seed), kind).text();
      await assert.rejects(
        engine.analyse(sql),
        (error: SqlError) => {
          // The parser itself takes no aggregate in an aggregate and no window in a window.
          if (error.code === 'sql.syntax') return true;
          parsed += 1;
          assert.match(error.code, /^sql\.(unknown-table|function-refused|bad-arguments)$/, sql);
          return true;
        },
        sql,
      );
    };
    await forEachSeed(t, { first: 1, count: 400 }, check);
    t.diagnostic(`${parsed} statements were taken by the parser`);
    assert.ok(parsed * 4 > asked * 3 || asked === 1);
  });

/** Every table a serialised statement names, found without any notion of what stands where. */
function tablesNamed(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(tablesNamed);
  if (typeof value !== 'object' || value === null) return [];
  const { table_name: name, schema_name: schema } = value as Record<string, unknown>;
  const own = typeof name === 'string' && name !== '' ? [schema ? `${schema}.${name}` : name] : [];
  return [...own, ...Object.values(value).flatMap(tablesNamed)];
}
