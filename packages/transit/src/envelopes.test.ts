import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixtureCases, loadFixture } from '@tracelake/test-kit';
import { decodeBlockEnvelope } from './block-envelope.ts';
import { blockPayloadPieces, decodeBlockPayload, encodeBlockPayload } from './block-payload.ts';
import { contentSha256Of } from './content-hash.ts';
import {
  type EnvelopeStyle,
  encodeBlockEnvelope,
  encodeProcessInfo,
  encodeStreamInfo,
} from './encode-envelopes.ts';
import { decodeProcessInfo } from './process-envelope.ts';
import { decodeStreamInfo } from './stream-envelope.ts';
import { decodeUserDefinedTypes, encodeUserDefinedTypes } from './type-metadata.ts';

const STYLES: readonly EnvelopeStyle[] = ['rust', 'unreal', 'legacy-arrays'];

function bodies(name: string, path: string): Uint8Array[] {
  return loadFixture(name)
    .requests.filter((request) => request.path.endsWith(path))
    .map(({ body }) => body);
}

function styleOf(name: string): EnvelopeStyle {
  if (name === 'unreal-cbor') return 'unreal';
  return name === 'legacy-arrays' ? 'legacy-arrays' : 'rust';
}

// The Unreal-style recording has yet another order of keys.
for (const name of fixtureCases().filter((name) => styleOf(name) !== 'unreal')) {
  test(`the envelopes of "${name}" are written again byte for byte`, () => {
    const style = styleOf(name);
    for (const body of bodies(name, 'insert_stream'))
      assert.deepEqual(encodeStreamInfo(decodeStreamInfo(body), style), body);
    for (const body of bodies(name, 'insert_block')) {
      const { exactBeginNs, exactEndNs, ...block } = decodeBlockEnvelope(body);
      const again = { ...block, beginNs: exactBeginNs, endNs: exactEndNs };
      assert.deepEqual(encodeBlockEnvelope(again, style), body);
    }
  });
}

test('a process survives every style', () => {
  for (const name of fixtureCases()) {
    for (const body of bodies(name, 'insert_process')) {
      const process = decodeProcessInfo(body);
      for (const style of STYLES) {
        const again = decodeProcessInfo(encodeProcessInfo(process, style));
        const startNs = style === 'unreal' ? again.startNs : process.startNs;
        assert.deepEqual(again, { ...process, startNs });
      }
    }
  }
});

test('a block is the same content in every style that keeps its times', () => {
  const [body] = bodies('unreal-cbor', 'insert_block');
  assert(body !== undefined);
  const block = decodeBlockEnvelope(encodeBlockEnvelope(decodeBlockEnvelope(body), 'unreal'));
  for (const style of STYLES) {
    const again = decodeBlockEnvelope(encodeBlockEnvelope(block, style));
    assert.deepEqual(again.contentSha256, block.contentSha256);
    assert.equal(again.blockId, block.blockId);
  }
});

test('any other content has another hash', () => {
  const [body] = bodies('small', 'insert_block');
  assert(body !== undefined);
  const block = decodeBlockEnvelope(body);
  const others = [
    { ...block, exactBeginNs: (block.exactBeginNs + 1n) as typeof block.exactBeginNs },
    { ...block, endTicks: (block.endTicks + 1n) as typeof block.endTicks },
    { ...block, objectCount: block.objectCount + 1 },
    { ...block, objectOffset: block.objectOffset + 1n },
  ].map((other) => contentSha256Of(other, block.payload));
  const { dependencies, objects } = block.payload;
  others.push(contentSha256Of(block, { dependencies, objects: objects.subarray(1) }));
  others.push(contentSha256Of(block, { dependencies: objects, objects: dependencies }));
  const hex = [block.contentSha256, ...others].map((hash) => Buffer.from(hash).toString('hex'));
  assert.equal(new Set(hex).size, hex.length);
});

test('a stored payload is read in both forms and always written as byte strings', () => {
  const payload = {
    dependencies: new Uint8Array([1, 2, 255]),
    objects: new Uint8Array(5000).fill(200),
  };
  const stored = encodeBlockPayload(payload);
  assert.equal(Buffer.from(stored.subarray(0, 15)).toString('latin1'), '\xa2\x6cdependencies\x43');
  assert.deepEqual(Buffer.from(decodeBlockPayload(stored).objects), Buffer.from(payload.objects));
  const legacy = Buffer.concat([
    Buffer.from('\xa2\x6cdependencies\x83\x01\x02\x18\xff\x67objects\x99\x13\x88', 'latin1'),
    Buffer.from('18c8'.repeat(5000), 'hex'),
  ]);
  assert.deepEqual(encodeBlockPayload(decodeBlockPayload(legacy)), stored);
});

test('the pieces of a payload are its stored form, with its buffers as they are', () => {
  for (const [dependencyBytes, objectBytes] of [
    [0, 0],
    [23, 24],
    [255, 256],
    [65_535, 65_536],
    [3, 3_000_000],
  ] as const) {
    const payload = {
      dependencies: new Uint8Array(dependencyBytes).fill(1),
      objects: new Uint8Array(objectBytes).fill(2),
    };
    const pieces = blockPayloadPieces(payload);
    assert.deepEqual(Buffer.concat(pieces), Buffer.from(encodeBlockPayload(payload)));
    assert.ok(pieces.includes(payload.dependencies) && pieces.includes(payload.objects));
  }
});

test('an indefinite legacy array of more than 4096 bytes decodes', () => {
  const legacy = Buffer.concat([
    Buffer.from('\xbf\x67objects\x9f', 'latin1'),
    Buffer.alloc(100_000, 7),
    Buffer.from('\xff\x6cdependencies\x5f\x41\x01\x42\x02\x03\xff\xff', 'latin1'),
  ]);
  const payload = decodeBlockPayload(legacy);
  assert.equal(payload.objects.length, 100_000);
  assert.deepEqual([...payload.dependencies], [1, 2, 3]);
});

test('stream metadata survives the store', () => {
  for (const body of bodies('small', 'insert_stream')) {
    const { dependenciesMetadata, objectsMetadata } = decodeStreamInfo(body);
    for (const types of [dependenciesMetadata, objectsMetadata])
      assert.deepEqual(decodeUserDefinedTypes(encodeUserDefinedTypes(types)), types);
  }
  assert.deepEqual([...encodeUserDefinedTypes([])], [0x80]);
});

test('properties in the reserved namespace are dropped', () => {
  const [body] = bodies('small', 'insert_process');
  assert(body !== undefined);
  const process = decodeProcessInfo(body);
  const properties = { 'micromegas.audience': 'all', micromegas: 'kept', __proto__x: 'kept' };
  const again = decodeProcessInfo(encodeProcessInfo({ ...process, properties }, 'rust'));
  assert.deepEqual(again.properties, { micromegas: 'kept', __proto__x: 'kept' });
});
