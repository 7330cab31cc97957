/**
 * Processes shaped unlike the recordings: deep, wide, long, out of order and with odd names. What a trace must
 * hold is worked out from what was recorded, by code that shares nothing with the services.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type DecodedSlice,
  type DecodedTrace,
  decodeTrace,
  RecordingBuilder,
  seededRandom,
} from '@tracelake/test-kit';
import { exportTrace, replay } from './harness/client.ts';
import { LakeReader } from './harness/lake-rows.ts';
import { type ProcessStack, startProcessStack } from './harness/process-stack.ts';

const START_NS = 1_795_000_000_000_000_000n;
const WEEK_NS = 7 * 24 * 3600 * 1e9;

/** `begin|end|name` in nanoseconds since the process's start. */
type Expected = string;

describe('processes of unusual shapes', () => {
  let stack: ProcessStack;
  let lake: LakeReader;

  before(async () => {
    stack = await startProcessStack();
    lake = await LakeReader.open(stack);
  });

  after(async () => {
    await lake?.[Symbol.asyncDispose]();
    await stack?.[Symbol.asyncDispose]();
  });

  const traceOf = async (recording: RecordingBuilder): Promise<DecodedTrace> => {
    await replay(stack.ingest.url, recording.requests());
    return decodeExport(stack, recording);
  };

  test('recursion 5,000 deep, over block borders, closes level by level', async () => {
    const recording = new RecordingBuilder({ seed: 101 });
    const thread = recording.addThread({ name: 'main', id: '1' });
    const depth = 5000;
    const scope = { name: 'fib', target: 'app', file: 'main.rs', line: 3 };
    for (let level = 0; level < depth; level++) {
      thread.begin(scope, level);
      if (level % 700 === 0) thread.flushBlock();
    }
    for (let level = depth - 1; level >= 0; level--) {
      thread.end(scope, 3 * depth - level);
      if (level % 900 === 0) thread.flushBlock();
    }
    const { slices } = await traceOf(recording);
    const expected = Array.from(
      { length: depth },
      (_, level) => `${level}|${3 * depth - level}|fib`,
    );
    assert.deepEqual(textsOf(slices), expected.sort());
    for (const { depth: level, beginNs } of slices) assert.equal(BigInt(level), beginNs - START_NS);
  });

  test('threads without names, with one name or with ids that look alike each have a track', async () => {
    const recording = new RecordingBuilder({ seed: 102 });
    const threads = [
      ...[{}, {}, { name: 'worker' }, { name: 'worker' }],
      ...[
        { name: 'pool', id: '5' },
        { name: 'pool', id: '5' },
      ],
      ...[{ id: '140321976071808' }, { id: String(140_321_976_071_808 + 2 ** 32) }],
      ...[
        { id: '-1' },
        { id: 'not a number' },
        { id: '0' },
        { id: '2147483647' },
        { name: '', id: '' },
      ],
    ].map((options) => recording.addThread(options));
    for (const [index, thread] of threads.entries()) {
      const scope = { name: `span of ${index}` };
      thread.begin(scope, 10);
      thread.end(scope, 20);
    }
    const { slices, tracks } = await traceOf(recording);
    assert.deepEqual(textsOf(slices), threads.map((_, index) => `10|20|span of ${index}`).sort());
    const ofThreads = tracks.filter(({ kind }) => kind === 'thread');
    assert.equal(ofThreads.length, threads.length);
    const tids = ofThreads.map(({ tid }) => tid ?? 0);
    assert.equal(new Set(tids).size, threads.length);
    for (const { tid = 0, pid = 0, name } of ofThreads) {
      assert.ok(tid > 0 && tid < 2 ** 31 && tid !== pid, `tid ${tid} of ${name}`);
      assert.notEqual(name, '');
    }
  });

  test('10,000 concurrent async operations, ended in another order, nest truly', async () => {
    const recording = new RecordingBuilder({ seed: 103 });
    const random = seededRandom(103);
    const [one, other] = [recording.addThread({ name: 'a' }), recording.addThread({ name: 'b' })];
    const count = 10_000;
    const scope = { name: 'request', target: 'net' };
    for (let index = 0; index < count; index++) {
      one.asyncBegin({ scope, spanId: index + 1, ticks: index });
    }
    const order = random.shuffle(Array.from({ length: count }, (_, index) => index));
    const expected: Expected[] = [];
    for (const [position, index] of order.entries()) {
      const end = 2 * count + position;
      (random.int(2) === 0 ? one : other).asyncEnd({ scope, spanId: index + 1, ticks: end });
      expected.push(`${index}|${end}|request`);
    }
    const { slices } = await traceOf(recording);
    assert.deepEqual(textsOf(slices), expected.sort());
    assert.ok(slices.every((slice) => slice.track.kind === 'named' && !slice.open));
  });

  test('an async span may end weeks later, in a stream that sorts and arrives first', async () => {
    const recording = new RecordingBuilder({ seed: 104 });
    const begins = recording.addThread({ streamId: 'ffffffff-0000-4000-8000-000000000001' });
    const ends = recording.addThread({ streamId: '00000000-0000-4000-8000-000000000001' });
    const scope = { name: 'lease' };
    begins.asyncBegin({ scope, spanId: 1, ticks: 1000 });
    begins.asyncBegin({ scope, spanId: 2, parentSpanId: 1, depth: 1, ticks: 2000 });
    ends.asyncEnd({ scope, spanId: 2, ticks: 3 * WEEK_NS });
    ends.asyncEnd({ scope, spanId: 1, ticks: 4 * WEEK_NS });
    await replay(stack.ingest.url, recording.requests().reverse());
    const { slices } = await decodeExport(stack, recording);
    assert.deepEqual(
      textsOf(slices),
      [`1000|${4 * WEEK_NS}|lease`, `2000|${3 * WEEK_NS}|lease`].sort(),
    );
  });

  test('names may be empty, huge, or made of any characters', async () => {
    const recording = new RecordingBuilder({ seed: 105 });
    const thread = recording.addThread({ name: 'main\n"quoted"' });
    const names = [
      '',
      ' ',
      'a\0b',
      '"; DROP TABLE spans; --',
      '東京 🗼',
      'x'.repeat(100_000),
      '\ufeff',
    ];
    const expected = names.map((name, index) => {
      const scope = { name, target: name, file: name, line: index };
      thread.begin(scope, index * 10);
      thread.end(scope, index * 10 + 5);
      return `${index * 10}|${index * 10 + 5}|${name}`;
    });
    const { slices } = await traceOf(recording);
    assert.deepEqual(textsOf(slices), expected.sort());
    for (const { name, category, file } of slices) assert.deepEqual([category, file], [name, name]);
  });

  test('blocks that wait for their process and streams appear once those are there', async () => {
    const recording = new RecordingBuilder({ seed: 106 });
    const thread = recording.addThread({ name: 'main', id: '1' });
    const scope = { name: 'early' };
    thread.begin(scope, 10);
    thread.end(scope, 20);
    recording.log({ ticks: 30, message: 'early too' });
    const [process, ...others] = recording.requests();
    const blocks = others.filter(({ path }) => path.endsWith('block'));
    const streams = others.filter(({ path }) => path.endsWith('stream'));
    await replay(stack.ingest.url, blocks);
    const unknown = `${stack.traceExport.url}/v1/processes/${recording.processId}/trace`;
    assert.equal((await fetch(unknown)).status, 404);
    if (process === undefined) throw new Error('a recording begins with its process');
    await replay(stack.ingest.url, [process]);
    const pending = await exportTrace(stack.traceExport.url, recording.processId);
    assert.deepEqual(decodeTrace(pending.bytes).slices, []);
    await replay(stack.ingest.url, streams);
    assert.deepEqual(textsOf((await decodeExport(stack, recording)).slices), ['10|20|early']);
    const rows = await lake.rows('log_entries', recording.processId);
    assert.deepEqual(
      rows.map(({ msg }) => msg),
      ['early too'],
    );
  });

  test('a process that does not know its frequency shows it by one block', async () => {
    const frequencyHz = 24_000_000;
    const recording = new RecordingBuilder({ seed: 107, frequencyHz, isFrequencyUnknown: true });
    const thread = recording.addThread({ name: 'main', id: '1' });
    const scope = { name: 'tick' };
    for (let second = 0; second < 10; second++) {
      thread.begin(scope, second * frequencyHz);
      thread.end(scope, second * frequencyHz + frequencyHz / 2);
    }
    const { slices } = await traceOf(recording);
    assert.equal(slices.length, 10);
    for (const [index, text] of slices.map(timesOf).entries()) {
      assert.ok(Math.abs(text.begin - index * 1e9) <= index * 1e7);
      assert.ok(Math.abs(text.end - (index + 0.5) * 1e9) <= (index + 0.5) * 1e7);
    }
  });

  test('200,000 log lines of many blocks are all there, each with its time', async () => {
    const recording = new RecordingBuilder({ seed: 108 });
    const count = 200_000;
    for (let index = 0; index < count; index++) {
      recording.log({ ticks: index * 3, target: `target ${index % 5}`, message: `line ${index}` });
      if (index % 30_000 === 29_999) recording.logStream.flushBlock();
    }
    await replay(stack.ingest.url, recording.requests());
    const rows = await lake.rows('log_entries', recording.processId);
    const lines = rows.map(({ time, msg, target }) => `${time}|${msg}|${target}`).sort();
    const expected = Array.from(
      { length: count },
      (_, index) => `${START_NS + BigInt(index * 3)}|line ${index}|target ${index % 5}`,
    );
    assert.deepEqual(lines, expected.sort());
  });
});

async function decodeExport(
  stack: ProcessStack,
  recording: RecordingBuilder,
): Promise<DecodedTrace> {
  const { bytes, headers } = await exportTrace(stack.traceExport.url, recording.processId);
  assert.equal(headers.get('tracelake-blocks-rejected'), '0');
  const trace = decodeTrace(bytes);
  assert.deepEqual(trace.problems, []);
  return trace;
}

function textsOf(slices: readonly DecodedSlice[]): Expected[] {
  return slices
    .map(({ beginNs, endNs, name }) => `${beginNs - START_NS}|${endNs - START_NS}|${name}`)
    .sort();
}

function timesOf({ beginNs, endNs }: DecodedSlice) {
  return { begin: Number(beginNs - START_NS), end: Number(endNs - START_NS) };
}
