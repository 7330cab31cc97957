import type { BlockPayload } from '@tracelake/domain';
import { CborReader } from './cbor-reader.ts';
import { readRecord } from './cbor-record.ts';
import { CborWriter } from './cbor-writer.ts';

const readBuffer = (reader: CborReader): Uint8Array => reader.readBytesOrLegacyArray();

export function readBlockPayload(reader: CborReader): BlockPayload {
  return readRecord(reader, { dependencies: readBuffer, objects: readBuffer });
}

/**
 * Decodes a payload as the store holds it, in either form: byte strings, or the legacy arrays of integers.
 *
 * Ownership: byte strings come back as views of `bytes`.
 * Errors: `TransitDecodeError`, naming the field.
 */
export function decodeBlockPayload(bytes: Uint8Array): BlockPayload {
  return readBlockPayload(new CborReader(bytes));
}

/** Encodes a payload for the store, always as byte strings; equal payloads give equal bytes. */
export function encodeBlockPayload(payload: BlockPayload): Uint8Array {
  const writer = new CborWriter();
  writer.record({
    dependencies: () => writer.bytes(payload.dependencies),
    objects: () => writer.bytes(payload.objects),
  });
  return writer.finish();
}
