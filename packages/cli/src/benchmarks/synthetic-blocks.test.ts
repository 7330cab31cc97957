import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@tracelake/test-kit';
import { decodeBlockPayload, decodeLz4Frame, decodeThreadSpanBlock } from '@tracelake/transit';
import { compressLz4Frame } from './lz4-compression.ts';
import { makeSyntheticBlock, syntheticTypes } from './synthetic-blocks.ts';

const limits = { decompressedBytesMax: 2 ** 26 };

test('a synthetic block decodes to nested spans whose times only grow', () => {
  const payload = decodeBlockPayload(makeSyntheticBlock(3, 1400));
  const columns = decodeThreadSpanBlock({ ...syntheticTypes, payload, objectOffset: 0n, limits });
  assert.equal(columns.count, 1400);
  assert.equal(columns.skippedEvents, 0);
  assert.deepEqual(columns.scopes.map(({ name }) => name).toSorted(), ['inner', 'leaf', 'outer']);
  let depth = 0;
  let last = 0n;
  for (let row = 0; row < columns.count; row++) {
    depth += columns.kind[row] === 0 ? 1 : -1;
    assert(depth >= 0 && depth <= 3, `row ${row}`);
    assert((columns.ticks[row] ?? 0n) > last, `row ${row}`);
    last = columns.ticks[row] ?? 0n;
  }
  assert.equal(depth, 0);
  assert.deepEqual(makeSyntheticBlock(3, 1400), makeSyntheticBlock(3, 1400));
  assert.notDeepEqual(makeSyntheticBlock(3, 1400), makeSyntheticBlock(4, 1400));
});

test('what is compressed comes back whole, whatever its size and however it repeats', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed);
    const values = 1 + random.int(20);
    const bytes = new Uint8Array(random.int(seed % 10 === 0 ? 200_000 : 600));
    for (let index = 0; index < bytes.length; index++) bytes[index] = random.int(values);
    const frame = compressLz4Frame(bytes);
    assert.deepEqual(
      Buffer.from(decodeLz4Frame(frame, limits.decompressedBytesMax)),
      Buffer.from(bytes),
      `seed ${seed}`,
    );
  }
});
