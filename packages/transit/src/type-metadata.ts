/** Type metadata of a stream: the layouts of the records in its blocks, as the envelope and the store hold them. */
import type { UserDefinedType, UserDefinedTypeMember } from '@tracelake/domain';
import { CborReader } from './cbor-reader.ts';
import { readArray, readRecord } from './cbor-record.ts';
import { CborWriter } from './cbor-writer.ts';
import { checkTypeNesting, FLAT_MEMBERS_MAX, TYPES_MAX } from './type-nesting.ts';

const rawText = (reader: CborReader): string => reader.readText();
const rawUint = (reader: CborReader): number => reader.readSafeUint();
const rawBool = (reader: CborReader): boolean => reader.readBool();

function readMember(reader: CborReader): UserDefinedTypeMember {
  const member = readRecord(reader, {
    name: rawText,
    type_name: rawText,
    offset: rawUint,
    size: rawUint,
    is_reference: rawBool,
  });
  return {
    name: member.name,
    typeName: member.type_name,
    offset: member.offset,
    size: member.size,
    isReference: member.is_reference,
  };
}

/** Fails at the first item too many, before a million of them are held. */
function atMost<Item>(
  limit: number,
  readItem: (reader: CborReader) => Item,
): (reader: CborReader) => Item {
  let count = 0;
  return (reader) => {
    count += 1;
    if (count > limit) reader.fail('transit.bad-metadata', `there are more than ${limit}`);
    return readItem(reader);
  };
}

function readType(reader: CborReader): UserDefinedType {
  const type = readRecord(reader, {
    name: rawText,
    size: rawUint,
    members: (memberReader) => readArray(memberReader, atMost(FLAT_MEMBERS_MAX, readMember)),
    is_reference: rawBool,
  });
  return {
    name: type.name,
    size: type.size,
    isReference: type.is_reference,
    members: type.members,
  };
}

/** Reads an array of types and refuses one whose types contain themselves. */
export function readUserDefinedTypes(reader: CborReader): UserDefinedType[] {
  const types = readArray(reader, atMost(TYPES_MAX, readType));
  checkTypeNesting(types, reader.field);
  return types;
}

/**
 * Decodes stream metadata as the store keeps it.
 *
 * Errors: any `TransitDecodeError` of the envelope decoders; `transit.bad-metadata` for types that contain
 * themselves or nest beyond reason.
 */
export function decodeUserDefinedTypes(bytes: Uint8Array): UserDefinedType[] {
  return readUserDefinedTypes(new CborReader(bytes));
}

/** Encodes stream metadata for the store; equal types give equal bytes. */
export function encodeUserDefinedTypes(types: readonly UserDefinedType[]): Uint8Array {
  const writer = new CborWriter();
  writeUserDefinedTypes(writer, types);
  return writer.finish();
}

export function writeUserDefinedTypes(writer: CborWriter, types: readonly UserDefinedType[]): void {
  writer.array(types, (type) => {
    writer.record({
      name: () => writer.text(type.name),
      size: () => writer.integer(type.size),
      members: () => writer.array(type.members, (member) => writeMember(writer, member)),
      is_reference: () => writer.bool(type.isReference),
    });
  });
}

function writeMember(writer: CborWriter, member: UserDefinedTypeMember): void {
  writer.record({
    name: () => writer.text(member.name),
    type_name: () => writer.text(member.typeName),
    offset: () => writer.integer(member.offset),
    size: () => writer.integer(member.size),
    is_reference: () => writer.bool(member.isReference),
  });
}
