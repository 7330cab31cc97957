import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTablesSql, filesOf } from './lake-tables.ts';
import type { TableDefinition } from './protocol.ts';

const COLUMNS = [{ name: 'id', type: 'i64' }] as const;
const LOGS = { table: 's1', files: ['/lake/a'], columns: COLUMNS };

const derived = (table: string, below: string) => ({
  table,
  name: table,
  sqlOver: (tableOf: (name: string) => string) => `-- ${table}\nSELECT * FROM ${tableOf(below)}`,
});

test('a view is made for what a statement names, with all below it inside', () => {
  const above = [derived('s2', 's1'), derived('s3', 's2')];
  const tables = { tables: [LOGS], range: {} };
  assert.deepEqual(createTablesSql(tables, { derived: above, named: new Set(['s3']) }), [
    `CREATE VIEW lake."s3" AS -- s3
SELECT * FROM (-- s2
SELECT * FROM (SELECT "id" FROM read_parquet(['/lake/a'])
)
)`,
  ]);
  const named = new Set(['s1', 's2']);
  const views = createTablesSql(tables, { derived: above, named });
  assert.deepEqual(
    views.map((sql) => sql.slice(0, 20)),
    ['CREATE VIEW lake."s1', 'CREATE VIEW lake."s2'],
  );
});

test('rows after others keep the texts before them, whatever these hold', () => {
  const named = { thread_name: `it's "main"; --` };
  const parts = [
    { named, files: ['/lake/a', "/lake/b'"], columns: COLUMNS },
    { named: { thread_name: 'b' }, files: [], columns: COLUMNS },
  ];
  const table: TableDefinition = { table: 's1', parts };
  const reading = { derived: [], named: new Set(['s1']) };
  assert.deepEqual(createTablesSql({ tables: [table], range: {} }, reading), [
    `CREATE VIEW lake."s1" AS SELECT 'it''s "main"; --' AS "thread_name", * FROM (SELECT "id" FROM read_parquet(['/lake/a', '/lake/b'''])) UNION ALL SELECT 'b' AS "thread_name", * FROM (SELECT NULL::BIGINT AS "id" WHERE false)`,
  ]);
  assert.deepEqual(filesOf([table, LOGS]), ['/lake/a', "/lake/b'", '/lake/a']);
});

test('SQL over the tables before it finds them', () => {
  const over: TableDefinition = { table: 's2', sql: 'SELECT * FROM lake.s1' };
  const views = createTablesSql(
    { tables: [LOGS, over], range: {} },
    { derived: [], named: new Set(['s2']) },
  );
  assert.deepEqual(
    views.map((sql) => sql.slice(0, 20)),
    ['CREATE VIEW lake."s1', 'CREATE VIEW lake."s2'],
  );
});
