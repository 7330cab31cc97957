import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  forEachSeed,
  RecordingBuilder,
  type SeededRandom,
  seededRandom,
} from '@tracelake/test-kit';
import { assertRefuses, inputOf, rawBlockOf } from '../test/block-inputs.ts';
import { decodeLogBlock } from './decode-log-block.ts';
import { utf8TextOf } from './utf8-rows.ts';

const ANSI = 0;
const WIDE = 1;
const UTF8 = 2;

function describedBlock() {
  const recording = new RecordingBuilder();
  recording.log({ ticks: 1, target: 'app', message: 'x' });
  const block = rawBlockOf(recording.requests(), 'log');
  return { block, description: block.objects.subarray(5, 13) };
}

/** A record of type `LogStringEventV2`. */
function textRecord(description: Uint8Array, codec: number, text: Uint8Array): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt8(1);
  head.writeUInt32LE(16 + 5 + text.length, 1);
  const encoding = Buffer.alloc(5);
  encoding.writeUInt8(codec);
  encoding.writeUInt32LE(text.length, 1);
  return Buffer.concat([head, description, Buffer.alloc(8), encoding, text]);
}

function randomText(random: SeededRandom): { codec: number; bytes: Buffer; expected: string } {
  const alphabet = random.pick(['abcdefgh ', 'aé', 'a水', 'a😀', '\u0000\ufeffa']);
  const text = Array.from({ length: random.int(40) }, () => random.pick([...alphabet])).join('');
  switch (random.int(4)) {
    case 0: {
      const bytes = Buffer.from(Array.from({ length: random.int(20) }, () => random.int(256)));
      return { codec: random.pick([ANSI, UTF8]), bytes, expected: bytes.toString() };
    }
    case 1: {
      // Cut inside a pair now and then.
      const bytes = Buffer.from(text.slice(random.int(2)), 'utf16le');
      return { codec: WIDE, bytes, expected: bytes.toString('utf16le').toWellFormed() };
    }
    default:
      return { codec: random.pick([ANSI, UTF8]), bytes: Buffer.from(text), expected: text };
  }
}

test('messages in every encoding come out as UTF-8, and as strings when asked for', async (t) => {
  const { block, description } = describedBlock();
  await forEachSeed(t, { first: 1, count: 200 }, (seed) => {
    const random = seededRandom(seed);
    const texts = Array.from({ length: random.int(30) }, () => randomText(random));
    const objects = Buffer.concat(
      texts.map(({ codec, bytes }) => textRecord(description, codec, bytes)),
    );
    const columns = decodeLogBlock(inputOf({ ...block, objects }));
    const { msgUtf8, strings } = columns;
    const expected = texts.map((text) => text.expected);
    assert.deepEqual(
      texts.map((_, row) => utf8TextOf(msgUtf8, row)),
      expected,
    );
    assert.deepEqual(
      Array.from(columns.msg, (code) => strings[code]),
      expected,
    );
    assert.equal(new Set(strings).size, strings.length);
  });
});

test('a message that many events share as a constant is there once', () => {
  const recording = new RecordingBuilder();
  for (let index = 0; index < 100; index += 1)
    recording.log({ ticks: index, message: `constant ${index % 2} é`, isConstant: true });
  const columns = decodeLogBlock(inputOf(rawBlockOf(recording.requests(), 'log')));
  assert.equal(columns.msgUtf8.bytes.length, 2 * Buffer.byteLength('constant 0 é'));
  assert.equal(utf8TextOf(columns.msgUtf8, 98), 'constant 0 é');
  assert.equal(utf8TextOf(columns.msgUtf8, 99), 'constant 1 é');
});

test('texts that grow when what is not valid is replaced find room', () => {
  const { block, description } = describedBlock();
  const bytes = Buffer.alloc(5000, 0xff);
  const objects = Buffer.concat(
    Array.from({ length: 20 }, () => textRecord(description, UTF8, bytes)),
  );
  const { msgUtf8 } = decodeLogBlock(inputOf({ ...block, objects }));
  for (let row = 0; row < 20; row += 1)
    assert.equal(utf8TextOf(msgUtf8, row), '\ufffd'.repeat(5000));
});

test('a message without an encoding must be UTF-8', () => {
  const { block, description } = describedBlock();
  const objectsMetadata = block.objectsMetadata.map((type) =>
    type.name === 'LogStringEventV2' ? { ...type, name: 'LogStringEvent' } : type,
  );
  const decode = (text: Uint8Array) => {
    const head = Buffer.alloc(5);
    head.writeUInt8(1);
    head.writeUInt32LE(16 + text.length, 1);
    const objects = Buffer.concat([head, description, Buffer.alloc(8), text]);
    return decodeLogBlock(inputOf({ ...block, objectsMetadata, objects }));
  };
  assert.equal(utf8TextOf(decode(Buffer.from('grün')).msgUtf8, 0), 'grün');
  assertRefuses(() => decode(Buffer.from('grün', 'latin1')), 'transit.bad-record');
});
