/**
 * SQL over the lake, asked as a client asks it.
 *
 * Guarantees: every row of the reference comes back in every format to the nanosecond; an answer has what
 * arrived before it was asked for; what is built is what is missing, and once.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type CsvTable, fixtureCases, loadFixture, type NativeFixture } from '@tracelake/test-kit';
import { decodeBlockEnvelope } from '@tracelake/transit';
import { readMetric, replay } from './harness/client.ts';
import { copyProcess } from './harness/fixture-copy.ts';
import {
  type ProcessStack,
  type ServiceProcess,
  startProcessStack,
} from './harness/process-stack.ts';
import { findPyarrow, readWithPyarrow } from './harness/pyarrow-reader.ts';
import {
  type AnswerTable,
  answerFormats,
  postQuery,
  queryRows,
  readAnswer,
} from './harness/query-answers.ts';

const QUERIES_AT_ONCE = 3;
const pyarrow = await findPyarrow();

describe('SQL over the lake', () => {
  let stack: ProcessStack;
  let query: ServiceProcess;
  const arrowAnswers: {
    readonly name: string;
    readonly bytes: Uint8Array;
    readonly wanted: AnswerTable;
  }[] = [];

  before(async () => {
    stack = await startProcessStack();
    query = await stack.startService('query');
    for (const name of fixtureCases()) await replay(stack.ingest.url, loadFixture(name).requests);
  });

  after(() => stack?.[Symbol.asyncDispose]());

  for (const name of fixtureCases()) {
    test(`the rows of "${name}" are those of the reference in every format`, async () => {
      const questions = questionsOf(loadFixture(name));
      await inParallel(questions, async ({ sql, wanted, title }) => {
        // One recording has the fourth format as well, which differs from JSON in its line ends alone.
        for (const format of name === 'small' ? answerFormats : answerFormats.slice(0, 3)) {
          const bytes = await (await postQuery(query.url, { sql }, format)).bytes();
          const answer = comparable(readAnswer(bytes, format), wanted.header);
          assert.deepEqual(answer, wanted, `${title} in ${format}`);
          if (format === 'arrow') arrowAnswers.push({ name: `${name} ${title}`, bytes, wanted });
        }
      });
    });
  }

  const skip = pyarrow === undefined ? 'no python3 with pyarrow on this machine' : false;
  test('pyarrow reads the same rows from the Arrow answers', { skip }, async () => {
    const tables = await readWithPyarrow(arrowAnswers.map(({ bytes }) => bytes));
    assert.ok(tables.length > 0 && tables.length === arrowAnswers.length);
    for (const [index, table] of tables.entries()) {
      const { name, wanted } = arrowAnswers[index] ?? assert.fail();
      assert.deepEqual(comparable(table, wanted.header), wanted, `${name}, pyarrow ${pyarrow}`);
    }
  });

  test('the questions that users of the reference ask about async events have its answers', async () => {
    const fixture = loadFixture('small');
    const events = objectsOf(fixture, 'async_events');
    const [process] = await queryRows(
      query.url,
      `SELECT processes.process_id FROM processes
       WHERE exe LIKE '%generator%' OR process_id = '${fixture.processId}'
       ORDER BY start_time DESC LIMIT 1;`,
    );
    assert.equal(process?.process_id, fixture.processId);
    const source = `view_instance('async_events', '${fixture.processId}')`;

    const first = await queryRows(
      query.url,
      `SELECT span_id, parent_span_id, event_type, time, thread_id, name, target
       FROM ${source} ORDER BY time LIMIT 10;`,
    );
    const inOrder = events.toSorted((a, b) => Number(BigInt(a.time ?? 0) - BigInt(b.time ?? 0)));
    assert.deepEqual(
      first.map((row) => [String(row.span_id), row.event_type, row.thread_id, row.name]),
      inOrder.slice(0, 10).map((row) => [row.span_id, row.event_type, row.stream_id, row.name]),
    );

    const begins = events.filter(({ event_type }) => event_type === 'begin');
    const byThread = await queryRows(
      query.url,
      `SELECT DISTINCT thread_id, COUNT(*) as event_count FROM ${source}
       WHERE event_type = 'begin' GROUP BY thread_id ORDER BY event_count DESC;`,
    );
    const counts = Map.groupBy(begins, ({ stream_id }) => stream_id);
    assert.deepEqual(
      new Map(byThread.map((row) => [row.thread_id, row.event_count])),
      new Map([...counts].map(([thread, rows]) => [thread, rows.length])),
    );

    const pairs = await queryRows(
      query.url,
      `SELECT parent.name as parent_name, child.name as child_name,
              parent.span_id as parent_id, child.parent_span_id
       FROM ${source} parent JOIN ${source} child ON parent.span_id = child.parent_span_id
       WHERE parent.event_type = 'begin' AND child.event_type = 'begin';`,
    );
    const wantedPairs = begins.flatMap((child) =>
      begins
        .filter(({ span_id }) => span_id === child.parent_span_id)
        .map((parent) => `${parent.name} ${child.name} ${parent.span_id}`),
    );
    assert.deepEqual(
      pairs.map((row) => `${row.parent_name} ${row.child_name} ${row.parent_id}`).sort(),
      wantedPairs.sort(),
    );

    const longest = await queryRows(
      query.url,
      `SELECT begin_events.name, epoch_ns(end_events.time) - epoch_ns(begin_events.time) as duration_ns
       FROM (SELECT * FROM ${source} WHERE event_type = 'begin') begin_events
       JOIN (SELECT * FROM ${source} WHERE event_type = 'end') end_events
       ON begin_events.span_id = end_events.span_id
       ORDER BY duration_ns DESC LIMIT 10;`,
    );
    const ends = new Map(
      events.flatMap((row) => (row.event_type === 'end' ? [[row.span_id, row.time]] : [])),
    );
    const durations = begins
      .flatMap(({ span_id, time = '0' }) => {
        const end = ends.get(span_id);
        return end === undefined ? [] : [Number(BigInt(end) - BigInt(time))];
      })
      .sort((a, b) => b - a);
    assert.ok(durations.length > 3);
    assert.deepEqual(
      longest.map((row) => row.duration_ns),
      durations.slice(0, 10),
    );
  });

  test('a block that arrives between two identical queries is in the second, and it alone is built', async () => {
    const copy = copyProcess(loadFixture('small'));
    const cpuStreams = new Set(copy.fixture.expectedThreadSpanStreams().map(copy.idOf));
    const last = copy.requests
      .filter(({ path }) => path.endsWith('/insert_block'))
      .map((request) => ({ request, block: decodeBlockEnvelope(request.body) }))
      .filter(({ block }) => cpuStreams.has(block.streamId) && block.objectOffset > 0n)[0];
    assert.ok(last !== undefined);
    const sql = `SELECT count(*) AS spans FROM process_spans('${copy.processId}', 'thread')`;
    const answer = async () => (await queryRows(query.url, sql))[0]?.spans;
    const partitions = () =>
      queryRows(query.url, `EXPLAIN ${sql}`).then((rows) =>
        rows.map((row) => ({
          stream: String(row.instance),
          id: row.partition_id,
          action: row.action,
          blocks: row.blocks,
        })),
      );
    await replay(
      stack.ingest.url,
      copy.requests.filter((request) => request !== last.request),
    );
    const first = await answer();
    assert.equal(await answer(), first);
    const before = await partitions();
    assert.deepEqual(
      before.filter(({ action }) => action === 'build'),
      [],
    );

    await replay(stack.ingest.url, [last.request]);
    const planned = (await partitions()).filter(({ action }) => action === 'build');
    assert.ok(planned.length > 0, 'EXPLAIN tells what will be built, and builds nothing');
    for (const { stream } of planned) assert.equal(stream, last.block.streamId);
    const builtBefore = await instancesBuilt();
    const total = copy.fixture
      .expectedThreadSpanStreams()
      .reduce((sum, id) => sum + copy.fixture.expected(`thread_spans.${id}`).rows.length, 0);
    assert.equal(await answer(), total);
    assert.ok(Number(first) < total);
    assert.equal((await instancesBuilt()) - builtBefore, 1);
    const ofOthers = (rows: Awaited<ReturnType<typeof partitions>>) =>
      rows.filter(({ stream }) => stream !== last.block.streamId);
    assert.deepEqual(ofOthers(await partitions()), ofOthers(before));
  });

  test('ten identical cold queries at once build each partition once', async () => {
    const copy = copyProcess(loadFixture('open'));
    await replay(stack.ingest.url, copy.requests);
    const [stream = ''] = copy.fixture.expectedThreadSpanStreams();
    const wanted = copy.fixture.expected(`thread_spans.${stream}`).rows.length;
    const builtBefore = await partitionsBuilt();
    const sql = `SELECT count(*) AS spans FROM view_instance('thread_spans', '${copy.idOf(stream)}')`;
    const answers = await Promise.all(
      Array.from({ length: 10 }, async () => (await queryRows(query.url, sql))[0]?.spans),
    );
    assert.deepEqual(new Set(answers), new Set([wanted]));
    const listed = await queryRows(query.url, `EXPLAIN ${sql}`);
    assert.ok(listed.length > 0);
    assert.equal((await partitionsBuilt()) - builtBefore, listed.length);
  });

  const instancesBuilt = () => readMetric(query.url, 'tracelake_query_instances_built_total');
  const partitionsBuilt = () =>
    readMetric(stack.materializer.url, 'tracelake_materializer_partitions_built_total', {
      view: 'thread_spans',
    });
});

interface Question {
  readonly title: string;
  readonly sql: string;
  readonly wanted: AnswerTable;
}

/** One question for each table of the reference, for its columns. */
function questionsOf(fixture: NativeFixture): Question[] {
  const tables = ['processes', 'streams', 'blocks'].map((table) => ({
    title: table,
    source: `${table} WHERE process_id = '${fixture.processId}'`,
  }));
  const views = ['log_entries', 'measures', 'async_events'].map((view) => ({
    title: view,
    source: `view_instance('${view}', '${fixture.processId}')`,
  }));
  const isEstimated = fixture
    .expected('processes')
    .rows.some((row) => row[fixture.expected('processes').header.indexOf('tsc_frequency')] === '0');
  const question = (title: string, sources: readonly string[], { header: all, rows }: CsvTable) => {
    // Times that come from an estimated frequency are held to the reference by a test of their own.
    const header = isEstimated ? all.filter((column) => !EVENT_TIMES.has(column)) : all;
    const columns = header.map((column) => `"${column}"`).join(', ');
    const cells = rows.map((row) => header.map((column) => row[all.indexOf(column)] ?? ''));
    return {
      title,
      sql: sources.map((source) => `SELECT ${columns} FROM ${source}`).join(' UNION ALL '),
      wanted: comparable({ header, rows: cells }, header),
    };
  };
  const questions = [...tables, ...views].map(({ title, source }) =>
    question(title, [source], fixture.expected(title)),
  );
  const threads = fixture.expectedThreadSpanStreams();
  const spans = threads.map((stream) => fixture.expected(`thread_spans.${stream}`));
  const [first] = spans;
  if (first === undefined) return questions;
  // One question for all threads, because each costs the service a process.
  const sources = threads.map((stream) => `view_instance('thread_spans', '${stream}')`);
  const rows = spans.flatMap((thread) => thread.rows);
  return [...questions, question('thread_spans', sources, { header: first.header, rows })];
}

