import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqlEngine } from '../test/sql-engine.ts';
import {
  ALLOWED_FUNCTIONS,
  ALLOWED_TABLE_FUNCTIONS,
  REFUSED_FUNCTIONS,
} from './allowed-functions.ts';

const names = async (engine: SqlEngine, kinds: string): Promise<string[]> => {
  const reader = await engine.connection.runAndReadAll(
    `SELECT DISTINCT lower(function_name) FROM duckdb_functions()
     WHERE function_type IN (${kinds}) AND database_name = 'system'`,
  );
  return reader.getRows().map(([name]) => String(name));
};

test('every function of the engine is either allowed or refused on purpose', async () => {
  await using engine = await SqlEngine.open();
  const known = new Set([...ALLOWED_FUNCTIONS, ...REFUSED_FUNCTIONS]);
  const functions = await names(engine, "'scalar', 'aggregate', 'macro'");
  assert.ok(functions.length > 700);
  assert.deepEqual(
    functions.filter((name) => !known.has(name)),
    [],
  );
  // `unnest` is a piece of syntax that the parser writes as a function.
  const there = new Set([...functions, 'unnest']);
  assert.deepEqual(
    [...known].filter((name) => !there.has(name)),
    [],
  );
});

test('no function is both allowed and refused', () => {
  assert.deepEqual(
    [...ALLOWED_FUNCTIONS].filter((name) => REFUSED_FUNCTIONS.has(name)),
    [],
  );
});

test('functions allowed where a table stands read nothing of their own', async () => {
  await using engine = await SqlEngine.open();
  const functions = await names(engine, "'table', 'table_macro'");
  const refused = functions.filter((name) => !ALLOWED_TABLE_FUNCTIONS.has(name));
  assert.ok(refused.length > 80);
  for (const name of refused)
    await assert.rejects(engine.analyse(`SELECT * FROM "${name}"('x')`), {
      code: 'sql.function-refused',
    });
});
