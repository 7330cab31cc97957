import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordingBuilder } from '@tracelake/test-kit';
import {
  decodeBlockEnvelope,
  decodeStreamInfo,
  decodeThreadSpanBlock,
  TransitDecodeError,
} from '@tracelake/transit';
import { decodeInputOf } from './block-decode-input.ts';
import type { ParseInput } from './view.ts';

/** A block of many spans that says how many events it has. */
function inputSaying(objectCount: number, eventCount: number) {
  const recording = new RecordingBuilder();
  const scope = { name: 'span' };
  const thread = recording.addThread();
  for (let index = 0; index < eventCount; index++) thread.begin(scope, index);
  thread.flushBlock({ objectCount });
  const [, stream, block] = recording.requests().map(({ body }) => body);
  if (stream === undefined || block === undefined) throw new Error('a stream and a block are sent');
  const { payload, ...info } = decodeBlockEnvelope(block);
  const limits = { decompressedBytesMax: 1 << 24 };
  const input = { stream: decodeStreamInfo(stream), block: info, payload, limits };
  return decodeInputOf(input as unknown as ParseInput);
}

test('a block may hold other events than it says, but not a multitude', () => {
  for (const said of [0, 1, 1024, 2 ** 31 - 1]) {
    assert.equal(decodeThreadSpanBlock(inputSaying(said, 1024)).count, 1024);
  }
  assert.equal(decodeThreadSpanBlock(inputSaying(4000, 9000)).count, 9000);
  assert.throws(
    () => decodeThreadSpanBlock(inputSaying(1, 5000)),
    (error) => error instanceof TransitDecodeError && error.code === 'transit.too-large',
  );
});
