import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefuses, hex } from '../test/block-inputs.ts';
import { CborReader } from './cbor-reader.ts';
import { readArray, readInt64, readProperties, readRecord, readText } from './cbor-record.ts';

const reader = (...parts: string[]) => new CborReader(hex(...parts));

test('integers of every width are read, and bignums that fit 64 bits', () => {
  const cases: [string, bigint][] = [
    ['17', 23n],
    ['18ff', 255n],
    ['190100', 256n],
    ['1a00010000', 65536n],
    ['1b0020000000000000', 1n << 53n],
    ['1b7fffffffffffffff', (1n << 63n) - 1n],
    ['20', -1n],
    ['3b7fffffffffffffff', -(1n << 63n)],
    ['c24101', 1n],
    ['c2420100', 256n],
    ['c34100', -1n],
    ['c24a00007fffffffffffffff', (1n << 63n) - 1n],
    ['c25f41014100ff', 256n],
    ['d9d9f7d82a05', 5n],
  ];
  for (const [text, value] of cases) assert.equal(reader(text).readInt64(), value, text);
});

test('integers outside 64 bits and other kinds are refused', () => {
  for (const text of ['1b8000000000000000', '3b8000000000000000', 'c249010000000000000000'])
    assertRefuses(() => reader(text).readInt64(), 'transit.bad-field');
  for (const text of ['f5', '6131', 'f90000', '4101', '80', 'd8184101'])
    assertRefuses(() => reader(text).readInt64(), 'transit.bad-field');
  assertRefuses(() => reader('1b0020000000000000').readSafeUint(), 'transit.bad-field');
  assertRefuses(() => reader('20').readSafeUint(), 'transit.bad-field');
});

test('text comes definite or in chunks and must be utf-8', () => {
  assert.equal(reader('63e69db1').readText(), '東');
  assert.equal(reader('7f61616062c3a9ff').readText(), 'aé');
  assert.equal(reader('c063616263').readText(), 'abc');
  assertRefuses(() => reader('61ff').readText(), 'transit.malformed-cbor');
  assertRefuses(() => reader('7f61617f6162ffff').readText(), 'transit.bad-field');
  assertRefuses(() => reader('7f4161ff').readText(), 'transit.bad-field');
});

test('byte strings come definite, in chunks, or as arrays of bytes', () => {
  const read = (text: string) => [...reader(text).readBytesOrLegacyArray()];
  assert.deepEqual(read('420102'), [1, 2]);
  assert.deepEqual(read('5f4101420203ff'), [1, 2, 3]);
  assert.deepEqual(read('5fff'), []);
  assert.deepEqual(read('8301181818ff'), [1, 24, 255]);
  assert.deepEqual(read('9f0118ffff'), [1, 255]);
  assert.deepEqual(read('80'), []);
  for (const text of ['820120', '81190100', '816161', '8140', '9f9fffff'])
    assertRefuses(() => read(text), 'transit.bad-field');
});

test('a declared length is not believed before its bytes are there', () => {
  const absurd = ['5b7fffffffffffffff', '5bffffffffffffffff', '5a7fffffff00', '7b0000ffffffffffff'];
  const arrays = [
    '9bffffffffffffffff',
    '9b000fffffffffffff00',
    '9a7fffffff01',
    'bb00ffffffffffffff',
  ];
  for (const text of [...absurd, ...arrays]) {
    assertRefuses(() => reader(text).skip(), 'transit.truncated');
    if (text.startsWith('7') || text.startsWith('b')) continue;
    assertRefuses(() => reader(text).readBytesOrLegacyArray(), 'transit.truncated');
  }
});

test('reserved lengths and stray breaks are malformed', () => {
  for (const text of ['1c', '3d', '5e', '7c', '9d', 'bc', 'dc00', 'fc', '1f', 'df'])
    assertRefuses(() => reader(text).skip(), 'transit.malformed-cbor');
  assertRefuses(() => reader('ff').skip(), 'transit.bad-field');
  assertRefuses(() => reader('82ff00').skip(), 'transit.bad-field');
});

test('any value can be passed over, down to 256 levels', () => {
  const values = [
    'f6',
    'f90000',
    'fb0000000000000000',
    'f818',
    'bf61619f02ffff',
    'c1a1416102',
    '5f4100ff',
  ];
  for (const text of values) {
    const skipped = reader(text);
    skipped.skip();
    assert.equal(skipped.position, text.length / 2, text);
  }
  reader(`${'81'.repeat(256)}00`).skip();
  assertRefuses(() => reader(`${'81'.repeat(257)}00`).skip(), 'transit.malformed-cbor');
  assertRefuses(() => reader('9f'.repeat(100_000)).skip(), 'transit.malformed-cbor');
  assertRefuses(() => reader('c1'.repeat(100_000)).skip(), 'transit.truncated');
});

test('a record takes its keys in any order and passes over the others', () => {
  const schema = { a: readInt64, b: readText };
  const expected = { a: 1n, b: 'x' };
  for (const text of [
    'a26161016162 6178',
    'bf 6162 6178 6161 01 ff',
    'a5 6163 9f01ff 01 02 6162 6178 80 80 6161 01 ff',
    'c0a2 c16161 c101 6162 6178',
  ])
    assert.deepEqual(readRecord(reader(text), schema), expected, text);
});

test('errors name the field and the byte', () => {
  const schema = {
    a: (inner: CborReader) => readArray(inner, (item) => readRecord(item, { b: readText })),
  };
  assert.throws(() => readRecord(reader('a1 6161 82 a1 6162 6178 a1 6162 05'), schema), {
    code: 'transit.bad-field',
    details: { field: 'a[1].b', byteOffset: 12 },
  });
  assert.throws(() => readRecord(reader('a1 6161 81 a0'), schema), {
    code: 'transit.missing-field',
    details: { field: 'a[0].b', byteOffset: 4 },
  });
  assertRefuses(() => readRecord(reader('a2 6161 80 6161 80'), schema), 'transit.bad-field');
  assertRefuses(() => readRecord(reader('80'), schema), 'transit.bad-field');
  assertRefuses(() => readRecord(reader(''), schema), 'transit.truncated');
});

test('properties keep the last of equal keys, whatever they are called', () => {
  const text = 'a3 6161 6131 695f5f70726f746f5f5f 6132 6161 6133';
  const properties = readProperties(reader(text));
  assert.deepEqual(Object.entries(properties), [
    ['a', '3'],
    ['__proto__', '2'],
  ]);
});

test('text that the store cannot keep is refused', () => {
  assertRefuses(() => readText(reader('6100')), 'transit.bad-field');
});
