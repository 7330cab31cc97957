import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UserDefinedType } from '@tracelake/domain';
import { encodeLz4Frame, RecordingBuilder, seededRandom } from '@tracelake/test-kit';
import {
  assertRefuses,
  hex,
  inputOf,
  limits,
  type RawBlock,
  rawBlockOf,
  recordedBlock,
  succeedsOrRefuses,
} from '../test/block-inputs.ts';
import { mutate } from '../test/mutation.ts';
import type { BlockDecodeInput } from './block-decoding.ts';
import { decodeLogBlock } from './decode-log-block.ts';
import { decodeMetricBlock } from './decode-metric-block.ts';
import { decodeAsyncSpanBlock, decodeThreadSpanBlock } from './decode-span-blocks.ts';
import { decodeUserDefinedTypes, encodeUserDefinedTypes } from './type-metadata.ts';

type Decode = (input: BlockDecodeInput) => { readonly count: number };

const decodeMetrics: Decode = (input) => decodeMetricBlock({ ...input, frequencyHz: 1e9 });

/** Small blocks that hold every kind of event and dependency. */
function syntheticRequests() {
  const recording = new RecordingBuilder();
  const thread = recording.addThread();
  const scope = { name: 'work', target: 'app', file: 'main.rs', line: 3 };
  thread.begin(scope, 1);
  thread.beginNamed(scope, 'dynamic', 2);
  thread.asyncBegin({ scope, spanId: 1, ticks: 3 });
  thread.asyncEnd({ scope, spanId: 1, name: 'task', ticks: 4 });
  thread.futureEvent(5);
  thread.endNamed(scope, 'dynamic', 6);
  thread.end(scope, 7);
  recording.log({ ticks: 1, target: 'app', message: 'constant', isConstant: true });
  recording.log({ ticks: 2, target: 'app', message: 'é', properties: { level: 'error', k: 'v' } });
  recording.log({ ticks: 3, message: 'plain' });
  recording.metric({ ticks: 1, name: 'n', unit: 'ticks', value: 5n });
  recording.metric({ ticks: 2, name: 'n', value: 0.5, properties: { unit: 'm', k: 'v' } });
  return recording.requests();
}

const requests = syntheticRequests();
const cases: readonly [string, RawBlock, Decode][] = [
  ['thread spans', rawBlockOf(requests, 'cpu'), decodeThreadSpanBlock],
  ['async spans', rawBlockOf(requests, 'cpu'), decodeAsyncSpanBlock],
  ['logs', rawBlockOf(requests, 'log'), decodeLogBlock],
  ['metrics', rawBlockOf(requests, 'metrics'), decodeMetrics],
  ['recorded thread spans', recordedBlock('open', 'cpu'), decodeThreadSpanBlock],
  ['recorded logs', recordedBlock('small', 'log'), decodeLogBlock],
  ['recorded metrics', recordedBlock('small', 'metrics'), decodeMetrics],
  ['recorded unreal-style logs', recordedBlock('unreal-cbor', 'log'), decodeLogBlock],
];

