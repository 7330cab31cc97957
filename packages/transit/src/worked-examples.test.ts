/** The byte-level examples of the native format, section 11. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UserDefinedType } from '@tracelake/domain';
import { hex, inputOf } from '../test/block-inputs.ts';
import { decodeBlockPayload } from './block-payload.ts';
import { decodeLogBlock } from './decode-log-block.ts';
import { decodeMetricBlock } from './decode-metric-block.ts';
import { decodeThreadSpanBlock } from './decode-span-blocks.ts';
import { Dependencies } from './dependencies.ts';
import { decodeLz4Frame } from './lz4-frame.ts';
import { countRecords, transitBuffer } from './record-framing.ts';
import { bufferLayoutOf } from './record-layout.ts';
import { scopeHash } from './scope-hash.ts';
import { decodeUserDefinedTypes } from './type-metadata.ts';
import { xxh32 } from './xxh32.ts';

type Members = [name: string, typeName: string, offset: number, size: number][];

function type(name: string, size = 0, members: Members = [], isReference = false): UserDefinedType {
  return {
    name,
    size,
    isReference,
    members: members.map(([memberName, typeName, offset, memberSize]) => ({
      name: memberName,
      typeName: typeName.replace('&', ''),
      offset,
      size: memberSize,
      isReference: typeName.startsWith('&'),
    })),
  };
}

const reference = (name: string) => type(name, 16, [['id', '&usize', 0, 8]], true);
const textOf = (strings: readonly string[], codes: Uint32Array) =>
  [...codes].map((code) => strings[code]);

test('A: fixed-size records are framed by their metadata', () => {
  const layout = bufferLayoutOf([
    type('MyTestEvent', 16, [
      ['some_64', 'u64', 0, 8],
      ['some_32', 'u32', 8, 4],
    ]),
    type('OtherEvent', 8, [['some_64', 'u64', 0, 8]]),
  ]);
  const bytes = hex('00 0200000000000000 03000000 a5a5a5a5', '01 0300000000000000');
  assert.equal(bytes.length, 26);
  const counts = countRecords(transitBuffer('objects', bytes, layout));
  assert.deepEqual([counts.total, counts.byType[0], counts.byType[1]], [2, 1, 1]);
});

test('B: static strings are found by their ids', () => {
  const layout = bufferLayoutOf([type('StaticString')]);
  const bytes = hex(
    '00 10000000 0010000000000000 746573745f6d7367',
    '00 0e000000 0020000000000000 5f5f74657374',
  );
  assert.equal(bytes.length, 40);
  const dependencies = new Dependencies(transitBuffer('dependencies', bytes, layout));
  const ids = transitBuffer('objects', hex('0010000000000000 0020000000000000'), layout);
  assert.equal(dependencies.textOf(dependencies.resolve(ids, 0)), 'test_msg');
  assert.equal(dependencies.textOf(dependencies.resolve(ids, 8)), '__test');
});

const logMetadataRecord = type('LogMetadataRecord', 48, [
  ['id', 'u64', 0, 8],
  ['fmt_str', '&* const u8', 8, 8],
  ['target', '&* const u8', 16, 8],
  ['module_path', '&* const u8', 24, 8],
  ['file', '&* const u8', 32, 8],
  ['line', 'u32', 40, 4],
  ['level', 'u32', 44, 4],
]);

test('C: a formatted log line takes level and target from its description', () => {
  const columns = decodeLogBlock({
    ...inputOf({
      dependenciesMetadata: [
        type('StaticString'),
        type('StaticStringDependency'),
        logMetadataRecord,
      ],
      objectsMetadata: [type('LogStaticStrEvent', 16), type('LogStringEventV2')],
      dependencies: hex(
        '00 0a000000 0010000000000000 6162',
        '00 0b000000 0020000000000000 617070',
        '02 0030000000000000 0010000000000000 0020000000000000 0020000000000000 0010000000000000',
        '07000000 04000000',
      ),
      objects: hex(
        '01 1c000000 0030000000000000 4433221100000000 02 07000000 68656c6c6f2037',
        '01 19000000 0030000000000000 4533221100000000 01 04000000 68006900',
      ),
    }),
    objectOffset: (1n << 32n) - 1n,
  });
  assert.deepEqual([...columns.ticks], [0x11223344n, 0x11223345n]);
  assert.deepEqual([...columns.eventIds], [(1n << 32n) - 1n, 1n << 32n]);
  assert.deepEqual([...columns.level], [4, 4]);
  assert.deepEqual(textOf(columns.strings, columns.target), ['app', 'app']);
  // F: the second message is a wide string.
  assert.deepEqual(textOf(columns.strings, columns.msg), ['hello 7', 'hi']);
});

test('D: a property set of a metric becomes json', () => {
  const property = type('Property', 32, [
    ['name', '&StaticStringRef', 0, 8],
    ['value', '&StaticStringRef', 16, 8],
  ]);
  const description = type('MetricMetadataDependency', 48, [
    ['id', 'u64', 0, 8],
    ['name', '&* const u8', 8, 8],
    ['unit', '&* const u8', 16, 8],
    ['target', '&* const u8', 24, 8],
  ]);
  const columns = decodeMetricBlock({
    ...inputOf({
      dependenciesMetadata: [
        type('StaticString'),
        type('StaticStringDependency'),
        description,
        type('PropertySetDependency'),
        property,
      ],
      objectsMetadata: [
        type('TaggedFloatMetricEvent', 32, [
          ['desc', '&x', 0, 8],
          ['properties', '&x', 8, 8],
          ['value', 'f64', 16, 8],
          ['time', 'i64', 24, 8],
        ]),
      ],
      dependencies: hex(
        '01 13000000 0060000000000000 02 06000000 616e696d616c',
        '01 14000000 0070000000000000 02 07000000 636869636b656e',
        '03 2c000000 0050000000000000 01000000',
        '0060000000000000 06000000 02a5a5a5 0070000000000000 07000000 02a5a5a5',
        '02 0080000000000000 0060000000000000 0070000000000000 0060000000000000',
        'a5a5a5a5a5a5a5a5 a5a5a5a5a5a5a5a5',
      ),
      objects: hex('00 0080000000000000 0050000000000000 000000000000e03f 0a00000000000000'),
    }),
    frequencyHz: 1,
  });
  assert.deepEqual(textOf(columns.strings, columns.properties), ['{"animal":"chicken"}']);
  assert.deepEqual(textOf(columns.strings, columns.unit), ['chicken']);
  assert.deepEqual([...columns.value], [0.5]);
});

test('E: a named thread span takes its name from the event', () => {
  const location = type('SpanLocationRecord', 40, [
    ['id', 'u64', 0, 8],
    ['target', '&* const u8', 8, 8],
    ['module_path', '&* const u8', 16, 8],
    ['file', '&* const u8', 24, 8],
    ['line', 'u32', 32, 4],
    ['lod', 'u32', 36, 4],
  ]);
  const named = type('BeginThreadNamedSpanEvent', 32, [
    ['thread_span_location', '&SpanLocation', 0, 8],
    ['name', 'StringId', 8, 16],
    ['time', 'i64', 24, 8],
  ]);
  const columns = decodeThreadSpanBlock(
    inputOf({
      dependenciesMetadata: [type('SpanRecord', 48), location, type('StaticString')],
      objectsMetadata: [type('a', 16), type('b', 16), named, reference('StringId')],
      dependencies: hex(
        '02 13000000 0090000000000000 6d795f66756e6374696f6e',
        '02 0c000000 0091000000000000 66696c65',
        '02 0e000000 0092000000000000 746172676574',
        '01 0080000000000000 0092000000000000 0092000000000000 0091000000000000 7b000000 02000000',
      ),
      objects: hex('02 0080000000000000 0090000000000000 0b000000 a5a5a5a5 6400000000000000'),
    }),
  );
  assert.deepEqual([...columns.ticks], [100n]);
  assert.deepEqual(columns.scopes, [
    { name: 'my_function', target: 'target', filename: 'file', line: 123, hash: 1374471457 },
  ]);
});

test('G: an interop event of unreal carries level, target and properties itself', () => {
  const columns = decodeLogBlock(
    inputOf({
      dependenciesMetadata: [
        type('StaticStringDependency'),
        type('PropertySetDependency'),
        type('Property', 32, [
          ['name', '&StaticStringRef', 0, 8],
          ['value', '&StaticStringRef', 16, 8],
        ]),
      ],
      objectsMetadata: [type('TaggedLogInteropEvent'), reference('StaticStringRef')],
      dependencies: hex(
        '00 11000000 0010000000000000 01 04000000 68006900',
        '01 0c000000 0050000000000000 00000000',
      ),
      objects: hex(
        '00 28000000 0500000000000000 03 0010000000000000 04000000 01 a5a5a5',
        '0050000000000000 00 02000000 c3a9',
      ),
    }),
  );
  assert.deepEqual([...columns.level], [3]);
  assert.deepEqual(textOf(columns.strings, columns.target), ['hi']);
  assert.deepEqual(textOf(columns.strings, columns.msg), ['é']);
  assert.deepEqual(textOf(columns.strings, columns.properties), ['{}']);
});

test('H: a stored payload decodes, and an empty list of types is one byte', () => {
  const stored = Buffer.concat([
    hex('a2 6c'),
    Buffer.from('dependencies'),
    hex('41 07 67'),
    Buffer.from('objects'),
    hex('82 01 18ff'),
  ]);
  const payload = decodeBlockPayload(stored);
  assert.deepEqual([...payload.dependencies], [7]);
  assert.deepEqual([...payload.objects], [1, 255]);
  assert.deepEqual(decodeUserDefinedTypes(hex('80')), []);
});

test('I: scope hashes are those of the reference', () => {
  assert.equal(scopeHash('my_function', 'file', 'target', 123), 1374471457);
  assert.equal(scopeHash('main', '', '', 0), 3878380711);
});

test('xxh32 gives the published values', () => {
  assert.equal(xxh32(new Uint8Array(0)), 0x02cc5d05);
  assert.equal(xxh32(Buffer.from('abc')), 0x32d153ff);
  assert.equal(xxh32(Buffer.from('Nobody inspects the spammish repetition')), 0xe2293b2f);
});

test('the empty frames of both clients are empty', () => {
  assert.equal(decodeLz4Frame(hex('04224d18 5440ae 00000000 055dcc02'), 0).length, 0);
  assert.equal(decodeLz4Frame(hex('04224d18 604082 00000000'), 0).length, 0);
});