const EVENT_TIMES = new Set(['time', 'begin', 'end', 'duration']);

/** Rows in an order and with texts that do not depend on who wrote them. JSON of no rows names no columns. */
function comparable({ header, rows }: AnswerTable, wantedHeader: readonly string[]): AnswerTable {
  if (rows.length > 0) assert.deepEqual(header, wantedHeader);
  const texts = rows.map((cells) =>
    cells.map((cell, at) => canonicalText(wantedHeader[at] ?? '', cell)),
  );
  return { header: wantedHeader, rows: texts.sort((a, b) => (a.join('|') < b.join('|') ? -1 : 1)) };
}

function canonicalText(column: string, cell: string): string {
  if (column === 'properties') {
    return JSON.stringify(Object.entries(JSON.parse(cell)).sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  if (column === 'value') return String(Number(cell));
  if (column.endsWith('tags')) return cell.replaceAll(/[[\]"' ]/g, '');
  return cell;
}

function objectsOf(fixture: NativeFixture, table: string): Record<string, string>[] {
  const { header, rows } = fixture.expected(table);
  return rows.map((row) => Object.fromEntries(header.map((name, at) => [name, row[at] ?? ''])));
}

async function inParallel<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const pending = [...items];
  const next = async (): Promise<void> => {
    for (let item = pending.shift(); item !== undefined; item = pending.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: QUERIES_AT_ONCE }, next));
}
