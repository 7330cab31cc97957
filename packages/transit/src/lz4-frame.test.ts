import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeLz4Frame, loadFixture, RecordingBuilder, seededRandom } from '@tracelake/test-kit';
import { assertRefuses, hex, succeedsOrRefuses } from '../test/block-inputs.ts';
import { mutate } from '../test/mutation.ts';
import { decodeBlockEnvelope } from './block-envelope.ts';
import { encodeBlockEnvelope } from './encode-envelopes.ts';
import { checkDecompressedBound, decodeLz4Frame } from './lz4-frame.ts';

const LIMIT = 1 << 24;

function recordedFrame(name: string): Uint8Array {
  const request = loadFixture(name).requests.find(({ path }) => path.endsWith('insert_block'));
  assert(request !== undefined);
  return decodeBlockEnvelope(request.body).payload.objects;
}

/** Linked blocks with both checksums (Rust), and a bare frame of independent ones (Unreal). */
const frames = { rust: recordedFrame('small'), unreal: recordedFrame('unreal-cbor') };

for (const [client, frame] of Object.entries(frames)) {
  test(`a frame of the ${client} client cut anywhere is refused`, () => {
    for (let length = 0; length < frame.length; length += 1)
      assertRefuses(() => decodeLz4Frame(frame.subarray(0, length), LIMIT), 'transit.truncated');
  });

  test(`mutated frames of the ${client} client decode or are refused`, () => {
    const random = seededRandom(client.length);
    console.log(`seed ${random.seed}`);
    const pristine = Uint8Array.from(frame);
    for (let round = 0; round < 1000; round += 1)
      succeedsOrRefuses(() => decodeLz4Frame(mutate(frame, random), LIMIT));
    assert.deepEqual(frame, Buffer.from(pristine));
  });
}

test('any flipped bit of a frame with checksums is noticed', () => {
  const random = seededRandom(5);
  console.log(`seed ${random.seed}`);
  const text = Array.from({ length: 400 }, () => `word${random.int(50)} `).join('');
  const frame = encodeLz4Frame(Buffer.from(text));
  const expected = decodeLz4Frame(frame, LIMIT);
  for (let at = 0; at < frame.length; at += 1) {
    const damaged = Uint8Array.from(frame);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << random.int(8));
    assert(!succeedsOrRefuses(() => decodeLz4Frame(damaged, LIMIT)), `byte ${at}`);
    assert.deepEqual(decodeLz4Frame(frame, LIMIT), expected);
  }
});

test('each of the three checksums is verified', () => {
  const frame = encodeLz4Frame(Buffer.from('hello'), { compress: false });
  // Header 7, block size 4, block 5, block checksum 4, end mark 4, content checksum 4.
  assert.equal(frame.length, 28);
  for (const at of [6, 16, 24]) {
    const damaged = Uint8Array.from(frame);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    assertRefuses(() => decodeLz4Frame(damaged, LIMIT), 'transit.bad-lz4');
  }
});

test('what is no frame is refused', () => {
  assertRefuses(() => decodeLz4Frame(new Uint8Array(0), LIMIT), 'transit.truncated');
  assertRefuses(() => decodeLz4Frame(Buffer.from('not a frame at all'), LIMIT), 'transit.bad-lz4');
  // A skippable frame, a legacy frame, a wrong version, a dictionary, a reserved bit, a tiny block size.
  for (const text of [
    '502a4d18 00000000',
    '02214c18 00000000',
    '04224d18 a040ae 00000000',
    '04224d18 614000 00000000 00000000',
    '04224d18 624000 00000000',
    '04224d18 603000 00000000',
  ])
    assertRefuses(() => decodeLz4Frame(hex(text), LIMIT), 'transit.bad-lz4');
});

test('of frames in a row only the first counts', () => {
  const first = encodeLz4Frame(Buffer.from('first'));
  const second = encodeLz4Frame(Buffer.from('second'));
  const both = Buffer.concat([first, second]);
  assert.equal(Buffer.from(decodeLz4Frame(both, LIMIT)).toString(), 'first');
});

