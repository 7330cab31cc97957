/**
 * Scenario: recordings of real clients go through ingest and the materializer (processes of their own, real
 * Postgres, real nats-server) and are asked for with SQL.
 * Guarantees: an answer holds the rows of every block acknowledged before it was asked for; partitions are built
 * when they are needed and once; an explanation builds nothing; what fails is told apart and touches nothing else.
 */

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadFixture, RecordingBuilder } from '@tracelake/test-kit';
import { startTestLake, type TestLake } from '../test/lake.ts';

let lake: TestLake;
before(async () => {
  lake = await startTestLake({ TRACELAKE_QUERY_CONCURRENT_REQUESTS: '3' });
});
after(() => lake[Symbol.asyncDispose]());

type Row = Record<string, unknown>;

function post(body: Row | string, headers: Record<string, string> = {}, signal?: AbortSignal) {
  const isText = typeof body === 'string';
  return fetch(`${lake.queryUrl}/v1/query`, {
    method: 'POST',
    headers: { 'content-type': isText ? 'text/plain' : 'application/json', ...headers },
    body: isText ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

async function rowsOf(body: Row | string): Promise<Row[]> {
  const response = await post(body);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text) as Row[];
}

async function problemOf(body: Row | string, headers = {}) {
  const response = await post(body, headers);
  const { type, status, detail } = (await response.json()) as Record<string, string>;
  assert.equal(String(response.status), String(status));
  return { status: response.status, code: String(type).split(':').at(-1), detail: String(detail) };
}

async function ingested(name: string) {
  const fixture = loadFixture(name);
  await lake.ingest(fixture.requests);
  return fixture;
}

test('a statement that reads nothing is answered', async () => {
  assert.deepEqual(await rowsOf('SELECT 42 AS answer'), [{ answer: 42 }]);
  const params = { sql: 'SELECT $1 + 1 AS next, $2 AS word', params: [41, 'x'] };
  assert.deepEqual(await rowsOf(params), [{ next: 42, word: 'x' }]);
});

test('log entries are built when asked for, and come with their receipt', async () => {
  const fixture = await ingested('logs');
  const sql = `SELECT level, target, msg FROM view_instance('log_entries', '${fixture.processId}')`;
  const response = await post({ sql, receipt: true });
  const { rows, receipt } = (await response.json()) as { rows: Row[]; receipt: Row };
  assert.equal(rows.length, fixture.expected('log_entries').rows.length);
  assert.equal(receipt.blocks_known, receipt.blocks_read);
  assert.equal(receipt.blocks_rejected, 0);
  assert.equal(receipt.process_writing, true);
  const header = (name: string) => response.headers.get(`tracelake-receipt-${name}`);
  assert.equal(header('blocks-known'), String(receipt.blocks_known));
  assert.match(header('view-versions') ?? '', /^log_entries=\d+:[0-9a-f]+$/);
  assert.equal(header('range'), '../..');
  const global = await rowsOf(
    `SELECT count(*) AS n FROM log_entries WHERE process_id = '${fixture.processId}'`,
  );
  assert.deepEqual(global, [{ n: rows.length }]);
});

test('ten identical cold queries get the same rows, and each partition is built once', async () => {
  const fixture = await ingested('spans');
  const [streamId = ''] = fixture.expectedThreadSpanStreams();
  const sql = `SELECT id, epoch_ns(begin) AS b FROM view_instance('thread_spans', '${streamId}') ORDER BY id`;
  const answers = await Promise.all(Array.from({ length: 10 }, () => rowsOf(sql)));
  const expected = fixture.expected(`thread_spans.${streamId}`);
  assert.equal(answers[0]?.length, expected.rows.length);
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  const built = await rowsOf(`
    SELECT count(*) AS n FROM list_partitions()
    WHERE view_set_name = 'thread_spans' AND view_instance_id = '${streamId}' AND num_rows > 0`);
  const metrics = await (await fetch(`${lake.materializerUrl}/metrics`)).text();
  const written =
    /tracelake_\w*partitions_written\w*\{[^}]*view_set="thread_spans"[^}]*\} (\d+)/.exec(metrics);
  if (written !== null) assert.equal(Number(written[1]), Number(built[0]?.n));
});

