import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRewritten } from './statement-guard.ts';

/** A statement whose FROM is `table`, as DuckDB serialises it. */
function statement(table: object, more: object = {}): unknown {
  const from_table = { alias: '', sample: null, ...table };
  const node = { type: 'SELECT_NODE', cte_map: { map: [] }, select_list: [], from_table, ...more };
  return { error: false, statements: [{ node }] };
}

function baseTable(table_name: string, more: object = {}): object {
  return { type: 'BASE_TABLE', table_name, schema_name: '', catalog_name: '', ...more };
}

function check(tree: unknown): void {
  checkRewritten(tree, new Set(['s1']), new Set(['jsonb_each']));
}

const cteNamed = (key: string) => ({ cte_map: { map: [{ key, value: {} }] } });

test('tables of the lake, CTEs and computing functions pass', () => {
  check(statement(baseTable('s1', { schema_name: 'lake' })));
  check(statement(baseTable('c1'), cteNamed('C1')));
  check(statement({ type: 'TABLE_FUNCTION', function: { function_name: 'range' } }));
  check(statement({ type: 'TABLE_FUNCTION', function: { function_name: 'jsonb_each' } }));
});

test('a table that is not the statement’s own is refused, whatever the analysis let through', () => {
  const refused = { code: 'query.unknown-table' };
  assert.throws(() => check(statement(baseTable('s2', { schema_name: 'lake' }))), refused);
  assert.throws(() => check(statement(baseTable('s1'))), refused);
  assert.throws(() => check(statement(baseTable('s1', { schema_name: 'main' }))), refused);
  const elsewhere = { schema_name: 'lake', catalog_name: 'other' };
  assert.throws(() => check(statement(baseTable('s1', elsewhere))), refused);
  const versioned = { schema_name: 'lake', at_clause: {} };
  assert.throws(() => check(statement(baseTable('s1', versioned))), refused);
  assert.throws(
    () => check(statement(baseTable('sqlite_master'), cteNamed('sqlite_master'))),
    refused,
  );
});

test('functions that look at the system are refused, and kinds of table that are not known', () => {
  const refused = { code: 'query.function-refused' };
  for (const function_name of ['read_parquet', 'Read_Text', 'duckdb_settings', 'query']) {
    const table = { type: 'TABLE_FUNCTION', function: { function_name } };
    assert.throws(() => check(statement(table)), refused, function_name);
  }
  for (const function_name of ['current_setting', 'GETENV', 'write_log', 'pg_sleep']) {
    const select_list = [{ class: 'FUNCTION', function_name }];
    assert.throws(
      () => check(statement({ type: 'EMPTY' }, { select_list })),
      refused,
      function_name,
    );
  }
  assert.throws(() => check(statement({ type: 'BOUND_TABLE_REF' })), {
    code: 'query.not-a-select',
  });
  assert.throws(() => check(statement({ type: 'SHOW_REF', query: null })), {
    code: 'query.not-a-select',
  });
});

test('anything but one statement is refused', () => {
  const refused = { code: 'query.several-statements' };
  assert.throws(() => check({ error: false, statements: [] }), refused);
  assert.throws(() => check({ error: false, statements: [{}, {}] }), refused);
  assert.throws(() => check(null), refused);
});