for (const [name, block, decode] of cases) {
  test(`${name} cut anywhere give fewer events or are refused`, () => {
    const whole = decode(inputOf(block)).count;
    let lastCount = 0;
    for (let length = 0; length < block.objects.length; length += 1) {
      const cut = inputOf({ ...block, objects: block.objects.subarray(0, length) });
      succeedsOrRefuses(() => {
        const { count } = decode(cut);
        assert(count >= lastCount && count <= whole);
        lastCount = count;
      });
    }
    for (let length = 0; length < block.dependencies.length; length += 1) {
      const dependencies = block.dependencies.subarray(0, length);
      // Cut at a record the objects may lack nothing they use.
      succeedsOrRefuses(() => decode(inputOf({ ...block, dependencies })));
    }
    assertRefuses(
      () => decode(inputOf({ ...block, dependencies: new Uint8Array(0) })),
      'transit.bad-record',
    );
  });

  test(`mutated ${name} decode or are refused, and nothing else happens`, () => {
    const random = seededRandom(name.length * 7919);
    console.log(`seed ${random.seed}`);
    const metadata = {
      dependenciesMetadata: encodeUserDefinedTypes(block.dependenciesMetadata),
      objectsMetadata: encodeUserDefinedTypes(block.objectsMetadata),
    };
    let refused = 0;
    const attempt = (damaged: () => RawBlock): void => {
      if (!succeedsOrRefuses(() => decode(inputOf(damaged())))) refused += 1;
    };
    for (let round = 0; round < 500; round += 1) {
      attempt(() => ({ ...block, objects: mutate(block.objects, random) }));
      attempt(() => ({ ...block, dependencies: mutate(block.dependencies, random) }));
    }
    for (let round = 0; round < 250; round += 1) {
      for (const field of ['dependenciesMetadata', 'objectsMetadata'] as const) {
        const types = mutate(metadata[field], random);
        attempt(() => ({ ...block, [field]: decodeUserDefinedTypes(types) }));
      }
    }
    assert(refused > 100, `${refused} refused`);
  });

  test(`types of ${name} with moved members decode or are refused`, () => {
    const random = seededRandom(name.length * 104_729);
    console.log(`seed ${random.seed}`);
    const extremes = [0, 1, 4, 7, 8, 16, 255, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER];
    for (let round = 0; round < 500; round += 1) {
      const change = <Item extends object>(item: Item, keys: (keyof Item)[]): Item => ({
        ...item,
        [random.pick(keys)]: random.pick(extremes),
      });
      const types = (list: readonly UserDefinedType[]): UserDefinedType[] => {
        const index = random.int(list.length);
        return list.map((type, at) => {
          if (at !== index) return type;
          if (type.members.length === 0 || random.int(4) === 0) return change(type, ['size']);
          const moved = random.int(type.members.length);
          const members = type.members.map((member, memberAt) =>
            memberAt === moved ? change(member, ['offset', 'size']) : member,
          );
          return { ...type, members };
        });
      };
      const { dependenciesMetadata, objectsMetadata } = block;
      succeedsOrRefuses(() =>
        decode(inputOf({ ...block, objectsMetadata: types(objectsMetadata) })),
      );
      succeedsOrRefuses(() =>
        decode(inputOf({ ...block, dependenciesMetadata: types(dependenciesMetadata) })),
      );
    }
  });
}

const [, threadBlock] = cases[0] ?? [];
assert(threadBlock !== undefined);
const [, logBlock] = cases[2] ?? [];
assert(logBlock !== undefined);

test('an event type past the declared ones is refused', () => {
  const block = { ...threadBlock, objects: hex('0a 00000000') };
  assertRefuses(() => decodeThreadSpanBlock(inputOf(block)), 'transit.bad-record');
});

test('events whose dependency is missing are refused, with the place', () => {
  const objects = hex('00 1122334455667788 0000000000000000');
  assert.throws(() => decodeThreadSpanBlock(inputOf({ ...threadBlock, objects })), {
    code: 'transit.bad-record',
    message: 'cannot decode objects at byte 1: dependency 0x8877665544332211 is missing',
    details: { field: 'objects', byteOffset: 1 },
  });
});

test('a dependency that is there twice is refused', () => {
  const { dependencies } = threadBlock;
  const twice = { ...threadBlock, dependencies: Buffer.concat([dependencies, dependencies]) };
  assertRefuses(() => decodeThreadSpanBlock(inputOf(twice)), 'transit.bad-record');
});

test('a dependency cannot refer to a later one', () => {
  const record = hex('00 0900000000000000'.concat('0100000000000000'.repeat(4), '00'.repeat(8)));
  const text = hex('02 09000000 0100000000000000 61');
  const objects = new Uint8Array(0);
  const decode = (...records: Uint8Array[]) =>
    decodeThreadSpanBlock(
      inputOf({ ...threadBlock, objects, dependencies: Buffer.concat(records) }),
    );
  assert.equal(decode(text, record).count, 0);
  assertRefuses(() => decode(record, text), 'transit.bad-record');
});

test('strings are refused for a bad codec, an odd wide size, a size past the instance, bad utf-8', () => {
  const decode = (...parts: string[]) =>
    decodeLogBlock(
      inputOf({ ...logBlock, objects: new Uint8Array(0), dependencies: hex(...parts) }),
    );
  assert.equal(decode('01 0f000000 0100000000000000 01 02000000 6100').count, 0);
  for (const bad of [
    '01 0f000000 0100000000000000 03 02000000 6100',
    '01 0e000000 0100000000000000 01 01000000 61',
    '01 0f000000 0100000000000000 02 03000000 6100',
    '01 0f000000 0100000000000000 02 ffffffff 6100',
    '01 0c000000 0100000000000000 02 000000',
    '00 0a000000 0100000000000000 c328',
    '00 07000000 01000000000000',
    '00 ffffffff 0100000000000000',
    '00 0800',
  ])
    assertRefuses(() => decode(bad), 'transit.bad-record');
});

test('a property count beyond the bytes there are is refused', () => {
  const dependencies = hex('03 0c000000 0100000000000000 ffffffff');
  const block = { ...logBlock, objects: new Uint8Array(0), dependencies };
  assertRefuses(() => decodeLogBlock(inputOf(block)), 'transit.bad-record');
});