test('an explanation tells what would be built and why, and builds nothing', async () => {
  const fixture = await ingested('small');
  const sql = `SELECT * FROM view_instance('async_events', '${fixture.processId}')`;
  const cold = await rowsOf(`EXPLAIN ${sql}`);
  assert.deepEqual([...new Set(cold.map((row) => row.action))], ['build']);
  assert.ok(cold.every((row) => row.reason !== '' && row.instance === fixture.processId));
  const sql2 = `SELECT count(*) AS n FROM list_partitions() WHERE view_set_name = 'async_events' AND view_instance_id = '${fixture.processId}'`;
  assert.deepEqual(await rowsOf(sql2), [{ n: 0 }]);
  await rowsOf(sql);
  const warm = await rowsOf(`EXPLAIN ${sql}`);
  assert.ok(warm.length > 0 && warm.every((row) => row.action === 'read' && Number(row.bytes) > 0));
  const later = await rowsOf({ sql: `EXPLAIN ${sql}`, begin: '2200-01-01T00:00:00Z' });
  assert.ok(later.every((row) => row.action === 'skip' && row.reason === 'outside the range'));
});

test('a block that comes between two queries is in the second answer', async () => {
  const recording = new RecordingBuilder({ seed: 7 });
  const thread = recording.addThread({ name: 'main' });
  thread.begin({ name: 'a' }, 10);
  thread.end({ name: 'a' }, 20);
  thread.flushBlock();
  const before = recording.requests();
  await lake.ingest(before);
  const sql = `SELECT name FROM process_spans('${recording.process.processId}', 'thread') WHERE depth > 0 ORDER BY begin`;
  assert.deepEqual(await rowsOf(sql), [{ name: 'a' }]);
  thread.begin({ name: 'b' }, 30);
  thread.end({ name: 'b' }, 40);
  thread.flushBlock();
  await lake.ingest(recording.requests().slice(before.length));
  assert.deepEqual(await rowsOf(sql), [{ name: 'a' }, { name: 'b' }]);
});

test('the catalog is up to the moment, with the columns whose names have a dot', async () => {
  const { processId } = await ingested('open');
  const blocks = await rowsOf(`
    SELECT "processes.exe" AS exe, "streams.tags" AS tags, "streams.properties" AS properties,
      octet_length("streams.objects_metadata") AS metadata_bytes, begin_time
    FROM blocks WHERE process_id = '${processId}' AND array_has("streams.tags", 'cpu')`);
  assert.ok(blocks.length > 0);
  for (const block of blocks) {
    assert.ok((block.tags as string[]).includes('cpu'));
    assert.ok(Number(block.metadata_bytes) > 0);
    assert.match(String(block.begin_time), /^\d{4}-\d\d-\d\dT/);
  }
  const sql = `SELECT p.exe, count(*) AS n FROM processes p JOIN streams s USING (process_id)
    WHERE process_id = '${processId}' GROUP BY ALL`;
  assert.equal((await rowsOf(sql))[0]?.exe, blocks[0]?.exe);
  const [block] = await rowsOf(
    `SELECT block_id, nb_objects FROM blocks WHERE process_id = '${processId}' LIMIT 1`,
  );
  const objects = await rowsOf(`SELECT type_name, value FROM parse_block('${block?.block_id}')`);
  assert.equal(objects.length, Number(block?.nb_objects));
  for (const { type_name, value } of objects) {
    assert.equal(JSON.parse(String(value)).__type, type_name);
  }
  const rejected = 'SELECT block_id, view_set, reason FROM rejected_blocks';
  assert.deepEqual(await rowsOf(rejected), []);
  const early = { sql: 'SELECT count(*) AS n FROM blocks', end: '1980-01-01T00:00:00Z' };
  assert.deepEqual(await rowsOf(early), [{ n: 0 }]);
});

test('a range bounds what is read, both ends inclusive', async () => {
  const fixture = await ingested('metrics');
  const view = `view_instance('measures', '${fixture.processId}')`;
  const [ends] = await rowsOf(
    `SELECT min(time) AS first, max(time) AS last, count(*) AS n FROM ${view}`,
  );
  const count = async (begin: unknown, end: unknown) =>
    Number((await rowsOf({ sql: `SELECT count(*) AS n FROM ${view}`, begin, end }))[0]?.n);
  assert.equal(await count(ends?.first, ends?.last), Number(ends?.n));
  assert.ok((await count(ends?.first, ends?.first)) >= 1);
  assert.equal(await count('2200-01-01T00:00:00Z', null), 0);
});

