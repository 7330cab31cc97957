import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import {
  type BlockDecodeInput,
  type BlockEnvelope,
  decodeAsyncSpanBlock,
  decodeBlockEnvelope,
  decodeLogBlock,
  decodeLz4Frame,
  decodeMetricBlock,
  decodeProcessInfo,
  decodeStreamInfo,
  decodeThreadSpanBlock,
  type EnvelopeStyle,
} from '@tracelake/transit';
import type { IngestRequest } from './fixtures.ts';
import { encodeLz4Frame } from './lz4-frame-encoder.ts';
import { recordNestedSpans } from './nested-spans.ts';
import { RecordingBuilder } from './recording-builder.ts';
import { seededRandom } from './seeded-random.ts';

const limits = { decompressedBytesMax: 64 * 1024 * 1024 };
const START_TICKS = 1000;

function bodiesOf(requests: IngestRequest[], path: string): Uint8Array[] {
  return requests.filter((request) => request.path.endsWith(path)).map(({ body }) => body);
}

function decodeInputs(requests: IngestRequest[]): (BlockDecodeInput & { block: BlockEnvelope })[] {
  const streams = bodiesOf(requests, 'insert_stream').map(decodeStreamInfo);
  return bodiesOf(requests, 'insert_block').map((body) => {
    const block = decodeBlockEnvelope(body);
    const stream = streams.find(({ streamId }) => streamId === block.streamId);
    assert(stream !== undefined);
    const { dependenciesMetadata, objectsMetadata } = stream;
    const { payload, objectOffset } = block;
    return { dependenciesMetadata, objectsMetadata, payload, objectOffset, limits, block };
  });
}

const outer = { name: 'outer', target: 'app', file: 'main.rs', line: 10 };
const inner = { name: 'inner', target: 'app', file: 'main.rs', line: 20 };

for (const style of ['rust', 'unreal', 'legacy-arrays'] satisfies EnvelopeStyle[]) {
  test(`what is recorded in style ${style} is what a decoder reads`, () => {
    const recording = new RecordingBuilder({ style, startTicks: START_TICKS, frequencyHz: 1e9 });
    const thread = recording.addThread({ name: 'main', id: '7' });
    thread.begin(outer, 100);
    thread.beginNamed(inner, 'dynamic', 110);
    thread.asyncBegin({ scope: inner, spanId: 5, parentSpanId: 4, depth: 3, ticks: 115 });
    thread.futureEvent(116);
    thread.asyncEnd({ scope: inner, spanId: 5, name: 'task', ticks: 118 });
    thread.endNamed(inner, 'dynamic', 120);
    thread.end(outer, 130);
    const [input, ...others] = decodeInputs(recording.requests());
    assert(input !== undefined && others.length === 0);
    assert.equal(input.block.objectCount, 7);
    assert.deepEqual([input.block.beginTicks, input.block.endTicks], [100n, 130n]);

    const spans = decodeThreadSpanBlock(input);
    assert.deepEqual([...spans.eventIds], [0n, 1n, 5n, 6n]);
    assert.deepEqual([...spans.ticks], [1100n, 1110n, 1120n, 1130n]);
    assert.deepEqual([...spans.kind], [0, 0, 1, 1]);
    assert.deepEqual([...spans.scope], [0, 1, 1, 0]);
    assert.deepEqual(
      spans.scopes.map(({ name, target, filename, line }) => ({ name, target, filename, line })),
      [
        { name: 'outer', target: 'app', filename: 'main.rs', line: 10 },
        { name: 'dynamic', target: 'app', filename: 'main.rs', line: 20 },
      ],
    );
    assert.equal(spans.skippedEvents, 1);

    const async = decodeAsyncSpanBlock(input);
    assert.deepEqual([...async.eventIds], [2n, 4n]);
    assert.deepEqual([...async.kind], [0, 1]);
    assert.deepEqual([...async.spanIds], [5n, 5n]);
    assert.deepEqual([...async.parentSpanIds], [4n, 0n]);
    assert.deepEqual([...async.depth], [3, 0]);
    assert.deepEqual(
      async.scopes.map(({ name }) => name),
      ['inner', 'task'],
    );
  });
}

