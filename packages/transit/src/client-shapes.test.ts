/**
 * Shapes that clients other than today's Rust one send: legacy log events, and the Unreal client's layouts of
 * logs, metrics and spans. Blocks are written by hand and the columns they give are worked out by hand.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UserDefinedType } from '@tracelake/domain';
import { inputOf } from '../test/block-inputs.ts';
import { decodeLogBlock } from './decode-log-block.ts';
import { decodeMetricBlock } from './decode-metric-block.ts';
import { decodeThreadSpanBlock } from './decode-span-blocks.ts';
import { scopeHash } from './scope-hash.ts';

const u8 = (value: number) => Buffer.from([value]);
const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: bigint) => Buffer.from(BigInt64Array.of(BigInt.asIntN(64, value)).buffer);
const f64 = (value: number) => Buffer.from(Float64Array.of(value).buffer);
const bytes = (...parts: Uint8Array[]) => Buffer.concat(parts);
/** Padding is garbage in memory images. */
const padding = (count: number) => Buffer.alloc(count, 0xa5);
const ansi = (text: string) => bytes(u8(0), u32(text.length), Buffer.from(text, 'latin1'));
const wide = (text: string) => bytes(u8(1), u32(text.length * 2), Buffer.from(text, 'utf16le'));
const utf8 = (text: string) => bytes(u8(2), u32(Buffer.byteLength(text)), Buffer.from(text));
/** A record of a type without a size of its own. */
const sized = (type: number, ...parts: Uint8Array[]) => {
  const instance = bytes(...parts);
  return bytes(u8(type), u32(instance.length), instance);
};
const fixed = (type: number, ...parts: Uint8Array[]) => bytes(u8(type), ...parts);

type Member = readonly [name: string, typeName: string, offset: number, size: number];

function type(name: string, size = 0, members: readonly Member[] = []): UserDefinedType {
  return {
    name,
    size,
    isReference: false,
    members: members.map(([member, typeName, offset, memberSize]) => ({
      name: member,
      typeName: typeName.replace(/^&/, ''),
      offset,
      size: memberSize,
      isReference: typeName.startsWith('&'),
    })),
  };
}

const reference = (name: string, idType: string): UserDefinedType => ({
  ...type(name, 16, [['id', idType, 0, 8]]),
  isReference: true,
});

const textsOf = (strings: readonly string[], codes: Uint32Array) =>
  [...codes].map((code) => strings[code]);

const property = type('Property', 32, [
  ['name', '&StaticStringRef', 0, 16],
  ['value', '&StaticStringRef', 16, 16],
]);
/** `StaticStringRef` in memory: pointer, size, codec, padding. */
const stringRef = (id: bigint) => bytes(u64(id), u32(4), u8(1), padding(3));

