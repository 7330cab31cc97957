import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeBlock, makeContext } from '../test/synthetic-stream.ts';
import { carryHashOf, type PartitionSources, partitionIdOf, sourceHashOf } from './source-hash.ts';

const context = makeContext();
const spec = { beginTicks: 0n, endTicks: 1n, objectOffset: 0n, events: [] };
const blocks = [makeBlock(0, spec), makeBlock(1, spec)] as const;
const base: PartitionSources = { context, blocks, carryInHash: null };

function withStream(change: object): PartitionSources['context'] {
  const streams = [...context.streams].map(
    ([id, stream]) => [id, { ...stream, ...change }] as const,
  );
  return { ...context, streams: new Map(streams) };
}

test('the source hash changes with each thing rows depend on', () => {
  const { process, calibration } = context;
  const [first, second] = blocks;
  const changed: PartitionSources[] = [
    { ...base, carryInHash: 'carry' },
    { ...base, blocks: [first] },
    { ...base, blocks: [] },
    { ...base, blocks: [second, first] },
    { ...base, blocks: [{ ...first, contentSha256: new Uint8Array(32) }, second] },
    { ...base, context: withStream({ metadataSha256: new Uint8Array(32).fill(1) }) },
    { ...base, context: withStream({ properties: { 'thread-name': 'renamed' } }) },
    { ...base, context: { ...context, process: { ...process, exe: 'other' } } },
    { ...base, context: { ...context, process: { ...process, properties: { a: 'b' } } } },
    { ...base, context: { ...context, calibration: { ...calibration, frequencyHz: 5 } } },
  ];
  const hashes = new Set([base, ...changed].map(sourceHashOf));
  assert.equal(hashes.size, changed.length + 1);
});

test('it does not change with streams of other blocks, order of properties or time of arrival', () => {
  const [stream] = context.streams.values();
  assert(stream !== undefined);
  const more = new Map(context.streams).set('another' as typeof stream.streamId, stream);
  assert.equal(
    sourceHashOf({ ...base, context: { ...context, streams: more } }),
    sourceHashOf(base),
  );
  const reversed = Object.fromEntries(Object.entries(stream.properties).reverse());
  assert.equal(
    sourceHashOf({ ...base, context: withStream({ properties: reversed }) }),
    sourceHashOf(base),
  );
  const later = blocks.map((block) => ({ ...block, insertTimeUs: block.insertTimeUs + 5n }));
  assert.equal(sourceHashOf({ ...base, blocks: later }), sourceHashOf(base));
});

test('no carry has no hash, an empty one has', () => {
  assert.equal(carryHashOf(undefined), null);
  assert.match(carryHashOf(new Uint8Array(0)) ?? '', /^[0-9a-f]{64}$/);
});

test('the id of a partition names view, instance, schema, source and kind', () => {
  const identity = {
    ...{ viewSet: 'v', instance: 'i', schemaHash: 's', sourceHash: 'h' },
    kind: 'run' as const,
  };
  const ids = [
    identity,
    { ...identity, kind: 'tail' as const },
    ...(['viewSet', 'instance', 'schemaHash', 'sourceHash'] as const).map((key) => ({
      ...identity,
      [key]: 'other',
    })),
  ].map(partitionIdOf);
  assert.equal(new Set(ids).size, ids.length);
  assert.match(ids[0] ?? '', /^[0-9a-f]{32}$/);
});