test('matches cannot reach before the window or past the end', () => {
  // One literal, then a match 2 bytes back; a match longer than the block may grow.
  const frameOf = (block: string) =>
    Buffer.concat([
      hex('04224d18 604082'),
      Buffer.from([block.length / 2, 0, 0, 0]),
      hex(block, '00000000'),
    ]);
  assert.equal(
    Buffer.from(decodeLz4Frame(frameOf('1061010050626262'.concat('6262')), LIMIT)).toString(),
    'aaaaabbbbb',
  );
  for (const block of [
    '1061020050626262'.concat('6262'),
    '10610000506262626262',
    '1f610100ffff',
    '5061',
  ])
    assertRefuses(() => decodeLz4Frame(frameOf(block), LIMIT), 'transit.bad-lz4');
});

test('a bomb is refused from its block headers', () => {
  const bomb = encodeLz4Frame(new Uint8Array(4 * LIMIT));
  const before = process.memoryUsage().arrayBuffers;
  assert.throws(() => decodeLz4Frame(bomb, LIMIT, 'payload.objects'), {
    code: 'transit.too-large',
    details: { field: 'payload.objects', limit: LIMIT },
  });
  assert(process.memoryUsage().arrayBuffers - before < LIMIT);
});

test('a bomb is refused when its envelope is decoded, if limits are given', () => {
  const recording = new RecordingBuilder();
  recording.log({ ticks: 1, message: 'hello' });
  const [body] = recording
    .requests()
    .filter(({ path }) => path.endsWith('insert_block'))
    .map((request) => request.body);
  assert(body !== undefined);
  const block = decodeBlockEnvelope(body, { decompressedBytesMax: 50_000 });
  const payload = { ...block.payload, objects: encodeLz4Frame(new Uint8Array(100_000)) };
  const bomb = encodeBlockEnvelope({ ...block, payload }, 'rust');
  decodeBlockEnvelope(bomb);
  assertRefuses(
    () => decodeBlockEnvelope(bomb, { decompressedBytesMax: 50_000 }),
    'transit.too-large',
  );
});

test('payloads of other formats have nothing to bound', () => {
  const payload = { dependencies: new Uint8Array(0), objects: Buffer.alloc(5000, 7) };
  checkDecompressedBound(payload, { decompressedBytesMax: 10 });
});

test('matches of every distance and length repeat what they point at', () => {
  // Literals, one match, then the five last literals that a block ends in.
  for (const distance of [1, 2, 3, 7, 8, 9, 15, 16, 17, 255, 300]) {
    for (const length of [4, 5, 11, 18, 19, 40, 255, 256, 257, 300, 1000]) {
      const literals = Array.from({ length: distance + 3 }, (_, index) => (index * 7) & 0xff);
      const expected = [...literals];
      for (let count = 0; count < length; count += 1)
        expected.push(expected[expected.length - distance] ?? 0);
      expected.push(1, 2, 3, 4, 5);
      const block = [
        (Math.min(literals.length, 15) << 4) | Math.min(length - 4, 15),
        ...longLength(literals.length),
        ...literals,
        ...[distance & 0xff, distance >> 8],
        ...longLength(length - 4),
        ...[0x50, 1, 2, 3, 4, 5],
      ];
      const size = [block.length & 0xff, block.length >> 8, 0, 0];
      const frame = Uint8Array.from([...hex('04224d18 604082'), ...size, ...block, 0, 0, 0, 0]);
      assert.deepEqual([...decodeLz4Frame(frame, LIMIT)], expected, `${distance}, ${length}`);
    }
  }
});

function longLength(value: number): number[] {
  if (value < 15) return [];
  const rest = value - 15;
  return [...Array.from({ length: Math.floor(rest / 255) }, () => 255), rest % 255];
}