test('every log event there ever was gives its row', () => {
  const dependenciesMetadata = [
    type('StaticString'),
    type('StaticStringDependency'),
    // Rust's compiler orders members as it likes.
    type('LogMetadataRecord', 48, [
      ['id', 'u64', 40, 8],
      ['fmt_str', '&u8', 32, 8],
      ['target', '&u8', 24, 8],
      ['level', 'u32', 20, 4],
    ]),
    type('PropertySetDependency'),
    property,
  ];
  const objectsMetadata = [
    type('LogStaticStrEvent', 16, [
      ['desc', '&LogMetadata', 8, 8],
      ['time', 'i64', 0, 8],
    ]),
    type('LogStringEvent'),
    type('LogStringEventV2'),
    type('LogStaticStrInteropEvent', 48, [
      ['time', 'i64', 32, 8],
      ['level', 'u32', 40, 4],
      ['target', 'StringId', 0, 16],
      ['msg', 'StringId', 16, 16],
    ]),
    type('LogStringInteropEventV2'),
    type('LogStringInteropEventV3'),
    type('TaggedLogInteropEvent'),
    type('TaggedLogString'),
    reference('StaticStringRef', '&uint64'),
    reference('StringId', '&usize'),
  ];
  const text = (id: bigint, value: string) => sized(0, u64(id), Buffer.from(value));
  const dependencies = bytes(
    text(1n, 'target one'),
    text(2n, 'constant {}'),
    // Pointers have all their 64 bits.
    text(2n ** 63n + 5n, 'level'),
    text(4n, 'error'),
    text(5n, 'target'),
    sized(1, u64(6n), wide('elsewhere 東京')),
    text(7n, 'debug'),
    fixed(2, padding(20), u32(5), u64(1n), u64(2n), u64(0x10n)),
    sized(
      3,
      ...[u64(0x20n), u32(3)],
      // Of the two levels the last counts.
      ...[stringRef(2n ** 63n + 5n), stringRef(7n)],
      ...[stringRef(5n), stringRef(6n)],
      ...[stringRef(2n ** 63n + 5n), stringRef(4n)],
    ),
  );
  const stringId = (id: bigint) => bytes(u64(id), u32(9), padding(4));
  const objects = bytes(
    fixed(0, u64(100n), u64(0x10n)),
    sized(1, u64(0x10n), u64(101n), Buffer.from('legacy é')),
    sized(2, u64(0x10n), u64(102n), wide('wide \ud800 text')),
    fixed(3, stringId(1n), stringId(2n), u64(103n), u32(2), padding(4)),
    sized(4, u64(104n), u32(3), stringId(6n), Buffer.from('interop two')),
    sized(5, u64(105n), u8(6), stringRef(1n), ansi('interop three')),
    sized(6, u64(106n), u8(1), stringRef(1n), u64(0x20n), wide('tagged interop')),
    sized(7, u64(0x10n), u64(0x20n), u64(107n), utf8('')),
    // What follows the text of an instance is ignored.
    sized(2, u64(0x10n), u64(-1n), utf8('trailing'), padding(3)),
  );
  const input = { ...inputOf({ dependenciesMetadata, objectsMetadata, dependencies, objects }) };
  const columns = decodeLogBlock({ ...input, objectOffset: 2n ** 40n });
  const properties = '{"level":"error","target":"elsewhere 東京"}';
  assert.deepEqual(
    Array.from({ length: columns.count }, (_, row) => [
      columns.eventIds[row],
      columns.ticks[row],
      columns.level[row],
      textsOf(columns.strings, columns.target)[row],
      textsOf(columns.strings, columns.msg)[row],
      textsOf(columns.strings, columns.properties)[row],
    ]),
    [
      [2n ** 40n, 100n, 5, 'target one', 'constant {}', '{}'],
      [2n ** 40n + 1n, 101n, 5, 'target one', 'legacy é', '{}'],
      [2n ** 40n + 2n, 102n, 5, 'target one', 'wide \ufffd text', '{}'],
      [2n ** 40n + 3n, 103n, 2, 'target one', 'constant {}', '{}'],
      [2n ** 40n + 4n, 104n, 3, 'elsewhere 東京', 'interop two', '{}'],
      [2n ** 40n + 5n, 105n, 6, 'target one', 'interop three', '{}'],
      [2n ** 40n + 6n, 106n, 1, 'target one', 'tagged interop', properties],
      [2n ** 40n + 7n, 107n, 2, 'elsewhere 東京', '', properties],
      [2n ** 40n + 8n, -1n, 5, 'target one', 'trailing', '{}'],
    ],
  );
});

test('metrics of the Unreal client give their rows', () => {
  const dependenciesMetadata = [
    type('StaticStringDependency'),
    type('MetricMetadataDependency', 88, [
      ['id', 'uint64', 0, 8],
      ['lod', 'uint8', 8, 1],
      ['name', '&StaticStringRef', 16, 16],
      ['unit', '&StaticStringRef', 32, 16],
      ['target', '&StaticStringRef', 48, 16],
      ['file', '&StaticStringRef', 64, 16],
      ['line', 'uint32', 80, 4],
    ]),
    type('PropertySetDependency'),
    property,
  ];
  const metric = (name: string, valueType: string) =>
    type(name, 32, [
      ['desc', '&MetricMetadata*', 0, 8],
      ['properties', '&PropertySet*', 8, 8],
      ['value', valueType, 16, 8],
      ['time', 'uint64', 24, 8],
    ]);
  const objectsMetadata = [
    metric('TaggedIntegerMetricEvent', 'uint64'),
    metric('TaggedFloatMetricEvent', 'f64'),
  ];
  const text = (id: bigint, value: string) => sized(0, u64(id), wide(value));
  const describe = (id: bigint, unit: bigint) =>
    fixed(
      1,
      ...[u64(id), u8(2), padding(7), stringRef(1n), stringRef(unit), stringRef(3n)],
      ...[stringRef(4n), u32(77), padding(4)],
    );
  const dependencies = bytes(
    ...[text(1n, 'FrameTime'), text(2n, 'ticks'), text(3n, 'Engine'), text(4n, 'C:\\f.cpp')],
    ...[text(5n, 'unit'), text(6n, 'bytes'), text(7n, 'map'), text(8n, 'Überland')],
    ...[describe(0x10n, 2n), describe(0x11n, 6n)],
    sized(2, u64(0x20n), u32(0)),
    sized(2, u64(0x21n), u32(2), stringRef(5n), stringRef(6n), stringRef(7n), stringRef(8n)),
    sized(2, u64(0x22n), u32(1), stringRef(5n), stringRef(2n)),
  );
  const objects = bytes(
    fixed(0, u64(0x10n), u64(0x20n), u64(5_000_000n), u64(10n)),
    fixed(0, u64(0x10n), u64(0x21n), u64(2n ** 64n - 1n), u64(11n)),
    fixed(0, u64(0x11n), u64(0x22n), u64(2n ** 64n - 2000n), u64(12n)),
    fixed(1, u64(0x10n), u64(0x20n), f64(-0.25), u64(13n)),
  );
  const input = inputOf({ dependenciesMetadata, objectsMetadata, dependencies, objects });
  const columns = decodeMetricBlock({ ...input, frequencyHz: 10_000_000 });
  assert.deepEqual([...columns.ticks], [10n, 11n, 12n, 13n]);
  assert.deepEqual(textsOf(columns.strings, columns.name), Array(4).fill('FrameTime'));
  assert.deepEqual(textsOf(columns.strings, columns.target), Array(4).fill('Engine'));
  assert.deepEqual(textsOf(columns.strings, columns.unit), [
    ...['seconds', 'bytes', 'seconds', 'ticks'],
  ]);
  // Ticks are signed; any other integer is not; a float in ticks stays.
  assert.deepEqual([...columns.value], [0.5, 2 ** 64, -0.0002, -0.25]);
  assert.deepEqual(textsOf(columns.strings, columns.properties), [
    ...['{}', '{"map":"Überland","unit":"bytes"}', '{"unit":"ticks"}', '{}'],
  ]);
});

