import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  decodeAsyncSpanBlock,
  decodeBlockEnvelope,
  decodeLogBlock,
  decodeMetricBlock,
  decodeProcessInfo,
  decodeStreamInfo,
  decodeThreadSpanBlock,
} from '@tracelake/transit';
import { GENERATED_BLOCK_EVENT_BYTES, generateProcess } from './generated-process.ts';
import { recordedProcessOf } from './recorded-process.ts';

const limits = { decompressedBytesMax: 64 * 1024 * 1024 };
const everyKind = {
  threadSpans: 3000,
  asyncSpans: 2000,
  logEntries: 1500,
  measures: 1000,
  blockEventBytes: 16 * 1024,
};

test('every event asked for is in the blocks of a generated process, and its times do not go back', () => {
  const { blocks, streams, payloads, context } = recordedProcessOf([...generateProcess(everyKind)]);
  const counts = { begin: 0, end: 0, asyncBegin: 0, asyncEnd: 0, log: 0, metric: 0 };
  const lastTicks = new Map<string, bigint>();
  for (const { blockId, streamId, objectOffset } of blocks) {
    const stream = streams.get(streamId);
    const payload = payloads.get(blockId);
    assert(stream !== undefined && payload !== undefined);
    const input = { ...stream, payload, objectOffset, limits };
    const decode = stream.tags.includes('log')
      ? decodeLogBlock(input)
      : stream.tags.includes('metrics')
        ? decodeMetricBlock({ ...input, frequencyHz: 1e9 })
        : undefined;
    const [spans, tasks] =
      decode === undefined ? [decodeThreadSpanBlock(input), decodeAsyncSpanBlock(input)] : [];
    if (stream.tags.includes('log')) counts.log += decode?.count ?? 0;
    if (stream.tags.includes('metrics')) counts.metric += decode?.count ?? 0;
    for (const kind of spans?.kind ?? []) counts[kind === 0 ? 'begin' : 'end'] += 1;
    for (const kind of tasks?.kind ?? []) counts[kind === 0 ? 'asyncBegin' : 'asyncEnd'] += 1;
    const ticks = (decode ?? (spans?.count ? spans : tasks))?.ticks ?? new BigInt64Array();
    for (const at of ticks) {
      assert(at >= (lastTicks.get(streamId) ?? 0n));
      lastTicks.set(streamId, at);
    }
  }
  assert.deepEqual(counts, {
    ...{ begin: 3000, end: 3000, asyncBegin: 2000, asyncEnd: 2000 },
    ...{ log: 1500, metric: 1000 },
  });
  assert.equal(streams.size, 5);
  assert(context.calibration !== undefined);
});

test('thread spans nest as outer, two inner and two leaves in each', () => {
  const { blocks, streams, payloads } = recordedProcessOf([
    ...generateProcess({ threadSpans: 14 }),
  ]);
  const [block, ...others] = blocks;
  assert(block !== undefined && others.length === 0);
  const stream = streams.get(block.streamId);
  const payload = payloads.get(block.blockId);
  assert(stream !== undefined && payload !== undefined);
  const { kind, scope, scopes } = decodeThreadSpanBlock({
    ...stream,
    payload,
    objectOffset: 0n,
    limits,
  });
  const iteration =
    'outer( inner( leaf( leaf) leaf( leaf) inner) inner( leaf( leaf) leaf( leaf) inner) outer)';
  const told = [...kind].map(
    (one, row) => `${scopes[scope[row] ?? 0]?.name}${one === 0 ? '(' : ')'}`,
  );
  assert.equal(told.join(' '), `${iteration} ${iteration}`);
});

test('the same options give the same bytes, another seed gives others', () => {
  const hash = (seed: number): string => {
    const digest = createHash('sha256');
    for (const { path, body } of generateProcess({ ...everyKind, seed })) {
      digest.update(path).update(body);
    }
    return digest.digest('hex');
  };
  assert.equal(hash(3), hash(3));
  assert.notEqual(hash(3), hash(4));
});

test('a generated process comes with its process first, and blocks of the size asked for', () => {
  const generated = generateProcess({ threadSpans: 20_000, blockEventBytes: 100_000 });
  const [first, second, ...rest] = [...generated];
  assert(first !== undefined && second !== undefined);
  assert.equal(decodeProcessInfo(first.body).processId, generated.processId);
  assert.deepEqual(decodeStreamInfo(second.body).tags, ['cpu']);
  const counts = rest.map(({ body }) => decodeBlockEnvelope(body, limits).objectCount);
  assert.equal(counts.length, Math.ceil((20_000 * 34) / 100_000));
  assert.equal(
    counts.reduce((sum, count) => sum + count),
    40_000,
  );
  for (const count of counts.slice(0, -1)) assert(Math.abs(count * 17 - 100_000) < 14 * 17);
  assert.equal(Math.ceil((2_100_000 * 34) / GENERATED_BLOCK_EVENT_BYTES), 9);
});
