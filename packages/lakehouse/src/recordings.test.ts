import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  blocksOf,
  type CsvTable,
  decodeLimits,
  fixtureCases,
  loadRecordedProcess,
  type RecordedProcess,
  type RowObject,
  rowObjects,
} from '@tracelake/test-kit';
import { compareInsertOrder, compareStreamOrder } from './stream-order.ts';
import type { ViewSet } from './view.ts';
import { createViewRegistry } from './view-registry.ts';

const registry = createViewRegistry();

/** All rows of an instance, in the canonical order of a single run and its tail. */
function buildRows(view: ViewSet, recorded: RecordedProcess, streamId?: string): RowObject[] {
  const blocks = blocksOf(recorded, { tag: view.streamTag, ...(streamId && { streamId }) });
  blocks.sort(view.folds ? compareStreamOrder : compareInsertOrder);
  const builder = view.createRunBuilder(recorded.context, undefined);
  for (const block of blocks) {
    const stream = recorded.streams.get(block.streamId);
    const payload = recorded.payloads.get(block.blockId);
    assert(stream !== undefined && payload !== undefined);
    const { process, context } = recorded;
    const { calibration } = context;
    const parsed = view.parseBlock({
      process,
      stream,
      block,
      payload,
      calibration,
      limits: decodeLimits,
    });
    builder.add(block, structuredClone(parsed, { transfer: view.transferList(parsed) }));
  }
  const { rows, tail, minEventNs } = builder.finish();
  assert.equal(minEventNs === undefined, rows.rowCount === 0);
  return [...rowObjects(view, rows), ...(tail === undefined ? [] : rowObjects(view, tail))];
}

const TIMES = new Set(['time', 'begin', 'end']);
/** Not of the event: they follow from the rest or are of no use to compare. */
const TIME_DEPENDENT = new Set([...TIMES, 'duration']);

function compareToExpected(rows: RowObject[], expected: CsvTable, recorded: RecordedProcess): void {
  const known = recorded.process.tscFrequencyHz > 0n;
  const timeName = expected.header.find((name) => TIMES.has(name)) ?? '';
  const order = (a: RowObject, b: RowObject) => compareRows(a, b, timeName, known);
  const wanted = expected.rows.map((row) => parseRow(expected.header, row)).sort(order);
  const actual = rows.toSorted(order);
  assert.equal(actual.length, wanted.length);
  for (const [index, row] of actual.entries()) {
    const want = wanted[index] ?? {};
    for (const name of expected.header) {
      const at = `row ${index}, ${name}`;
      const value = name === 'properties' ? JSON.parse(String(row[name])) : row[name];
      if (known || !TIME_DEPENDENT.has(name)) assert.deepEqual(value, want[name], at);
      else if (TIMES.has(name))
        assertWithinOnePercent(value as bigint, want[name] as bigint, recorded);
    }
  }
}

/** Rows whose times are equal stand by the rest. */
function compareRows(a: RowObject, b: RowObject, timeName: string, known: boolean): number {
  const [x, y] = [a[timeName] as bigint, b[timeName] as bigint];
  if (x !== y) return x < y ? -1 : 1;
  if (!known) return 0;
  const [i, j] = [a, b].map((row) => String(row.id ?? `${row.block_id}${row.span_id}${row.name}`));
  return (i ?? '') < (j ?? '') ? -1 : 1;
}

function assertWithinOnePercent(
  actual: bigint,
  wanted: bigint,
  { process }: RecordedProcess,
): void {
  const sinceStart = Math.abs(Number(wanted - process.startNs));
  const error = Math.abs(Number(actual - wanted));
  assert(error <= sinceStart / 100, `${error} ns off after ${sinceStart} ns`);
}

const BIGINTS = new Set([
  'time',
  'begin',
  'end',
  'duration',
  'id',
  'parent',
  'span_id',
  'parent_span_id',
]);
const NUMBERS = new Set(['level', 'value', 'depth', 'hash', 'line']);

function parseRow(header: string[], row: string[]): RowObject {
  return Object.fromEntries(
    header.map((name, index) => {
      const text = row[index] ?? '';
      if (BIGINTS.has(name)) return [name, BigInt(text)];
      if (NUMBERS.has(name)) return [name, Number(text)];
      return [name, name === 'properties' ? JSON.parse(text) : text];
    }),
  );
}

for (const name of fixtureCases()) {
  for (const viewName of ['log_entries', 'measures', 'async_events']) {
    test(`${viewName} of the recording "${name}" is what the reference gives`, () => {
      const recorded = loadRecordedProcess(name);
      const rows = buildRows(registry.get(viewName), recorded);
      compareToExpected(rows, recorded.fixture.expected(viewName), recorded);
    });
  }

  test(`thread_spans of the recording "${name}" is what the reference gives`, () => {
    const recorded = loadRecordedProcess(name);
    for (const streamId of recorded.fixture.expectedThreadSpanStreams()) {
      const rows = buildRows(registry.get('thread_spans'), recorded, streamId);
      const expected = recorded.fixture.expected(`thread_spans.${streamId}`);
      compareToExpected(rows, expected, recorded);
      for (const row of rows) {
        assert.equal(row.duration, (row.end as bigint) - (row.begin as bigint));
        const isUnclosed = ['main_loop', 'frame'].some((part) => String(row.name).includes(part));
        if (row.open) assert(name === 'open' && isUnclosed, `row ${row.id} is open`);
      }
    }
  });
}

test('every row says whose event it is and when its block came', () => {
  const recorded = loadRecordedProcess('small');
  const { process, blocks } = recorded;
  for (const viewName of ['log_entries', 'measures']) {
    const rows = buildRows(registry.get(viewName), recorded);
    assert(rows.length > 0);
    for (const row of rows) {
      const block = blocks.find(({ blockId }) => blockId === row.block_id);
      assert.equal(row.insert_time, (block?.insertTimeUs ?? 0n) * 1000n);
      assert.equal(row.stream_id, block?.streamId);
      assert.equal(row.process_id, process.processId);
      assert.deepEqual(
        [row.exe, row.username, row.computer],
        [process.exe, process.username, process.computer],
      );
      assert.deepEqual(JSON.parse(String(row.process_properties)), process.properties);
    }
  }
});
