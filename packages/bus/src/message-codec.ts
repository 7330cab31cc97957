/** Bus messages as protobuf bytes. What comes in is parsed once, here: ids are ids and enums closed after it. */
import {
  assertUnreachable,
  errorMessage,
  nanoseconds,
  parseBlockId,
  parseProcessId,
  parseStreamId,
} from '@tracelake/domain';
import protobuf from 'protobufjs';
import { BusError } from './bus-error.ts';
import { MESSAGE_PROTO } from './message-schemas.ts';
import type { BusMessage, BusMessageKind } from './messages.ts';
import type { PartitionOutcome } from './subjects.ts';

/** The newest `schema_version` that this code reads, and the one it writes. */
export const SCHEMA_VERSIONS: Readonly<Record<BusMessageKind, number>> = {
  'process-inserted': 1,
  'stream-inserted': 1,
  'block-inserted': 1,
  'materialize-requested': 1,
  'partition-event': 1,
};

const { root } = protobuf.parse(MESSAGE_PROTO, { keepCase: true });
const TYPES: Readonly<Record<BusMessageKind, protobuf.Type>> = {
  'process-inserted': root.lookupType('tracelake.bus.ProcessInserted'),
  'stream-inserted': root.lookupType('tracelake.bus.StreamInserted'),
  'block-inserted': root.lookupType('tracelake.bus.BlockInserted'),
  'materialize-requested': root.lookupType('tracelake.bus.MaterializeRequested'),
  'partition-event': root.lookupType('tracelake.bus.PartitionEvent'),
};
const OUTCOME_NUMBERS: Readonly<Record<PartitionOutcome, number>> = {
  written: 1,
  current: 2,
  failed: 3,
};

export function encodeMessage(message: BusMessage): Uint8Array {
  const fields = { schema_version: SCHEMA_VERSIONS[message.kind], ...wireFields(message) };
  return TYPES[message.kind].encode(fields).finish();
}

/**
 * Reads a message by the subject it came on. Fields that are not known are skipped.
 * Throws `bus.malformed-message` and `bus.unsupported-schema-version`.
 */
export function decodeMessage(subject: string, data: Uint8Array): BusMessage {
  const kind = kindOfSubject(subject);
  if (kind === undefined) throw malformed(`no message is known on subject ${subject}`);
  let decoded: unknown;
  try {
    decoded = TYPES[kind].decode(data);
  } catch (cause) {
    throw malformed(`cannot decode ${kind}: ${errorMessage(cause)}`, cause);
  }
  const fields = new WireFields(kind, decoded as Readonly<Record<string, unknown>>);
  const version = fields.number('schema_version');
  if (version > SCHEMA_VERSIONS[kind]) {
    throw new BusError(
      'bus.unsupported-schema-version',
      `${kind} has schema version ${version}; this service reads up to ${SCHEMA_VERSIONS[kind]}`,
      { details: { kind, version } },
    );
  }
  if (version < 1) throw malformed(`${kind} has no schema version`);
  return readMessage(kind, fields);
}

function wireFields(message: BusMessage): Record<string, unknown> {
  switch (message.kind) {
    case 'process-inserted':
      return {
        process_id: message.processId,
        insert_time_us: longOf(message.insertTimeUs),
      };
    case 'stream-inserted':
      return {
        process_id: message.processId,
        stream_id: message.streamId,
        tags: message.tags,
        insert_time_us: longOf(message.insertTimeUs),
      };
    case 'block-inserted':
      return {
        process_id: message.processId,
        stream_id: message.streamId,
        block_id: message.blockId,
        tags: message.tags,
        insert_time_us: longOf(message.insertTimeUs),
        object_count: message.objectCount,
        payload_bytes: message.payloadBytes,
      };
    case 'materialize-requested':
      return {
        process_id: message.processId,
        view_set: message.viewSet,
        instance: message.instance,
        ...(message.beginNs === undefined ? {} : { begin_ns: longOf(message.beginNs) }),
        ...(message.endNs === undefined ? {} : { end_ns: longOf(message.endNs) }),
        wanted_hash: message.wantedHash,
        attempt: message.attempt,
        schema_hash: message.schemaHash ?? '',
      };
    case 'partition-event':
      return {
        view_set: message.viewSet,
        instance: message.instance,
        outcome: OUTCOME_NUMBERS[message.outcome],
        partition_id: message.partitionId ?? '',
        source_hash: message.sourceHash,
        error_code: message.errorCode ?? '',
        error_message: message.errorMessage ?? '',
      };
    default:
      return assertUnreachable(message);
  }
}