test('logs and metrics are read back with their properties', () => {
  const recording = new RecordingBuilder({ startTicks: START_TICKS });
  recording.log({ ticks: 1, level: 2, target: 'net', message: 'constant', isConstant: true });
  recording.log({ ticks: 2, target: 'net', message: 'näive 東京' });
  recording.log({ ticks: 3, message: 'tagged', properties: { zone: 'north', 10: 'ten', 9: '' } });
  recording.log({ ticks: 4, message: 'moved', properties: { target: 'there', level: 'fatal' } });
  recording.metric({ ticks: 5, name: 'frames', unit: 'count', value: (1n << 53n) + 1n });
  recording.metric({ ticks: 6, name: 'load', unit: 'ticks', value: 0.5 });
  recording.metric({ ticks: 7, name: 'wait', unit: 'ticks', value: 1500n });
  recording.metric({ ticks: 8, name: 'x', value: 2.5, properties: { name: 'y', unit: 'm' } });
  const [logInput, metricInput] = decodeInputs(recording.requests());
  assert(logInput !== undefined && metricInput !== undefined);

  const logs = decodeLogBlock(logInput);
  const textsOf = (codes: Uint32Array, strings: string[]) =>
    [...codes].map((code) => strings[code]);
  assert.deepEqual([...logs.level], [2, 4, 4, 1]);
  assert.deepEqual([...logs.ticks], [1001n, 1002n, 1003n, 1004n]);
  assert.deepEqual(textsOf(logs.target, logs.strings), ['net', 'net', '', 'there']);
  assert.deepEqual(textsOf(logs.msg, logs.strings), ['constant', 'näive 東京', 'tagged', 'moved']);
  assert.deepEqual(textsOf(logs.properties, logs.strings), [
    '{}',
    '{}',
    '{"10":"ten","9":"","zone":"north"}',
    '{"level":"fatal","target":"there"}',
  ]);

  const metrics = decodeMetricBlock({ ...metricInput, frequencyHz: 3000 });
  assert.deepEqual([...metrics.value], [2 ** 53, 0.5, 0.5, 2.5]);
  assert.deepEqual(textsOf(metrics.name, metrics.strings), ['frames', 'load', 'wait', 'y']);
  assert.deepEqual(textsOf(metrics.unit, metrics.strings), ['count', 'ticks', 'seconds', 'm']);
  assert.throws(() => decodeMetricBlock({ ...metricInput, frequencyHz: 0 }), {
    code: 'transit.bad-record',
  });
});

test('blocks follow each other, with gaps in ids and ticks where they are asked for', () => {
  const recording = new RecordingBuilder({ startNs: 5_000_000_000n, frequencyHz: 1e6 });
  const thread = recording.addThread();
  thread.begin(outer, 10);
  thread.flushBlock();
  thread.end(outer, 20);
  thread.flushBlock();
  thread.skipEvents(100);
  thread.begin(inner, 50);
  thread.flushBlock({ beginTicks: 40, endTicks: 60, objectCount: 9 });
  thread.flushBlock();
  const blocks = decodeInputs(recording.requests()).map(({ block }) => block);
  assert.deepEqual(
    blocks.map(({ beginTicks, endTicks, objectOffset, objectCount }) =>
      [beginTicks, endTicks, objectOffset, objectCount].map(Number),
    ),
    [
      [10, 10, 0, 1],
      [10, 20, 1, 1],
      [40, 60, 102, 9],
    ],
  );
  assert.equal(blocks[2]?.beginNs, 5_000_040_000n);
});

test('the same seed gives the same bytes, another seed other ids', () => {
  const build = (seed: number): IngestRequest[] => {
    const recording = new RecordingBuilder({ seed });
    recordNestedSpans(recording.addThread(), { spanCount: 100, blockBytesMax: 1000 });
    return recording.requests();
  };
  assert.deepEqual(build(3), build(3));
  const [process] = bodiesOf(build(3), 'insert_process');
  const [other] = bodiesOf(build(4), 'insert_process');
  assert(process !== undefined && other !== undefined);
  assert.notEqual(decodeProcessInfo(process).processId, decodeProcessInfo(other).processId);
});

test('nested spans are all there, whatever the size of a block', () => {
  const recording = new RecordingBuilder();
  const taken: IngestRequest[] = [];
  const thread = recording.addThread();
  const lastTicks = recordNestedSpans(thread, {
    spanCount: 1003,
    blockBytesMax: 2000,
    onFlush: () => taken.push(...recording.takeRequests()),
  });
  assert.equal(lastTicks, 200_500);
  const inputs = decodeInputs([...taken, ...recording.requests()]);
  assert(inputs.length > 10);
  let open = 0;
  let begun = 0;
  for (const input of inputs) {
    for (const kind of decodeThreadSpanBlock(input).kind) {
      open += kind === 0 ? 1 : -1;
      begun += kind === 0 ? 1 : 0;
      assert(open >= 0 && open <= 8);
    }
  }
  assert.deepEqual([begun, open], [1003, 0]);
});

test('a span name of a megabyte survives', () => {
  const recording = new RecordingBuilder();
  const name = 'é'.repeat(1 << 19);
  const thread = recording.addThread();
  thread.begin({ name }, 1);
  const [input] = decodeInputs(recording.requests());
  assert(input !== undefined);
  assert.equal(decodeThreadSpanBlock(input).scopes[0]?.name, name);
});

test('frames of every kind come back as they went in', () => {
  const random = seededRandom(11);
  console.log(`seed ${random.seed}`);
  for (let round = 0; round < 60; round += 1) {
    const bytes = new Uint8Array(random.int(round % 10 === 0 ? 300_000 : 300));
    const variety = 1 + random.int(256);
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = random.int(variety);
    const isOn = (): boolean => random.int(2) === 0;
    const frame = encodeLz4Frame(bytes, {
      compress: isOn(),
      blockChecksums: isOn(),
      contentChecksum: isOn(),
      hasLinkedBlocks: isOn(),
      searchesMax: 1 + random.int(8),
    });
    assert.deepEqual(decodeLz4Frame(frame, 1 << 20), bytes);
  }
});

test('the lz4 command line reads our frames, where it is installed', (context) => {
  const bytes = Buffer.from('compressible '.repeat(20_000));
  for (const frame of [{}, { hasLinkedBlocks: true, searchesMax: 16 }]) {
    let decoded: Buffer;
    try {
      decoded = execFileSync('lz4', ['-dc'], { input: encodeLz4Frame(bytes, frame) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return context.skip('lz4 is not installed');
    }
    assert.deepEqual(decoded, bytes);
  }
});
