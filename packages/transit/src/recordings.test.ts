import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BlockInfo,
  type ProcessInfo,
  type StreamInfo,
  type TickCalibration,
  ticksToNs,
} from '@tracelake/domain';
import { type CsvTable, fixtureCases, loadFixture } from '@tracelake/test-kit';
import type { BlockDecodeInput } from './block-decoding.ts';
import { type BlockEnvelope, decodeBlockEnvelope } from './block-envelope.ts';
import { decodeLogBlock } from './decode-log-block.ts';
import { decodeMetricBlock } from './decode-metric-block.ts';
import { decodeAsyncSpanBlock, decodeThreadSpanBlock } from './decode-span-blocks.ts';
import { decodeProcessInfo } from './process-envelope.ts';
import { decodeStreamInfo } from './stream-envelope.ts';

const limits = { decompressedBytesMax: 64 * 1024 * 1024 };

interface Recording {
  readonly process: ProcessInfo;
  readonly streams: StreamInfo[];
  readonly blocks: BlockEnvelope[];
  readonly expected: (view: string) => CsvTable;
}

function decodeRecording(name: string): Recording {
  const fixture = loadFixture(name);
  const bodiesOf = (path: string): Uint8Array[] =>
    fixture.requests.filter((request) => request.path.endsWith(path)).map(({ body }) => body);
  const [process] = bodiesOf('insert_process').map(decodeProcessInfo);
  assert(process !== undefined);
  assert.equal(process.processId, fixture.processId);
  return {
    process,
    streams: bodiesOf('insert_stream').map(decodeStreamInfo),
    blocks: bodiesOf('insert_block').map((body) => decodeBlockEnvelope(body, limits)),
    expected: fixture.expected,
  };
}

/** The reference's estimate, from one block for logs and metrics, from the last block for spans. */
function calibrationOf({ process }: Recording, evidence: BlockInfo): TickCalibration {
  const { startTicks, startNs, tscFrequencyHz } = process;
  const seconds = Number(evidence.endNs - startNs) / 1e9;
  const estimateHz = Math.round(Number(evidence.endTicks) / seconds);
  const frequencyHz = tscFrequencyHz > 0n ? Number(tscFrequencyHz) : estimateHz;
  return { startTicks, startNs, frequencyHz };
}

interface TaggedBlock {
  readonly block: BlockEnvelope;
  readonly stream: StreamInfo;
  readonly input: BlockDecodeInput;
}

function blocksOf(recording: Recording, tag: string): TaggedBlock[] {
  const tagged: TaggedBlock[] = [];
  for (const block of recording.blocks) {
    const stream = recording.streams.find(({ streamId }) => streamId === block.streamId);
    assert(stream !== undefined);
    if (!stream.tags.includes(tag)) continue;
    const { dependenciesMetadata, objectsMetadata } = stream;
    const { payload, objectOffset } = block;
    const input = { dependenciesMetadata, objectsMetadata, payload, objectOffset, limits };
    tagged.push({ block, stream, input });
  }
  return tagged;
}

function lastBlockOf(recording: Recording): BlockEnvelope {
  const sorted = recording.blocks.toSorted((a, b) => Number(a.endTicks - b.endTicks));
  const last = sorted.at(-1);
  assert(last !== undefined);
  return last;
}

/** Columns that hold JSON and floats differ in spelling, not in value. */
function normalise(table: CsvTable): Record<string, unknown>[] {
  return table.rows.map((row) =>
    Object.fromEntries(
      table.header.map((name, index) => {
        const text = row[index] ?? '';
        if (name === 'properties') return [name, JSON.parse(text)];
        return [name, name === 'value' ? Number(text) : text];
      }),
    ),
  );
}

