import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SqlEngine } from '../test/sql-engine.ts';

const ID = '6a08e488-07e0-4ce6-80ec-c38b5dee8521';

let engine: SqlEngine;
before(async () => {
  engine = await SqlEngine.open();
});
after(async () => {
  await engine[Symbol.asyncDispose]();
});

async function sourcesOf(sql: string): Promise<string[]> {
  const { sources } = await engine.analyse(sql);
  return sources.map((source) => {
    if (source.kind === 'view') return `${source.viewSet}/${source.instance}`;
    return source.kind === 'catalog' ? source.name : `${source.name}(${source.args.join()})`;
  });
}

const READ: readonly (readonly [what: string, sql: string, sources: readonly string[]])[] = [
  ['a table', 'SELECT * FROM processes', ['processes']],
  ['FROM first', 'FROM processes SELECT exe', ['processes']],
  ['FROM alone', 'FROM log_entries', ['log_entries/global']],
  ['TABLE', 'TABLE measures', ['measures/global']],
  ['VALUES', 'VALUES (1, 2)', []],
  ['no table', 'SELECT 1', []],
  ['another case and quotes', 'FROM "ProCesses", BLOCKS', ['processes', 'blocks']],
  ['a view instance', `FROM view_instance('thread_spans', '${ID}')`, [`thread_spans/${ID}`]],
  [
    'an id in another form',
    `FROM View_Instance('thread_spans', '${ID.toUpperCase()}')`,
    [`thread_spans/${ID}`],
  ],
  ['a global instance', "FROM view_instance('log_entries', 'global')", ['log_entries/global']],
  ['a self join, once', 'FROM processes a JOIN processes b USING (exe)', ['processes']],
  ['an unknown schema of a struct', 'SELECT p.exe.x FROM processes p', ['processes']],
  ['a scalar subquery', 'SELECT (SELECT count(*) FROM blocks)', ['blocks']],
  ['EXISTS', 'SELECT 1 WHERE EXISTS (FROM blocks)', ['blocks']],
  ['IN', "SELECT 'a' IN (SELECT exe FROM processes)", ['processes']],
  ['ANY and ALL', 'SELECT 1 > ALL (SELECT level FROM log_entries)', ['log_entries/global']],
  [
    'ORDER BY and LIMIT',
    'SELECT 1 ORDER BY (SELECT 1 FROM blocks) LIMIT (SELECT 1 FROM streams)',
    ['blocks', 'streams'],
  ],
  [
    'GROUP BY and HAVING',
    'SELECT 1 GROUP BY (SELECT 1 FROM blocks) HAVING (SELECT true FROM streams)',
    ['blocks', 'streams'],
  ],
  ['DISTINCT ON', 'SELECT DISTINCT ON ((SELECT 1 FROM blocks)) 1', ['blocks']],
  [
    'QUALIFY and windows',
    'SELECT sum(1) FILTER (EXISTS (FROM blocks)) OVER w FROM streams WINDOW w AS (PARTITION BY (SELECT 1 FROM processes)) QUALIFY (SELECT true FROM measures)',
    ['processes', 'blocks', 'streams', 'measures/global'],
  ],
  [
    'CASE, BETWEEN, casts and lists',
    'SELECT CASE WHEN (SELECT true FROM blocks) THEN [1, (SELECT 2 FROM streams)] END, 1 BETWEEN 0 AND (SELECT 1 FROM processes)::INT',
    ['blocks', 'streams', 'processes'],
  ],
  ['lambdas', 'SELECT list_transform([1], lambda x: x + (SELECT 1 FROM blocks))', ['blocks']],
  [
    'REPLACE in a star',
    'SELECT * REPLACE ((SELECT 1 FROM blocks) AS exe) FROM processes',
    ['blocks', 'processes'],
  ],
  [
    'a join condition',
    'FROM streams a JOIN streams b ON a.format = (SELECT max(exe) FROM processes)',
    ['streams', 'processes'],
  ],
  [
    'a lateral join',
    'FROM processes p, LATERAL (SELECT count(*) FROM blocks b WHERE b.process_id = p.process_id)',
    ['processes', 'blocks'],
  ],
  ['a function over a subquery', 'FROM range((SELECT count(*) FROM blocks))', ['blocks']],
  [
    'a correlated function',
    'SELECT * FROM streams s, unnest(s.tags) t, json_each(s.properties)',
    ['streams'],
  ],
  [
    'set operations',
    '(FROM streams SELECT 1 UNION ALL FROM blocks SELECT 1) EXCEPT FROM processes SELECT 1',
    ['streams', 'blocks', 'processes'],
  ],
  ['DESCRIBE', 'DESCRIBE log_entries', ['log_entries/global']],
  ['SUMMARIZE', 'SUMMARIZE SELECT * FROM blocks', ['blocks']],
  [
    'PIVOT',
    'PIVOT log_entries ON level IN (1, 2) USING count(*) GROUP BY target',
    ['log_entries/global'],
  ],
  ['UNPIVOT', 'UNPIVOT (SELECT start_ticks FROM processes) ON start_ticks', ['processes']],
  ['a sample', 'FROM blocks TABLESAMPLE 10%', ['blocks']],
  [
    'an ASOF join',
    'FROM log_entries l ASOF JOIN measures m ON l.time >= m.time',
    ['log_entries/global', 'measures/global'],
  ],
  ['the catalog of views', 'FROM list_view_sets()', []],
  ['the catalog of partitions', 'FROM list_partitions()', ['list_partitions()']],
  ['a raw block', `FROM parse_block('${ID}')`, [`parse_block(${ID})`]],
  ['a derived view', `FROM span_stats('${ID}')`, [`spans(${ID})`]],
  ['a derived view without arguments', 'FROM log_patterns', ['log_entries/global']],
  ['one of a process', `FROM log_patterns('${ID}')`, [`log_entries/${ID}`]],
  [
    'sources that derived views share',
    `FROM span_stats('${ID}'), flame_aggregate('${ID}'), view_instance('async_events', '${ID}'), process_spans('${ID}', 'both')`,
    [`spans(${ID})`, `async_events/${ID}`],
  ],
  ['a CTE that hides a table', 'WITH processes AS (SELECT 1 AS x) FROM processes', []],
  [
    'a CTE that hides a table it reads',
    'WITH processes AS (FROM processes) FROM processes',
    ['processes'],
  ],
  ['a CTE in another case', 'WITH Blocks AS (SELECT 1) FROM bLOCKS', []],
  [
    'a CTE in scope of a subquery',
    'WITH x AS (FROM streams) SELECT (SELECT count(*) FROM x)',
    ['streams'],
  ],
  [
    'a CTE that ends with its subquery',
    'SELECT * FROM (WITH blocks AS (SELECT 1) FROM blocks), blocks',
    ['blocks'],
  ],
  [
    'a CTE inside a CTE',
    'WITH a AS (WITH blocks AS (SELECT 1 AS x) FROM blocks) SELECT * FROM a, blocks',
    ['blocks'],
  ],
  [
    'a recursive CTE',
    'WITH RECURSIVE blocks(n) AS (SELECT count(*) FROM blocks UNION ALL SELECT n - 1 FROM blocks WHERE n > 0) FROM blocks',
    ['blocks'],
  ],
  [
    'a recursive CTE with a key',
    'WITH RECURSIVE t(a, b) USING KEY (a) AS (SELECT 1, 2 UNION SELECT a, b + 1 FROM recurring.t WHERE b < 9) FROM t',
    [],
  ],
  ['a materialized CTE', 'WITH x AS MATERIALIZED (FROM blocks) FROM x', ['blocks']],
];