test('each format comes under its own name', async () => {
  const ask = (accept: string) => post("SELECT 1 AS a, 'x,y' AS b", { accept });
  const csv = await ask('text/csv');
  assert.match(csv.headers.get('content-type') ?? '', /^text\/csv/);
  assert.match(await csv.text(), /^a,b\r?\n1,"x,y"\r?\n$/);
  assert.equal(await (await ask('application/x-ndjson')).text(), '{"a":1,"b":"x,y"}\n');
  const arrow = await ask('application/vnd.apache.arrow.stream');
  assert.equal(arrow.headers.get('content-type'), 'application/vnd.apache.arrow.stream');
  assert.ok((await arrow.arrayBuffer()).byteLength > 0);
});

test('what cannot be answered is told apart before the first byte', async () => {
  const unknown = '00000000-0000-4000-8000-000000000001';
  const cases: [Row | string, number, string, RegExp][] = [
    ['SELEC 1', 400, 'query.syntax', /SELEC/],
    ['DROP TABLE x', 400, 'query.not-a-select', /./],
    ['SELECT 1; SELECT 2', 400, 'query.several-statements', /./],
    ['SELECT * FROM nothing', 400, 'query.unknown-table', /nothing/],
    ["SELECT * FROM read_csv('/etc/passwd')", 400, 'query.function-refused', /read_csv/],
    [
      "SELECT * FROM view_instance('async_events', 'global')",
      400,
      'query.bad-arguments',
      /global|UUID/,
    ],
    [
      `SELECT * FROM view_instance('log_entries', '${unknown}')`,
      404,
      'query.unknown-source',
      /no process/,
    ],
    ["SELECT CAST('x' AS INTEGER)", 400, 'query.failed', /x/],
    ["SELECT ('x' || range)::INTEGER FROM range(3)", 400, 'query.failed', /'x0'/],
    [{ sql: 'SELECT $1' }, 400, 'query.bad-parameter', /parameter/],
    [{ sql: 1 }, 400, 'query.bad-request', /sql/],
  ];
  for (const [body, status, code, detail] of cases) {
    const problem = await problemOf(body);
    assert.deepEqual([problem.status, problem.code], [status, code], JSON.stringify(body));
    assert.match(problem.detail, detail);
  }
  assert.equal((await problemOf('SELECT 1', { accept: 'image/png' })).status, 406);
  const large = await post(`SELECT '${'x'.repeat(2 * 1024 * 1024)}'`).catch(() => undefined);
  if (large !== undefined) assert.equal(large.status, 413);
  assert.deepEqual(await rowsOf('SELECT 1 AS a'), [{ a: 1 }]);
});

const ENDLESS = 'SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b';

test('a client that leaves ends its query, and others are served meanwhile', async () => {
  const leaver = new AbortController();
  const left = Array.from({ length: 2 }, () => post(ENDLESS, {}, leaver.signal));
  await sleep(500);
  assert.deepEqual(await rowsOf('SELECT 1 AS a'), [{ a: 1 }]);
  leaver.abort();
  await Promise.allSettled(left);
  await assertSoon(async () => /tracelake_query_running(\{[^}]*\})? 0\n/.test(await metrics()));
});

test('a failure after the first byte cuts the connection, and a reader of lines is told', async () => {
  const sql =
    "SELECT CASE WHEN range > 300000 THEN CAST('x' || range AS BIGINT) ELSE range END AS n FROM range(1000000)";
  const response = await post(sql, { accept: 'application/x-ndjson' });
  assert.equal(response.status, 200);
  let text = '';
  const decoder = new TextDecoder();
  await assert.rejects(async () => {
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk as Uint8Array);
  });
  const last = text.trimEnd().split('\n').at(-1) ?? '';
  assert.equal(JSON.parse(last).error.code, 'query.failed');
});

test('nothing of a query is left in the temporary directory', async () => {
  await assertSoon(async () => {
    const [own = ''] = await readdir(lake.tempDir);
    assert.match(own, /^tracelake-query-/, 'all of a service lies in its one directory');
    const names = await readdir(join(lake.tempDir, own));
    return names.every((name) => !name.startsWith('query-'));
  });
});

function metrics(): Promise<string> {
  return fetch(`${lake.queryUrl}/metrics`).then((response) => response.text());
}

async function assertSoon(holds: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + 5000;
  while (!(await holds())) {
    assert.ok(performance.now() < untilMs, 'it does not come true');
    await sleep(50);
  }
}