function compareRows(
  actual: Record<string, unknown>[],
  expected: Record<string, unknown>[],
  process: ProcessInfo,
): void {
  assert.equal(actual.length, expected.length);
  if (process.tscFrequencyHz > 0n) {
    const sortKey = (row: Record<string, unknown>): string => JSON.stringify(row);
    const sort = (rows: Record<string, unknown>[]) =>
      rows.toSorted((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
    assert.deepEqual(sort(actual), sort(expected));
    return;
  }
  const byTime = (rows: Record<string, unknown>[]) =>
    rows.toSorted((a, b) => Number(BigInt(a.time as string) - BigInt(b.time as string)));
  const expectedRows = byTime(expected);
  for (const [index, row] of byTime(actual).entries()) {
    const { time: expectedTime, ...expectedRest } = expectedRows[index] ?? {};
    const { time, ...rest } = row;
    assert.deepEqual(rest, expectedRest);
    const sinceStart = Number(BigInt(expectedTime as string) - process.startNs);
    const error = Number(BigInt(time as string) - BigInt(expectedTime as string));
    assert(Math.abs(error) <= Math.abs(sinceStart) / 100, `${error} ns off at ${sinceStart}`);
  }
}

for (const name of fixtureCases()) {
  test(`log entries of the recording "${name}" are those of the reference`, () => {
    const recording = decodeRecording(name);
    const rows = blocksOf(recording, 'log').flatMap(({ block, input }) => {
      const columns = decodeLogBlock(input);
      assert.equal(columns.count + columns.skippedEvents, block.objectCount);
      const calibration = calibrationOf(recording, block);
      return Array.from({ length: columns.count }, (_, row) => {
        assert.equal(columns.eventIds[row], block.objectOffset + BigInt(row));
        return {
          time: String(ticksToNs(calibration, columns.ticks[row] ?? 0n)),
          level: String(columns.level[row]),
          target: columns.strings[columns.target[row] ?? -1],
          msg: columns.strings[columns.msg[row] ?? -1],
          properties: JSON.parse(columns.strings[columns.properties[row] ?? -1] ?? ''),
          stream_id: block.streamId,
          block_id: block.blockId,
        };
      });
    });
    compareRows(rows, normalise(recording.expected('log_entries')), recording.process);
  });

  test(`measures of the recording "${name}" are those of the reference`, () => {
    const recording = decodeRecording(name);
    const rows = blocksOf(recording, 'metrics').flatMap(({ block, input }) => {
      const calibration = calibrationOf(recording, block);
      const columns = decodeMetricBlock({ ...input, frequencyHz: calibration.frequencyHz });
      assert.equal(columns.count + columns.skippedEvents, block.objectCount);
      return Array.from({ length: columns.count }, (_, row) => ({
        time: String(ticksToNs(calibration, columns.ticks[row] ?? 0n)),
        target: columns.strings[columns.target[row] ?? -1],
        name: columns.strings[columns.name[row] ?? -1],
        unit: columns.strings[columns.unit[row] ?? -1],
        value: columns.value[row],
        properties: JSON.parse(columns.strings[columns.properties[row] ?? -1] ?? ''),
        stream_id: block.streamId,
        block_id: block.blockId,
      }));
    });
    compareRows(rows, normalise(recording.expected('measures')), recording.process);
  });

  test(`async events of the recording "${name}" are those of the reference`, () => {
    const recording = decodeRecording(name);
    const calibration = calibrationOf(recording, lastBlockOf(recording));
    const rows = blocksOf(recording, 'cpu').flatMap(({ block, input }) => {
      const columns = decodeAsyncSpanBlock(input);
      assert.equal(columns.skippedEvents, 0);
      return Array.from({ length: columns.count }, (_, row) => {
        const scope = columns.scopes[columns.scope[row] ?? -1];
        return {
          stream_id: block.streamId,
          block_id: block.blockId,
          time: String(ticksToNs(calibration, columns.ticks[row] ?? 0n)),
          event_type: columns.kind[row] === 0 ? 'begin' : 'end',
          span_id: String(columns.spanIds[row]),
          parent_span_id: String(columns.parentSpanIds[row]),
          depth: String(columns.depth[row]),
          hash: String(scope?.hash),
          name: scope?.name,
          filename: scope?.filename,
          target: scope?.target,
          line: String(scope?.line),
        };
      });
    });
    compareRows(rows, normalise(recording.expected('async_events')), recording.process);
  });

  test(`thread spans of the recording "${name}" begin as in the reference`, () => {
    const recording = decodeRecording(name);
    const calibration = calibrationOf(recording, lastBlockOf(recording));
    const actual = new Map<string, Record<string, unknown>[]>();
    for (const { block, input } of blocksOf(recording, 'cpu')) {
      const columns = decodeThreadSpanBlock(input);
      assert.equal(columns.skippedEvents, 0);
      assert(columns.count + decodeAsyncSpanBlock(input).count === block.objectCount);
      const rows = actual.get(block.streamId) ?? [];
      actual.set(block.streamId, rows);
      for (let row = 0; row < columns.count; row += 1) {
        if (columns.kind[row] !== 0) continue;
        const scope = columns.scopes[columns.scope[row] ?? -1];
        rows.push({
          id: String(columns.eventIds[row]),
          hash: String(scope?.hash),
          time: String(ticksToNs(calibration, columns.ticks[row] ?? 0n)),
          name: scope?.name,
          target: scope?.target,
          filename: scope?.filename,
          line: String(scope?.line),
        });
      }
    }
    for (const [streamId, rows] of actual) {
      const expected = normalise(recording.expected(`thread_spans.${streamId}`))
        .filter(({ id }) => id !== '-1')
        .map(({ id, hash, begin, name, target, filename, line }) => ({
          ...{ id, hash, time: begin, name, target, filename, line },
        }));
      compareRows(rows, expected, recording.process);
    }
  });
}
