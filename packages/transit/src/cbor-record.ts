/** Maps with known text keys, and the field kinds that envelopes are made of. */
import {
  type BlockId,
  type Nanoseconds,
  type ProcessId,
  parseBlockId,
  parseProcessId,
  parseRfc3339,
  parseStreamId,
  type StreamId,
} from '@tracelake/domain';
import type { CborReader } from './cbor-reader.ts';

type FieldReaders = Readonly<Record<string, (reader: CborReader) => unknown>>;
type FieldValues<Schema extends FieldReaders> = {
  [Key in keyof Schema]: ReturnType<Schema[Key]>;
};

/** Longer than any key of a schema. */
const KEY_CHARACTERS_MAX = 64;

/**
 * Reads a map whose keys are the schema's, in any order. Every key of the schema must be there once;
 * others are passed over.
 */
export function readRecord<Schema extends FieldReaders>(
  reader: CborReader,
  schema: Schema,
): FieldValues<Schema> {
  const start = reader.position;
  const values = new Map<string, unknown>();
  const declared = reader.readMapHead();
  for (let index = 0; reader.hasNext(declared, index); index += 1) {
    const key = reader.readKey();
    const isKnown =
      key !== undefined && key.length <= KEY_CHARACTERS_MAX && Object.hasOwn(schema, key);
    const readField = isKnown ? schema[key] : undefined;
    if (key === undefined || readField === undefined) {
      reader.skip();
      continue;
    }
    reader.enter(key);
    if (values.has(key)) reader.fail('transit.bad-field', 'the field is there twice');
    values.set(key, readField(reader));
    reader.leave();
  }
  for (const key of Object.keys(schema)) {
    if (values.has(key)) continue;
    reader.enter(key);
    reader.fail('transit.missing-field', 'the field is missing', start);
  }
  return Object.fromEntries(values) as FieldValues<Schema>;
}

export function readArray<Item>(
  reader: CborReader,
  readItem: (reader: CborReader) => Item,
): Item[] {
  const items: Item[] = [];
  const declared = reader.readArrayHead();
  for (let index = 0; reader.hasNext(declared, index); index += 1) {
    reader.enter(index);
    items.push(readItem(reader));
    reader.leave();
  }
  return items;
}

/** Reads text that the store can keep: Postgres takes any character but NUL. */
export function readText(reader: CborReader): string {
  const text = reader.readText();
  if (text.includes('\0')) reader.fail('transit.bad-field', 'expected text without NUL characters');
  return text;
}

export function readTexts(reader: CborReader): string[] {
  return readArray(reader, readText);
}

/**
 * V8 hashes longer strings by their length alone: a map of many equally long ones would take time that grows
 * with the square of their number.
 */
const PROPERTY_NAME_CHARACTERS_MAX = 16_000;

/** Clients have dozens; whoever keeps them has a limit of its own, far below. */
const PROPERTIES_MAX = 1 << 16;

/** Reads a map of text to text; of a key that is there twice the last value counts. */
export function readProperties(reader: CborReader): Record<string, string> {
  const entries = new Map<string, string>();
  const declared = reader.readMapHead();
  for (let index = 0; reader.hasNext(declared, index); index += 1) {
    if (index === PROPERTIES_MAX)
      reader.fail('transit.bad-field', `there are more than ${PROPERTIES_MAX}`);
    const key = readText(reader);
    reader.enter(key);
    if (key.length > PROPERTY_NAME_CHARACTERS_MAX)
      reader.fail('transit.bad-field', 'the name of a property is absurdly long');
    entries.set(key, readText(reader));
    reader.leave();
  }
  return Object.fromEntries(entries);
}

/** The server's own namespace: what clients put there is dropped. */
const RESERVED_PROPERTY_PREFIX = 'micromegas.';

export function withoutReservedProperties(
  properties: Record<string, string>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(properties).filter(([key]) => !key.startsWith(RESERVED_PROPERTY_PREFIX)),
  );
}

export function readInt64(reader: CborReader): bigint {
  return reader.readInt64();
}

/** Counts and offsets of events start at zero in every client. */
export function readEventCount(reader: CborReader): bigint {
  const value = reader.readInt64();
  if (value < 0n) reader.fail('transit.bad-field', `expected zero or more, found ${value}`);
  return value;
}

export function readInt32Count(reader: CborReader): number {
  const value = readEventCount(reader);
  if (value > 0x7fff_ffffn)
    reader.fail('transit.bad-field', 'expected a 32-bit count, found one out of range');
  return Number(value);
}

/** Reads an RFC 3339 time, exact to the nanosecond, within what 64 bits of nanoseconds hold. */
export function readTime(reader: CborReader): Nanoseconds {
  const text = reader.readText();
  const time = parseRfc3339(text);
  if (time === undefined) reader.fail('transit.bad-field', 'expected an rfc 3339 time');
  if (time !== BigInt.asIntN(64, time))
    reader.fail('transit.bad-field', 'expected a time between the years 1678 and 2261');
  return time;
}

export function readProcessId(reader: CborReader): ProcessId {
  return parseProcessId(reader.readText()) ?? failUuid(reader);
}

export function readStreamId(reader: CborReader): StreamId {
  return parseStreamId(reader.readText()) ?? failUuid(reader);
}

export function readBlockId(reader: CborReader): BlockId {
  return parseBlockId(reader.readText()) ?? failUuid(reader);
}

/** Null and the empty text both say that there is no parent. */
export function readOptionalProcessId(reader: CborReader): ProcessId | undefined {
  if (reader.takeNull()) return undefined;
  const text = reader.readText();
  return text === '' ? undefined : (parseProcessId(text) ?? failUuid(reader));
}

function failUuid(reader: CborReader): never {
  return reader.fail('transit.bad-field', 'expected a uuid');
}