function readMessage(kind: BusMessageKind, fields: WireFields): BusMessage {
  switch (kind) {
    case 'process-inserted':
      return {
        kind,
        processId: fields.id('process_id', parseProcessId),
        insertTimeUs: fields.bigint('insert_time_us'),
      };
    case 'stream-inserted':
      return {
        kind,
        processId: fields.id('process_id', parseProcessId),
        streamId: fields.id('stream_id', parseStreamId),
        tags: fields.texts('tags'),
        insertTimeUs: fields.bigint('insert_time_us'),
      };
    case 'block-inserted':
      return {
        kind,
        processId: fields.id('process_id', parseProcessId),
        streamId: fields.id('stream_id', parseStreamId),
        blockId: fields.id('block_id', parseBlockId),
        tags: fields.texts('tags'),
        insertTimeUs: fields.bigint('insert_time_us'),
        objectCount: fields.number('object_count'),
        payloadBytes: fields.number('payload_bytes'),
      };
    case 'materialize-requested':
      return {
        kind,
        processId: fields.id('process_id', parseProcessId),
        viewSet: fields.requiredText('view_set'),
        instance: fields.requiredText('instance'),
        beginNs: fields.has('begin_ns') ? nanoseconds(fields.bigint('begin_ns')) : undefined,
        endNs: fields.has('end_ns') ? nanoseconds(fields.bigint('end_ns')) : undefined,
        wantedHash: fields.text('wanted_hash'),
        attempt: fields.number('attempt'),
        ...(fields.text('schema_hash') === '' ? {} : { schemaHash: fields.text('schema_hash') }),
      };
    case 'partition-event':
      return readPartitionEvent(fields);
    default:
      return assertUnreachable(kind);
  }
}

function readPartitionEvent(fields: WireFields): BusMessage {
  const number = fields.number('outcome');
  const outcomes = Object.keys(OUTCOME_NUMBERS) as PartitionOutcome[];
  const outcome = outcomes.find((name) => OUTCOME_NUMBERS[name] === number);
  if (outcome === undefined) throw malformed(`partition-event has the unknown outcome ${number}`);
  const optional = (name: string, key: string) =>
    fields.text(name) === '' ? {} : { [key]: fields.text(name) };
  return {
    kind: 'partition-event',
    viewSet: fields.requiredText('view_set'),
    instance: fields.requiredText('instance'),
    outcome,
    sourceHash: fields.text('source_hash'),
    ...optional('partition_id', 'partitionId'),
    ...optional('error_code', 'errorCode'),
    ...optional('error_message', 'errorMessage'),
  };
}

function kindOfSubject(subject: string): BusMessageKind | undefined {
  if (subject.startsWith('telemetry.process.inserted.')) return 'process-inserted';
  if (subject.startsWith('telemetry.stream.inserted.')) return 'stream-inserted';
  if (subject.startsWith('telemetry.block.inserted.')) return 'block-inserted';
  if (subject.startsWith('materialize.requested.')) return 'materialize-requested';
  if (subject.startsWith('partition.')) return 'partition-event';
  return undefined;
}

/** The fields of a decoded message; each reader says what it expects and throws `bus.malformed-message`. */
class WireFields {
  readonly #kind: BusMessageKind;
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(kind: BusMessageKind, values: Readonly<Record<string, unknown>>) {
    this.#kind = kind;
    this.#values = values;
  }

  /** Whether an `optional` field was sent: only then it is the message's own property. */
  has(name: string): boolean {
    return Object.hasOwn(this.#values, name);
  }

  text(name: string): string {
    const value = this.#values[name];
    return typeof value === 'string' ? value : this.#refuse(name);
  }

  requiredText(name: string): string {
    return this.text(name) || this.#refuse(name);
  }

  texts(name: string): string[] {
    const value = this.#values[name];
    if (!Array.isArray(value)) return this.#refuse(name);
    return value.map((item) => (typeof item === 'string' ? item : this.#refuse(name)));
  }

  number(name: string): number {
    const value = this.#values[name];
    const number = typeof value === 'number' ? value : Number(this.bigint(name));
    return Number.isSafeInteger(number) ? number : this.#refuse(name);
  }

  bigint(name: string): bigint {
    const value = this.#values[name];
    if (typeof value === 'number') return BigInt(value);
    if (!isLong(value)) return this.#refuse(name);
    const low = BigInt(value.low >>> 0);
    return value.unsigned
      ? (BigInt(value.high >>> 0) << 32n) | low
      : (BigInt(value.high) << 32n) | low;
  }

  id<Id extends string>(name: string, parse: (text: string) => Id | undefined): Id {
    return parse(this.text(name)) ?? this.#refuse(name);
  }

  #refuse(name: string): never {
    throw malformed(`${this.#kind} has no valid ${name}`);
  }
}

/** 64-bit integers as protobufjs takes and gives them. */
interface Long {
  readonly low: number;
  readonly high: number;
  readonly unsigned: boolean;
}

function isLong(value: unknown): value is Long {
  return typeof value === 'object' && value !== null && 'low' in value && 'high' in value;
}

function longOf(value: bigint): Long {
  return {
    low: Number(BigInt.asIntN(32, value)),
    high: Number(BigInt.asIntN(32, value >> 32n)),
    unsigned: false,
  };
}

function malformed(message: string, cause?: unknown): BusError {
  return new BusError('bus.malformed-message', message, { cause });
}