for (const [what, sql, sources] of READ)
  test(`reads ${what}`, async () => {
    assert.deepEqual((await sourcesOf(sql)).sort(), [...sources].sort());
    const rewritten = await engine.rewrite(sql);
    assert.ok((await engine.serialise(rewritten)).includes('"error":false'), rewritten);
  });

const REFUSED: readonly (readonly [sql: string, code: string])[] = [
  ["FROM 'file.parquet'", 'sql.unknown-table'],
  ['FROM "https://example.com/x.csv"', 'sql.unknown-table'],
  ["SELECT * FROM read_csv('x')", 'sql.function-refused'],
  ['SELECT * FROM processes, LATERAL read_text(processes.exe)', 'sql.function-refused'],
  ["SELECT * FROM glob('*')", 'sql.function-refused'],
  ['FROM main.processes', 'sql.unknown-table'],
  ['FROM memory.main.processes', 'sql.unknown-table'],
  ['FROM lake.s1', 'sql.unknown-table'],
  ['FROM lake.s1, processes', 'sql.unknown-table'],
  ['FROM information_schema.tables', 'sql.unknown-table'],
  ['FROM duckdb_settings()', 'sql.function-refused'],
  ['FROM duckdb_settings', 'sql.unknown-table'],
  ['FROM sqlite_master', 'sql.unknown-table'],
  ['FROM keyed_spans', 'sql.unknown-table'],
  [`FROM keyed_spans('${ID}')`, 'sql.function-refused'],
  ['FROM recurring.processes', 'sql.unknown-table'],
  ["FROM query('FROM processes')", 'sql.function-refused'],
  ["FROM query_table('processes')", 'sql.function-refused'],
  ["FROM json_execute_serialized_sql('{}')", 'sql.function-refused'],
  ['FROM histogram(processes, exe)', 'sql.function-refused'],
  ["SELECT getenv('HOME')", 'sql.function-refused'],
  ["SELECT current_setting('threads')", 'sql.function-refused'],
  ["SELECT getvariable('x')", 'sql.function-refused'],
  ['SELECT sleep_ms(1000)', 'sql.function-refused'],
  ["SELECT write_log('x')", 'sql.function-refused'],
  ["SELECT nextval('x')", 'sql.function-refused'],
  ["SELECT system.main.getenv('HOME')", 'sql.function-refused'],
  ['SELECT pg_catalog.abs(1)', 'sql.function-refused'],
  ["SELECT json_serialize_plan('FROM x')", 'sql.function-refused'],
  ['SELECT current_query()', 'sql.function-refused'],
  ['SELECT no_such_function(1)', 'sql.function-refused'],
  [`SELECT view_instance('log_entries', '${ID}')`, 'sql.function-refused'],
  ['SELECT 1; SELECT 2', 'sql.several-statements'],
  ['SELECT 1; DROP TABLE x', 'sql.not-a-select'],
  ['', 'sql.not-a-select'],
  [';;', 'sql.not-a-select'],
  ['-- nothing', 'sql.not-a-select'],
  ['SELEC 1', 'sql.syntax'],
  ['INSERT INTO processes VALUES (1)', 'sql.not-a-select'],
  ["COPY processes TO 'x'", 'sql.not-a-select'],
  ["COPY (FROM processes) TO 'x'", 'sql.not-a-select'],
  ["ATTACH 'x'", 'sql.not-a-select'],
  ['INSTALL httpfs', 'sql.not-a-select'],
  ['SET threads = 1', 'sql.not-a-select'],
  ['PRAGMA version', 'sql.not-a-select'],
  ['CALL pragma_version()', 'sql.not-a-select'],
  ['PREPARE x AS SELECT 1', 'sql.not-a-select'],
  ["EXPLAIN COPY processes TO 'x'", 'sql.not-a-select'],
  ['EXPLAIN SELECT 1; SELECT 2', 'sql.several-statements'],
  ['EXPLAIN ANALYZE SELECT 1', 'sql.unsupported'],
  ['EXPLAIN (FORMAT json) SELECT 1', 'sql.unsupported'],
  ['SHOW TABLES', 'sql.unsupported'],
  ['SHOW ALL TABLES', 'sql.unsupported'],
  ['DESCRIBE', 'sql.unsupported'],
  ['FROM (SHOW DATABASES)', 'sql.unsupported'],
  ['PIVOT processes ON exe', 'sql.not-a-select'],
  ['FROM processes AT (VERSION => 1)', 'sql.unsupported'],
  ['SELECT 1e400', 'sql.unsupported'],
  ["FROM view_instance('log_entries')", 'sql.bad-arguments'],
  ["FROM view_instance('log_entries', 'x')", 'sql.bad-arguments'],
  ["FROM view_instance('thread_spans', 'global')", 'sql.bad-arguments'],
  [`FROM view_instance('no_such_view', '${ID}')`, 'sql.bad-arguments'],
  ["FROM view_instance('log_entries', 'glo' || 'bal')", 'sql.bad-arguments'],
  ["FROM view_instance('log_entries', instance := 'global')", 'sql.bad-arguments'],
  ["FROM view_instance('log_entries', NULL)", 'sql.bad-arguments'],
  ["FROM view_instance('log_entries', $1)", 'sql.bad-arguments'],
  ['FROM processes p, view_instance(p.exe, p.process_id)', 'sql.bad-arguments'],
  [`FROM view_instance('log_entries', '${ID}') WITH ORDINALITY`, 'sql.unsupported'],
  [`FROM process_spans('${ID}', 'all')`, 'sql.bad-arguments'],
  [`FROM span_stats()`, 'sql.bad-arguments'],
  ["FROM list_partitions('x')", 'sql.bad-arguments'],
  ['WITH a AS (FROM b), b AS (SELECT 1) FROM a', 'sql.unknown-table'],
  ['WITH a AS (FROM a) FROM a', 'sql.unknown-table'],
  ['SELECT * FROM (WITH x AS (SELECT 1) FROM x), x', 'sql.unknown-table'],
  ['WITH RECURSIVE t AS (FROM t UNION ALL SELECT 1) FROM t', 'sql.unknown-table'],
  ['WITH x AS (SELECT 1) FROM main.x', 'sql.unknown-table'],
  ['FROM cte1', 'sql.unknown-table'],
  ['WITH x AS (SELECT 1) FROM cte1, x', 'sql.unknown-table'],
  [`SELECT ${'('.repeat(600)}1${')'.repeat(600)}${' + 1'.repeat(3000)}`, 'sql.syntax'],
];