test('spans of the Unreal client give their scopes, empty names among them', () => {
  const dependenciesMetadata = [
    type('StaticStringDependency'),
    type('SpanMetadataDependency', 64, [
      ['id', 'uint64', 0, 8],
      ['name', '&StaticStringRef', 8, 16],
      ['target', '&StaticStringRef', 24, 16],
      ['file', '&StaticStringRef', 40, 16],
      ['line', 'uint32', 56, 4],
    ]),
    type('SpanLocationDependency', 48, [
      ['id', 'uint64', 0, 8],
      ['target', '&StaticStringRef', 8, 16],
      ['file', '&StaticStringRef', 24, 16],
      ['line', 'uint32', 40, 4],
    ]),
  ];
  const span = (name: string) =>
    type(name, 16, [
      ['thread_span_desc', '&SpanMetadata*', 0, 8],
      ['time', 'uint64', 8, 8],
    ]);
  const named = (name: string) =>
    type(name, 32, [
      ['thread_span_location', '&SpanLocation*', 0, 8],
      ['time', 'uint64', 8, 8],
      ['name', '&StaticStringRef', 16, 16],
    ]);
  const objectsMetadata = [
    ...[span('BeginThreadSpanEvent'), span('EndThreadSpanEvent')],
    ...[named('BeginThreadNamedSpanEvent'), named('EndThreadNamedSpanEvent')],
  ];
  const dependencies = bytes(
    sized(0, u64(1n), ansi('Tick')),
    sized(0, u64(2n), ansi('Engine')),
    sized(0, u64(3n), ansi('')),
    sized(0, u64(4n), wide('レベル')),
    fixed(1, u64(0x10n), stringRef(1n), stringRef(2n), stringRef(3n), u32(7), padding(4)),
    fixed(2, u64(0x11n), stringRef(2n), stringRef(3n), u32(9), padding(4)),
  );
  const objects = bytes(
    fixed(0, u64(0x10n), u64(1n)),
    fixed(2, u64(0x11n), u64(2n), stringRef(4n)),
    fixed(3, u64(0x11n), u64(3n), stringRef(4n)),
    fixed(2, u64(0x11n), u64(4n), stringRef(3n)),
    fixed(3, u64(0x11n), u64(5n), stringRef(3n)),
    fixed(1, u64(0x10n), u64(6n)),
  );
  const columns = decodeThreadSpanBlock(
    inputOf({ dependenciesMetadata, objectsMetadata, dependencies, objects }),
  );
  assert.deepEqual([...columns.kind], [0, 0, 1, 0, 1, 1]);
  assert.deepEqual([...columns.ticks], [1n, 2n, 3n, 4n, 5n, 6n]);
  const scope = (name: string, line: number) => ({
    ...{ name, target: 'Engine', filename: '', line },
    hash: scopeHash(name, '', 'Engine', line),
  });
  assert.deepEqual(
    [...columns.scope].map((code) => columns.scopes[code]),
    [...['Tick', 'レベル', 'レベル', '', '', 'Tick']].map((name) =>
      scope(name, name === 'Tick' ? 7 : 9),
    ),
  );
});
