/**
 * What the documents that Tracelake started from ask of the lake: threads whose streams are older than the
 * range, instances refused by name, partitions kept when they are what is wanted, async events asked in SQL.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { formatRfc3339, nanoseconds } from '@tracelake/domain';
import { decodeTrace, loadFixture, type NativeFixture } from '@tracelake/test-kit';
import pg from 'pg';
import { exportTrace, readMetric, replay } from './harness/client.ts';
import { findSliceDifferences } from './harness/expected-slices.ts';
import { type ProcessStack, startProcessStack } from './harness/process-stack.ts';

interface AsyncEvent {
  readonly stream: string;
  readonly time: bigint;
  readonly type: string;
  readonly spanId: bigint;
  readonly parentSpanId: bigint;
  readonly name: string;
}

describe('a lake with recorded processes', () => {
  const small = loadFixture('small');
  let stack: ProcessStack;

  before(async () => {
    stack = await startProcessStack();
    await replay(stack.ingest.url, small.requests);
  });

  after(async () => {
    await stack?.[Symbol.asyncDispose]();
  });

  test('a process whose streams were registered a day before the range exports its threads', async () => {
    const client = new pg.Client({ connectionString: stack.databaseUrl });
    await client.connect();
    try {
      // Rows of streams never change in production; the database says so by a trigger.
      await client.query('ALTER TABLE streams DISABLE TRIGGER USER');
      await client.query(`UPDATE streams SET insert_time = insert_time - interval '1 day'`);
    } finally {
      await client.end();
    }
    const first = earliest(asyncEvents(small));
    const begin = encodeURIComponent(formatRfc3339(nanoseconds(first - 60_000_000_000n)));
    const end = encodeURIComponent(formatRfc3339(nanoseconds(first + 60_000_000_000n)));
    const query = `spans=both&begin=${begin}&end=${end}`;
    const { bytes } = await exportTrace(stack.traceExport.url, small.processId, query);
    const trace = decodeTrace(bytes);
    assert.deepEqual(findSliceDifferences(trace, small), []);
    assert.ok(trace.slices.some((slice) => slice.track.kind === 'thread'));
    assert.ok(trace.slices.some((slice) => slice.track.kind === 'named'));
  });

  for (const instance of ['global', 'not-an-id', `${small.processId}x`]) {
    test(`async_events of ${instance} is refused by the name of its rule`, async () => {
      const response = await materialize(stack, 'async_events', instance);
      assert.equal(response.status, 400);
      const problem = (await response.json()) as { type: string; detail: string };
      assert.match(problem.type, /bad-instance/);
      assert.match(problem.detail, /async_events/);
      assert.match(problem.detail, /the id of a process/);
    });
  }

  test('a partition that is what the request wants is not built again', async () => {
    await materialize(stack, 'async_events', small.processId);
    const written = () =>
      readMetric(stack.materializer.url, 'tracelake_materializer_partitions_built_total');
    const before = await written();
    const response = await materialize(stack, 'async_events', small.processId);
    assert.equal(response.status, 200);
    const answer = (await response.json()) as { decision: string; blocks_decoded: number };
    assert.equal(answer.decision, 'current');
    assert.equal(answer.blocks_decoded, 0);
    assert.equal(await written(), before);
    assert.match(stack.materializer.log, /partition up to date/);
  });

  describe('its async events in SQL on the Parquet', () => {
    const events = asyncEvents(small);
    let query: (sql: string) => Promise<Record<string, unknown>[]>;

    before(async () => {
      await materialize(stack, 'async_events', small.processId);
      const files = await partitionFiles(stack, 'async_events', small.processId);
      const connection = await (await DuckDBInstance.create(':memory:')).connect();
      const list = files.map((file) => `'${file}'`).join(', ');
      query = async (sql) => {
        const source = `read_parquet([${list}])`;
        const result = await connection.runAndReadAll(sql.replaceAll('async_events', source));
        return result.getRowObjects();
      };
    });

    test('the first events by time', async () => {
      const rows = await query(
        `SELECT span_id, parent_span_id, event_type, epoch_ns(time) AS ns, thread_id, name, target
         FROM async_events ORDER BY time, thread_id LIMIT 10`,
      );
      const expected = events
        .toSorted((a, b) => Number(a.time - b.time) || (a.stream < b.stream ? -1 : 1))
        .slice(0, 10);
      assert.deepEqual(
        rows.map((row) => [row.ns, row.span_id, row.parent_span_id, row.event_type, row.name]),
        expected.map((one) => [one.time, one.spanId, one.parentSpanId, one.type, one.name]),
      );
      assert.deepEqual(
        rows.map((row) => row.thread_id),
        expected.map((one) => one.stream),
      );
    });

    test('begin events counted by thread', async () => {
      const rows = await query(
        `SELECT thread_id, count(*) AS event_count FROM async_events
         WHERE event_type = 'begin' GROUP BY thread_id ORDER BY thread_id`,
      );
      const expected = new Map<string, bigint>();
      for (const { stream, type } of events) {
        if (type === 'begin') expected.set(stream, (expected.get(stream) ?? 0n) + 1n);
      }
      assert.deepEqual(
        rows.map((row) => [row.thread_id, row.event_count]),
        [...expected].toSorted(([a], [b]) => (a < b ? -1 : 1)),
      );
    });

    test('children joined with their parents', async () => {
      const rows = await query(
        `SELECT parent.name AS parent_name, child.name AS child_name, parent.span_id AS parent_id,
                child.span_id AS child_id
         FROM async_events parent JOIN async_events child ON parent.span_id = child.parent_span_id
         WHERE parent.event_type = 'begin' AND child.event_type = 'begin' ORDER BY child.span_id`,
      );
      const begins = events.filter((one) => one.type === 'begin');
      const nameOf = new Map(begins.map((one) => [one.spanId, one.name]));
      const expected = begins
        .filter((one) => nameOf.has(one.parentSpanId))
        .toSorted((a, b) => Number(a.spanId - b.spanId))
        .map((one) => [nameOf.get(one.parentSpanId), one.name, one.parentSpanId, one.spanId]);
      assert.ok(expected.length > 0);
      assert.deepEqual(
        rows.map((row) => [row.parent_name, row.child_name, row.parent_id, row.child_id]),
        expected,
      );
    });

    test('durations of finished operations, longest first', async () => {
      const rows = await query(
        `SELECT b.name, b.span_id, epoch_ns(e.time) - epoch_ns(b.time) AS duration_ns
         FROM (SELECT * FROM async_events WHERE event_type = 'begin') b
         JOIN (SELECT * FROM async_events WHERE event_type = 'end') e ON b.span_id = e.span_id
         ORDER BY duration_ns DESC, b.span_id`,
      );
      const endOf = new Map(
        events.filter((one) => one.type === 'end').map((one) => [one.spanId, one.time]),
      );
      const expected = events.flatMap((one) => {
        const end = one.type === 'begin' ? endOf.get(one.spanId) : undefined;
        return end === undefined ? [] : [{ ...one, durationNs: end - one.time }];
      });
      expected.sort((a, b) => Number(b.durationNs - a.durationNs) || Number(a.spanId - b.spanId));
      assert.ok(expected.length > 0);
      assert.deepEqual(
        rows.map((row) => [row.name, row.span_id, row.duration_ns]),
        expected.map((one) => [one.name, one.spanId, one.durationNs]),
      );
    });
  });
});

function asyncEvents(fixture: NativeFixture): AsyncEvent[] {
  const { header, rows } = fixture.expected('async_events');
  return rows.map((cells) => {
    const cell = (column: string) => cells[header.indexOf(column)] ?? '';
    return {
      stream: cell('stream_id'),
      time: BigInt(cell('time')),
      type: cell('event_type'),
      spanId: BigInt(cell('span_id')),
      parentSpanId: BigInt(cell('parent_span_id')),
      name: cell('name'),
    };
  });
}

function earliest(events: readonly AsyncEvent[]): bigint {
  const [first] = events.toSorted((a, b) => Number(a.time - b.time));
  if (first === undefined) throw new Error('the recording has no async event');
  return first.time;
}

function materialize(stack: ProcessStack, view: string, instance: string): Promise<Response> {
  const url = `${stack.materializer.url}/v1/materialize/${view}/${encodeURIComponent(instance)}`;
  return fetch(url, { method: 'POST' });
}

async function partitionFiles(
  stack: ProcessStack,
  view: string,
  instance: string,
): Promise<string[]> {
  const response = await fetch(`${stack.materializer.url}/v1/partitions/${view}/${instance}`);
  const partitions = (await response.json()) as { object_key: string | null }[];
  return partitions.flatMap(({ object_key }) =>
    object_key === null ? [] : join(stack.objectsDir, object_key),
  );
}
