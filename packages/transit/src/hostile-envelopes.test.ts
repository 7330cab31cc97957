import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixtureCases, loadFixture, RecordingBuilder, seededRandom } from '@tracelake/test-kit';
import { assertRefuses, succeedsOrRefuses } from '../test/block-inputs.ts';
import { mutate } from '../test/mutation.ts';
import { decodeBlockEnvelope } from './block-envelope.ts';
import { encodeProcessInfo, encodeStreamInfo } from './encode-envelopes.ts';
import { decodeProcessInfo } from './process-envelope.ts';
import { decodeStreamInfo } from './stream-envelope.ts';
import { TransitDecodeError } from './transit-decode-error.ts';
import { decodeUserDefinedTypes, encodeUserDefinedTypes } from './type-metadata.ts';

const decoders = new Map<string, (body: Uint8Array) => unknown>([
  ['/ingestion/insert_process', decodeProcessInfo],
  ['/ingestion/insert_stream', decodeStreamInfo],
  ['/ingestion/insert_block', decodeBlockEnvelope],
]);

function decoderOf(path: string): (body: Uint8Array) => unknown {
  const decode = decoders.get(path);
  assert(decode !== undefined);
  return decode;
}

for (const name of ['small', 'unreal-cbor', 'legacy-arrays']) {
  test(`an envelope of "${name}" cut anywhere is refused as truncated`, () => {
    for (const { path, body } of loadFixture(name).requests) {
      const decode = decoderOf(path);
      decode(body);
      // Every byte of what surrounds a payload, and some of a long payload.
      const step = (at: number): number => (at < 2000 || at > body.length - 300 ? 1 : 97);
      for (let length = 0; length < body.length; length += step(length))
        assertRefuses(() => decode(body.subarray(0, length)), 'transit.truncated');
    }
  });
}

test('mutated envelopes decode or are refused, and nothing else happens', () => {
  const random = seededRandom(20_261_121);
  console.log(`seed ${random.seed}`);
  const requests = fixtureCases().flatMap((name) => loadFixture(name).requests);
  let refused = 0;
  for (let round = 0; round < 1500; round += 1) {
    const { path, body } = random.pick(requests);
    const mutated = mutate(body.subarray(0, 20_000), random);
    if (!succeedsOrRefuses(() => decoderOf(path)(mutated))) refused += 1;
  }
  assert(refused > 100, `${refused} refused`);
});

test('what follows an envelope is ignored', () => {
  const [request] = loadFixture('small').requests;
  assert(request !== undefined);
  const longer = Buffer.concat([request.body, Buffer.from('trailing')]);
  assert.deepEqual(decodeProcessInfo(longer), decodeProcessInfo(request.body));
});

test('a field of the wrong kind is named', () => {
  const { process } = new RecordingBuilder();
  const broken: [string, object][] = [
    ['process_id', { processId: '../../etc/passwd' }],
    ['process_id', { processId: '6a08e488-07e0-4ce6-80ec-c38b5dee852' }],
    ['tsc_frequency', { tscFrequencyHz: 1n << 63n }],
    ['exe', { exe: 'a\0b' }],
    ['parent_process_id', { parentProcessId: 'none' }],
    ['properties.k', { properties: { k: '\0' } }],
    [`properties.${'k'.repeat(64)}`, { properties: { ['k'.repeat(16_001)]: '' } }],
  ];
  for (const [field, change] of broken) {
    const body = encodeProcessInfo({ ...process, ...change }, 'rust');
    assert.throws(
      () => decodeProcessInfo(body),
      (error) => error instanceof TransitDecodeError && error.details.field === field,
      field,
    );
  }
});

test('times are strict', () => {
  const [, , block] = new RecordingBuilderWithBlock().requests();
  assert(block !== undefined);
  const body = Buffer.from(block.body).toString('latin1');
  const time = /begin_timex#([^k]+)k/.exec(body)?.[1];
  assert(time !== undefined);
  const valid = ['2026-11-21T03:11:05.835080933+00:00', '2026-11-21T03:11:05.835080933-23:59'];
  const invalid = [
    '2026-11-21 03:11:05.835080933 00:00',
    '2026-13-21T03:11:05.835080933+00:00',
    '2026-02-30T03:11:05.835080933+00:00',
    '2026-11-21T24:11:05.835080933+00:00',
    '1026-11-21T03:11:05.835080933+00:00',
    '9026-11-21T03:11:05.835080933+00:00',
  ];
  const decode = (text: string) =>
    decodeBlockEnvelope(Buffer.from(body.replace(time, text), 'latin1'));
  for (const text of valid) decode(text);
  for (const text of invalid) {
    assert.equal(text.length, time.length);
    assertRefuses(() => decode(text), 'transit.bad-field');
  }
});

class RecordingBuilderWithBlock extends RecordingBuilder {
  constructor() {
    super();
    this.log({ ticks: 1, message: 'hello' });
  }
}

test('types that contain themselves are refused when they arrive and when they are stored', () => {
  const member = (name: string, typeName: string) =>
    ({ name, typeName, offset: 0, size: 8, isReference: false }) as const;
  const type = (name: string, ...inner: string[]) => ({
    name,
    size: 8,
    isReference: false,
    members: inner.map((typeName, index) => member(`m${index}`, typeName)),
  });
  const towers = Array.from({ length: 40 }, (_, level) =>
    type(`T${level}`, `T${level + 1}`, `T${level + 1}`),
  );
  const cases = [
    [type('Self', 'Self')],
    [type('A', 'B'), type('B', 'C'), type('C', 'A')],
    towers.slice(0, 20),
    towers.map((tower) => ({ ...tower, members: tower.members.slice(0, 1) })),
  ];
  const stream = new RecordingBuilder().addThread().stream;
  for (const types of cases) {
    assertRefuses(
      () => decodeUserDefinedTypes(encodeUserDefinedTypes(types)),
      'transit.bad-metadata',
    );
    const body = encodeStreamInfo({ ...stream, objectsMetadata: types }, 'rust');
    assert.throws(() => decodeStreamInfo(body), {
      code: 'transit.bad-metadata',
      details: { field: 'objects_metadata' },
    });
  }
});

test('more types than a record could ever name are refused', () => {
  const types = Array.from({ length: 1025 }, (_, index) => ({
    name: `T${index}`,
    size: 8,
    isReference: false,
    members: [],
  }));
  decodeUserDefinedTypes(encodeUserDefinedTypes(types.slice(1)));
  assertRefuses(
    () => decodeUserDefinedTypes(encodeUserDefinedTypes(types)),
    'transit.bad-metadata',
  );
});

test('sizes and offsets beyond what a number holds are refused', () => {
  const stream = new RecordingBuilder().addThread().stream;
  const type = { name: 'A', size: 2 ** 53, isReference: false, members: [] };
  const body = encodeStreamInfo({ ...stream, dependenciesMetadata: [type] }, 'rust');
  assert.throws(() => decodeStreamInfo(body), {
    code: 'transit.bad-field',
    details: { field: 'dependencies_metadata[0].size', byteOffset: 134 },
  });
});
