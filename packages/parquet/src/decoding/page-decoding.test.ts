/** What the encoder packs comes out as it went in; anything shorter, longer or out of bounds is refused. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@tracelake/test-kit';
import { ByteSink } from '../encoding/byte-sink.ts';
import { DeltaPacker } from '../encoding/delta-binary-packing.ts';
import { encodeIndices } from '../encoding/dictionary-indices.ts';
import { ThriftStruct } from '../encoding/thrift-compact.ts';
import { ByteSource, DamagedBytes } from './byte-source.ts';
import { DeltaUnpacker } from './delta-unpacking.ts';
import { unpackIndices } from './index-unpacking.ts';
import { ThriftFields } from './thrift-reading.ts';

const EDGES = [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 32n, -(2n ** 32n), 2n ** 53n];

/** Steps of so many bits from value to value, with an outermost one now and then where `hasEdges`. */
function valuesOf(seed: number, count: number, bits: number, hasEdges: boolean): BigInt64Array {
  const random = seededRandom(seed);
  const values = new BigInt64Array(count);
  let last = 1_795_230_665_835_080_000n;
  for (let i = 0; i < count; i += 1) {
    let step = 0n;
    for (let bit = 0; bit < bits; bit += 16) step = (step << 16n) | BigInt(random.int(65_536));
    last = BigInt.asIntN(64, last + BigInt.asIntN(bits + 1, step));
    if (hasEdges && random.int(7) === 0) last = EDGES[random.int(EDGES.length)] ?? 0n;
    values[i] = last;
  }
  return values;
}

function packed(values: BigInt64Array): Uint8Array {
  const sink = new ByteSink();
  new DeltaPacker().encode(sink, values, 0, values.length);
  return sink.written().slice();
}

function unpacked(page: Uint8Array, count: number): BigInt64Array {
  const values = new BigInt64Array(count);
  new DeltaUnpacker().decode(page, new Int32Array(values.buffer), count);
  return values;
}

test('deltas of every width come out as they went in', () => {
  for (let bits = 0; bits <= 64; bits += 1) {
    for (const count of [1, 2, 32, 33, 128, 129, 130, 300]) {
      for (const hasEdges of [false, true]) {
        const values = valuesOf(bits * 1000 + count, count, bits, hasEdges);
        assert.deepEqual(unpacked(packed(values), count), values, `${bits} bits, ${count} values`);
      }
    }
  }
});

test('a page of deltas that is cut anywhere, goes on or has another count is refused', () => {
  const values = valuesOf(1, 140, 20, false);
  const page = packed(values);
  for (let length = 0; length < page.length; length += 1) {
    assert.throws(() => unpacked(page.subarray(0, length), values.length), DamagedBytes);
  }
  assert.throws(() => unpacked(Uint8Array.of(...page, 0), values.length), DamagedBytes);
  for (const count of [139, 141]) assert.throws(() => unpacked(page, count), DamagedBytes);
});

test('indices of every width come out as they went in', () => {
  const random = seededRandom(2);
  for (const distinctCount of [1, 2, 3, 4, 5, 16, 17, 255, 256, 257, 4096, 70_000]) {
    for (const rowCount of [1, 7, 8, 9, 64, 1000]) {
      const indices = Uint32Array.from({ length: rowCount }, () => random.int(distinctCount));
      const sink = new ByteSink();
      encodeIndices(sink, indices, rowCount, distinctCount);
      const found = new Uint32Array(rowCount + 3).fill(9);
      unpackIndices(sink.written(), found, rowCount, distinctCount);
      assert.deepEqual(found.subarray(0, rowCount), indices, `${distinctCount}, ${rowCount}`);
      assert.deepEqual(found.subarray(rowCount), Uint32Array.of(9, 9, 9));
    }
  }
});

test('a page of indices that is cut anywhere, goes on or points outside its dictionary is refused', () => {
  const indices = Uint32Array.of(0, 1, 2, 5, 4, 3, 2, 1, 0, 5);
  const sink = new ByteSink();
  encodeIndices(sink, indices, indices.length, 6);
  const page = sink.written().slice();
  const room = new Uint32Array(indices.length);
  unpackIndices(page, room, indices.length, 6);
  for (let length = 0; length < page.length; length += 1) {
    assert.throws(() => unpackIndices(page.subarray(0, length), room, indices.length, 6));
  }
  assert.throws(() => unpackIndices(Uint8Array.of(...page, 0), room, indices.length, 6));
  // The width is that of five values as well.
  assert.throws(() => unpackIndices(page, room, indices.length, 5), DamagedBytes);
  assert.throws(() => unpackIndices(page, room, indices.length, 0), DamagedBytes);
});

test('structs come out as they were written, and none that is cut', () => {
  const bytes = ThriftStruct.encode((struct) => {
    struct.bool(1, true);
    struct.i32(2, -5);
    struct.i64(20, 2 ** 40);
    struct.binary(21, 'name');
    struct.struct(22, (inner) => inner.i8(3, 32));
    struct.i32List(23, [1, -2]);
    struct.structList(24, [7, 8], (item, value) => item.i32(1, value));
  });
  const fields = ThriftFields.read(new ByteSource(bytes));
  assert.equal(fields.boolean(1), true);
  assert.equal(fields.number(2), -5);
  assert.equal(fields.number(20), 2 ** 40);
  assert.equal(fields.text(21), 'name');
  assert.equal(fields.struct(22)?.number(3), 32);
  assert.deepEqual(fields.numbers(23), [1, -2]);
  assert.deepEqual(
    fields.structs(24).map((item) => item.number(1)),
    [7, 8],
  );
  assert.equal(fields.number(21), undefined);
  for (let length = 0; length < bytes.length; length += 1) {
    assert.throws(() => ThriftFields.read(new ByteSource(bytes.subarray(0, length))), DamagedBytes);
  }
  const deep = new Uint8Array(1000).fill(0x1c);
  assert.throws(() => ThriftFields.read(new ByteSource(deep)), DamagedBytes);
  // A list of 2^28 structs in a few bytes.
  const long = Uint8Array.of(0x19, 0xfc, 0xff, 0xff, 0xff, 0x7f);
  assert.throws(() => ThriftFields.read(new ByteSource(long)), DamagedBytes);
});
