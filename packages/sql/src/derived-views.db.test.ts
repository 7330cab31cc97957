import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalog, SqlEngine } from '../test/sql-engine.ts';
import { DERIVED_VIEWS } from './derived-views.ts';
import { sqlColumnsOf } from './lake-catalog.ts';
import type { SqlColumn } from './sql-column.ts';
import { quoteName } from './sql-text.ts';

const ID = '6a08e488-07e0-4ce6-80ec-c38b5dee8521';

/** Runs a statement whose sources are these rows: their columns are the ones given, the rest NULL. */
async function rowsOver(
  sql: string,
  given: Readonly<Record<string, { columns: string; values: string }>>,
): Promise<unknown[][]> {
  await using engine = await SqlEngine.open();
  const { sources, derived } = await engine.analyse(sql);
  for (const source of sources) {
    const name = source.kind === 'view' ? source.viewSet : source.name;
    const { columns, values } = given[name] ?? { columns: 'nothing', values: '(NULL)' };
    const wanted = columnsOf(name).map((column) =>
      columns.split(', ').includes(column.name)
        ? `CAST(${quoteName(column.name)} AS ${column.type}) AS ${quoteName(column.name)}`
        : `CAST(NULL AS ${column.type}) AS ${quoteName(column.name)}`,
    );
    const rows = `(VALUES ${values}) t(${columns.split(', ').map(quoteName).join(', ')})`;
    await engine.connection.run(
      `CREATE VIEW lake.${source.table} AS SELECT ${wanted.join(', ')} FROM ${rows}`,
    );
  }
  for (const { table, sqlOver } of derived)
    await engine.connection.run(`CREATE VIEW lake.${table} AS ${sqlOver(lakeTable)}`);
  const reader = await engine.connection.runAndReadAll(await engine.rewrite(sql));
  return reader.getRowsJson();
}

function columnsOf(name: string): readonly SqlColumn[] {
  return name === 'spans'
    ? catalog.functionColumns.spans
    : sqlColumnsOf(catalog.views.get(name).columns);
}

const lakeTable = (table: string): string => `lake.${quoteName(table)}`;

const at = (ns: number): string => `make_timestamp_ns(${ns})`;

test('every derived view has the columns it declares', async () => {
  await using engine = await SqlEngine.open();
  for (const view of DERIVED_VIEWS) {
    if (view.internal) continue;
    const args = view.parameters.map(({ rule }) => (rule === 'span-types' ? "'both'" : `'${ID}'`));
    const sql = `FROM ${view.name}(${args.join(', ')})`;
    const { sources, derived } = await engine.analyse(sql);
    for (const source of sources) {
      const name = source.kind === 'view' ? source.viewSet : source.name;
      const columns = columnsOf(name).map((c) => `CAST(NULL AS ${c.type}) AS ${quoteName(c.name)}`);
      await engine.connection.run(
        `CREATE OR REPLACE VIEW lake.${source.table} AS SELECT ${columns.join(', ')}`,
      );
    }
    for (const { table, sqlOver } of derived)
      await engine.connection.run(`CREATE OR REPLACE VIEW lake.${table} AS ${sqlOver(lakeTable)}`);
    const reader = await engine.connection.runAndReadAll(`DESCRIBE ${await engine.rewrite(sql)}`);
    const columns = reader.getRowsJson().map(([name, type]) => ({ name, type }));
    assert.deepEqual(columns, view.columns, view.name);
    for (const { table } of [...derived].reverse())
      await engine.connection.run(`DROP VIEW lake.${table}`);
    for (const { table } of sources) await engine.connection.run(`DROP VIEW lake.${table}`);
  }
});

const spanColumns = 'stream_id, thread_name, id, parent, depth, begin, duration, name';