test('a property named level must be the name of a level', () => {
  const recording = new RecordingBuilder();
  recording.log({ ticks: 1, message: '', properties: { level: 'warn' } });
  const block = rawBlockOf(recording.requests(), 'log');
  assertRefuses(() => decodeLogBlock(inputOf(block)), 'transit.bad-record');
});

test('declared types that cannot be decoded harm nobody until an event uses one', () => {
  const odd: UserDefinedType = {
    name: 'BeginThreadSpanEvent',
    size: 4,
    isReference: false,
    members: [{ name: 'time', typeName: 'i32', offset: 0, size: 4, isReference: false }],
  };
  const objectsMetadata = [...threadBlock.objectsMetadata, odd];
  const unused = decodeThreadSpanBlock(inputOf({ ...threadBlock, objectsMetadata }));
  assert.equal(unused.count, 4);
  const objects = hex(`${(objectsMetadata.length - 1).toString(16).padStart(2, '0')} 00000000`);
  const used = inputOf({ ...threadBlock, objectsMetadata, objects });
  assertRefuses(() => decodeThreadSpanBlock(used), 'transit.bad-metadata');
  assert.equal(decodeAsyncSpanBlock(used).count, 0);
});

test('events are counted by the records there are', () => {
  const columns = decodeThreadSpanBlock(inputOf(threadBlock));
  assert.deepEqual([columns.count, columns.skippedEvents], [4, 1]);
  assert.deepEqual([...columns.eventIds], [0n, 1n, 5n, 6n]);
});

test('many scopes that name one huge text are refused before they cost hours', () => {
  const recording = new RecordingBuilder();
  const thread = recording.addThread();
  const file = 'f'.repeat(1 << 20);
  for (let line = 0; line < 20; line += 1) thread.begin({ name: 'x', file, line }, line);
  const input = inputOf(rawBlockOf(recording.requests(), 'cpu'));
  const decodeWithin = (decompressedBytesMax: number) =>
    decodeThreadSpanBlock({ ...input, limits: { decompressedBytesMax } });
  assert.equal(decodeWithin(24 << 20).scopes.length, 20);
  assertRefuses(() => decodeWithin(8 << 20), 'transit.too-large');
});

test('many properties that name one huge text are refused before they fill the memory', () => {
  const recording = new RecordingBuilder();
  const value = 'v'.repeat(1 << 20);
  const properties = Object.fromEntries(
    Array.from({ length: 100 }, (_, key) => [`k${key}`, value]),
  );
  recording.log({ ticks: 1, message: '', properties });
  const block = rawBlockOf(recording.requests(), 'log');
  assertRefuses(() => decodeLogBlock(inputOf(block)), 'transit.too-large');
});

test('long texts of one length cost no more than their bytes, and equal ones share a code', () => {
  const recording = new RecordingBuilder();
  const filler = 'm'.repeat(17_000);
  for (let index = 0; index < 3500; index += 1)
    recording.log({ ticks: index, message: `${filler}${1000 + (index % 3000)}` });
  const input = inputOf(rawBlockOf(recording.requests(), 'log'));
  const started = process.cpuUsage();
  const columns = decodeLogBlock(input);
  const cpuMs = process.cpuUsage(started).user / 1000;
  assert.equal(new Set(columns.msg).size, 3000);
  assert.equal(columns.strings[columns.msg[3499] ?? -1], `${filler}1499`);
  // A map keyed by the texts themselves takes ten times as long, and four times that for twice as many.
  assert(cpuMs < 2000, `${cpuMs} ms`);
});

test('a bomb in either buffer is refused for the whole block', () => {
  const bomb = encodeLz4Frame(new Uint8Array(limits.decompressedBytesMax + 1));
  assert(bomb.length < 1 << 20);
  const input = inputOf(threadBlock);
  for (const field of ['dependencies', 'objects'] as const) {
    const payload = { ...input.payload, [field]: bomb };
    assertRefuses(() => decodeThreadSpanBlock({ ...input, payload }), 'transit.too-large');
  }
});

test('more records than a block may hold are refused before anything is made of them', () => {
  const input = inputOf(threadBlock);
  const decodeWithin = (recordsMax: number) =>
    decodeThreadSpanBlock({ ...input, limits: { ...limits, recordsMax } });
  assert.equal(decodeWithin(7).count, 4);
  const { count, skippedEvents } = decodeThreadSpanBlock(input);
  assertRefuses(() => decodeWithin(count + skippedEvents), 'transit.too-large');
});
