import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureExists, nanoseconds, parseProcessId } from '@tracelake/domain';
import { seededRandom } from '@tracelake/test-kit';
import protobuf from 'protobufjs';
import { blockInserted, materializeRequested, newProcessId } from '../test/bus-rig.ts';
import { BusError } from './bus-error.ts';
import { decodeMessage, encodeMessage } from './message-codec.ts';
import { MESSAGE_PROTO } from './message-schemas.ts';
import { type BusMessage, messageIdOf, subjectOf } from './messages.ts';

const PROCESS_ID = ensureExists(
  parseProcessId('01234567-89ab-cdef-0123-456789abcdef'),
  'the process id',
);

function examples(): BusMessage[] {
  const block = blockInserted(PROCESS_ID);
  return [
    { kind: 'process-inserted', processId: PROCESS_ID, insertTimeUs: 1_763_690_000_000_001n },
    {
      kind: 'stream-inserted',
      processId: PROCESS_ID,
      streamId: block.streamId,
      tags: ['cpu', 'main thread'],
      insertTimeUs: -1n,
    },
    { kind: 'block-inserted', ...block, payloadBytes: 5_000_000_000 },
    { kind: 'block-inserted', ...block, tags: [], objectCount: 0, insertTimeUs: 0n },
    { kind: 'materialize-requested', ...materializeRequested({ attempt: 3 }) },
    {
      kind: 'materialize-requested',
      ...materializeRequested({ schemaHash: 'of the release before' }),
    },
    {
      kind: 'materialize-requested',
      ...materializeRequested({
        beginNs: nanoseconds(1_763_690_000_009_592_065n),
        endNs: nanoseconds(-(2n ** 63n)),
      }),
    },
    { kind: 'materialize-requested', ...materializeRequested({ beginNs: nanoseconds(0n) }) },
    {
      kind: 'partition-event',
      viewSet: 'thread_spans',
      instance: PROCESS_ID,
      outcome: 'written',
      partitionId: 'p1',
      sourceHash: 'abc',
    },
    {
      kind: 'partition-event',
      viewSet: 'async_events',
      instance: 'global',
      outcome: 'failed',
      sourceHash: '',
      errorCode: 'lakehouse.bad-instance',
      errorMessage: 'nö',
    },
  ];
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof BusError && error.code === code;
}

test('every kind of message comes back from its bytes, to the nanosecond', () => {
  for (const message of examples()) {
    const decoded = decodeMessage(subjectOf(message, 8), encodeMessage(message));
    assert.deepEqual(decoded, message);
  }
});

test('fields of a later schema are skipped', () => {
  const later = `${MESSAGE_PROTO}`.replace(
    'uint64 payload_bytes = 8;',
    'uint64 payload_bytes = 8; string colour = 90; repeated int64 numbers = 91;',
  );
  const type = protobuf.parse(later, { keepCase: true }).root.lookupType('BlockInserted');
  const block = blockInserted(PROCESS_ID);
  const message: BusMessage = { kind: 'block-inserted', ...block };
  const known = type.decode(encodeMessage(message));
  const bytes = type.encode({ ...known, colour: 'red', numbers: [1, 2] }).finish();
  assert.ok(bytes.length > encodeMessage(message).length);
  assert.deepEqual(decodeMessage(subjectOf(message, 8), bytes), message);
});

test('a message of a newer, breaking schema is refused by name', () => {
  const type = protobuf.parse(MESSAGE_PROTO, { keepCase: true }).root.lookupType('ProcessInserted');
  const bytes = type.encode({ schema_version: 2, process_id: PROCESS_ID }).finish();
  assert.throws(
    () => decodeMessage('telemetry.process.inserted.0.x', bytes),
    (error) =>
      hasCode('bus.unsupported-schema-version')(error) &&
      /process-inserted has schema version 2; this service reads up to 1/.test(String(error)),
  );
});

test('messages that say nothing usable are refused', () => {
  const type = protobuf.parse(MESSAGE_PROTO, { keepCase: true }).root;
  const encode = (name: string, fields: object): Uint8Array =>
    type.lookupType(name).encode(fields).finish();
  const process = 'telemetry.process.inserted.0.x';
  const cases: [subject: string, data: Uint8Array][] = [
    [process, new Uint8Array()],
    [process, encode('ProcessInserted', { schema_version: 1 })],
    [process, encode('ProcessInserted', { schema_version: 1, process_id: '../../etc' })],
    [process, encode('ProcessInserted', { process_id: PROCESS_ID })],
    ['partition.x.y.z', encode('PartitionEvent', { schema_version: 1 })],
    [
      'partition.x.y.z',
      encode('PartitionEvent', { schema_version: 1, view_set: 'v', instance: 'i', outcome: 9 }),
    ],
    ['materialize.requested.0.v', encode('MaterializeRequested', { schema_version: 1 })],
    ['something.else', encode('ProcessInserted', { schema_version: 1, process_id: PROCESS_ID })],
  ];
  for (const [subject, data] of cases) {
    assert.throws(() => decodeMessage(subject, data), hasCode('bus.malformed-message'), subject);
  }
});

test('truncated and random bytes give a message or a typed error, never anything else', () => {
  const seed = 20_261_121;
  const random = seededRandom(seed);
  const decodeAny = (subject: string, data: Uint8Array): void => {
    try {
      decodeMessage(subject, data);
    } catch (error) {
      assert.ok(error instanceof BusError, `seed ${seed}: ${String(error)}`);
    }
  };
  for (const message of examples()) {
    const subject = subjectOf(message, 8);
    const bytes = encodeMessage(message);
    for (let length = 0; length < bytes.length; length++) {
      decodeAny(subject, bytes.slice(0, length));
    }
    for (let round = 0; round < 300; round++) {
      const damaged = bytes.slice();
      for (let count = 0; count <= random.int(4); count++) {
        damaged[random.int(damaged.length)] = random.int(256);
      }
      decodeAny(subject, damaged);
    }
  }
});

test('telemetry messages carry their kind and id as message id', () => {
  const block = blockInserted();
  assert.equal(messageIdOf({ kind: 'block-inserted', ...block }), `block:${block.blockId}`);
  assert.equal(
    messageIdOf({ kind: 'process-inserted', processId: PROCESS_ID, insertTimeUs: 0n }),
    `process:${PROCESS_ID}`,
  );
  const { streamId } = block;
  assert.equal(
    messageIdOf({
      kind: 'stream-inserted',
      processId: PROCESS_ID,
      streamId,
      tags: [],
      insertTimeUs: 0n,
    }),
    `stream:${streamId}`,
  );
});

test('a request is the same only if view, instance, range, wanted source and attempt are', () => {
  const base = materializeRequested({ instance: 'i' });
  const idOf = (fields: object): string | undefined =>
    messageIdOf({ kind: 'materialize-requested', ...base, ...fields });
  assert.equal(idOf({}), idOf({}));
  assert.equal(idOf({}), idOf({ processId: newProcessId() }));
  const others = [
    idOf({ viewSet: 'async_events' }),
    idOf({ instance: 'j' }),
    idOf({ beginNs: nanoseconds(0n) }),
    idOf({ endNs: nanoseconds(0n) }),
    idOf({ wantedHash: 'other' }),
    idOf({ schemaHash: 'other' }),
    idOf({ attempt: 1 }),
  ];
  assert.equal(new Set([idOf({}), ...others]).size, others.length + 1);
});