test('own time: chains share the id -1, and the parent 0 of their rows is no span', async () => {
  // Two chains of one thread; span 0 is a child of the first.
  const values = [
    `('s', 't', -1, 0, 0, ${at(0)}, 100, 't')`,
    `('s', 't', 0, -1, 1, ${at(10)}, 30, 'a')`,
    `('s', 't', 1, 0, 2, ${at(11)}, 10, 'b')`,
    `('s', 't', -1, 0, 0, ${at(1000)}, 50, 't')`,
    `('s', 't', 9, -1, 1, ${at(1000)}, 20, 'a')`,
    // Another thread that has the same ids.
    `('u', 'v', -1, 0, 0, ${at(0)}, 7, 'v')`,
    `('u', 'v', 0, -1, 1, ${at(1)}, 5, 'a')`,
  ].join(', ');
  const given = { spans: { columns: spanColumns, values } };
  const stats = await rowsOver(
    `SELECT name, count, total_ns, self_ns FROM span_stats('${ID}') ORDER BY name`,
    given,
  );
  assert.deepEqual(stats, [
    ['a', '3', '55', '45'],
    ['b', '1', '10', '10'],
  ]);
  const flame = await rowsOver(
    `SELECT path, count, total_ns, self_ns FROM flame_aggregate('${ID}') ORDER BY path`,
    given,
  );
  assert.deepEqual(flame, [
    [['t'], '2', '150', '100'],
    [['t', 'a'], '2', '50', '40'],
    [['t', 'a', 'b'], '1', '10', '10'],
    [['v'], '1', '7', '2'],
    [['v', 'a'], '1', '5', '5'],
  ]);
});

test('a span whose parent is not read is a root of its own', async () => {
  const values = `('s', 't', 5, 4, 3, ${at(0)}, 10, 'late'), ('s', 't', 6, 5, 4, ${at(1)}, 4, 'child')`;
  const rows = await rowsOver(
    `SELECT path, depth, self_ns FROM flame_aggregate('${ID}') ORDER BY depth`,
    { spans: { columns: spanColumns, values } },
  );
  assert.deepEqual(rows, [
    [['late'], '0', '6'],
    [['late', 'child'], '1', '4'],
  ]);
});

test('async spans: open ones, ids used again, and ends before their begins', async () => {
  const values = [
    `(1, 'begin', ${at(10)}, 'twice', 'x')`,
    `(1, 'end', ${at(20)}, 'twice', 'y')`,
    `(1, 'begin', ${at(30)}, 'twice', 'x')`,
    `(1, 'end', ${at(45)}, 'twice', 'x')`,
    `(2, 'begin', ${at(50)}, 'open', 'x')`,
    `(3, 'begin', ${at(60)}, 'backward', 'x')`,
    `(3, 'end', ${at(55)}, 'backward', 'y')`,
    `(4, 'end', ${at(1)}, 'never begun', 'x')`,
  ].join(', ');
  const given = { async_events: { columns: 'span_id, event_type, time, name, thread_id', values } };
  const spans = await rowsOver(
    `SELECT name, epoch_ns("begin"), epoch_ns("end"), duration, open::VARCHAR, end_thread_id
     FROM async_spans('${ID}') ORDER BY "begin"`,
    given,
  );
  assert.deepEqual(spans, [
    ['twice', '10', '20', '10', 'false', 'y'],
    ['twice', '30', '45', '15', 'false', 'x'],
    ['open', '50', null, null, 'true', null],
    ['backward', '60', '60', '0', 'false', 'y'],
  ]);
  const lasting = await rowsOver(`SELECT name FROM process_spans('${ID}', 'async')`, given);
  assert.deepEqual(lasting, [['twice'], ['twice']]);
});

test('patterns leave out ids, addresses and numbers', async () => {
  const messages = [
    `user ${ID} took 12 ms`,
    'user 00000000-0000-0000-0000-000000000000 took 3.5 ms',
    'at 0xDEADbeef from 10.0.0.1:80',
  ];
  const values = messages.map((msg, index) => `('p${index}', ${at(index)}, 4, 'x', '${msg}')`);
  const rows = await rowsOver(
    'SELECT pattern, count, processes, example FROM log_patterns ORDER BY first_time',
    {
      log_entries: {
        columns: 'process_id, time, level, target, msg',
        values: values.join(', '),
      },
    },
  );
  assert.deepEqual(rows, [
    ['user <uuid> took <num> ms', '2', '2', messages[0]],
    ['at <hex> from <num>:<num>', '1', '1', messages[2]],
  ]);
});