for (const [sql, code] of REFUSED)
  test(`refuses ${sql.slice(0, 70) || 'nothing'}`, async () => {
    await assert.rejects(engine.analyse(sql), { name: 'SqlError', code });
  });

test('tells EXPLAIN from a query, after comments too', async () => {
  const explained = [
    'EXPLAIN FROM processes',
    ' -- a\n;/* b /* c */ */ explain SELECT * FROM processes;',
  ];
  for (const sql of explained) assert.equal((await engine.analyse(sql)).explain, true, sql);
  const queries = [
    'FROM processes',
    "SELECT 'EXPLAIN'",
    'SELECT 1 AS explain',
    '/* EXPLAIN */ SELECT 1',
  ];
  for (const sql of queries) assert.equal((await engine.analyse(sql)).explain, false, sql);
});

test('tells where in the statement a refused table stands', async () => {
  await assert.rejects(engine.analyse('SELECT 1 FROM nowhere'), { details: { position: 14 } });
});

test('keeps names that a statement refers to', async () => {
  const rewritten = await engine.rewrite(
    `WITH Slow AS (FROM Processes) SELECT Slow.exe, blocks.block_id, view_instance.msg
     FROM Slow, blocks, view_instance('log_entries', '${ID}')`,
  );
  await engine.connection.run(`
    CREATE OR REPLACE VIEW lake.s1 AS SELECT 'a' AS exe;
    CREATE OR REPLACE VIEW lake.s2 AS SELECT 'b' AS block_id;
    CREATE OR REPLACE VIEW lake.s3 AS SELECT 'c' AS msg`);
  const reader = await engine.connection.runAndReadAll(rewritten);
  assert.deepEqual(reader.getRows(), [['a', 'b', 'c']]);
});

test('keeps numbers that a double cannot hold', async () => {
  const sql =
    'SELECT 1795230665835024001 AS a, 170141183460469231731687303715884105727 AS b, 0.1 AS c';
  const reader = await engine.connection.runAndReadAll(await engine.rewrite(sql));
  assert.deepEqual(reader.getRowObjectsJson(), [
    { a: '1795230665835024001', b: '170141183460469231731687303715884105727', c: '0.1' },
  ]);
});
