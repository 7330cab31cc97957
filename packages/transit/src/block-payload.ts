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

/** More than the map, its two keys and the two lengths take. */
const PAYLOAD_OVERHEAD_BYTES = 64;

/**
 * What `encodeBlockPayload` gives, in pieces that follow one another: the two buffers of the payload as they are, and
 * what stands before each. So that large ones need not be copied to be stored.
 */
export function blockPayloadPieces({ dependencies, objects }: BlockPayload): Uint8Array[] {
  const heads = new CborWriter({ sizeBytes: PAYLOAD_OVERHEAD_BYTES });
  let split = 0;
  heads.record({
    dependencies: () => {
      heads.bytesHead(dependencies.length);
      split = heads.length;
    },
    objects: () => heads.bytesHead(objects.length),
  });
  const bytes = heads.finish();
  return [bytes.subarray(0, split), dependencies, bytes.subarray(split), objects];
}

/**
 * Encodes a payload for the store, always as byte strings; equal payloads give equal bytes.
 *
 * Ownership: the bytes are the caller's with their whole ArrayBuffer, which may be sent to another thread.
 */
export function encodeBlockPayload({
  dependencies,
  objects,
}: BlockPayload): Uint8Array<ArrayBuffer> {
  const writer = new CborWriter({
    sizeBytes: PAYLOAD_OVERHEAD_BYTES + dependencies.length + objects.length,
  });
  writer.record({
    dependencies: () => writer.bytes(dependencies),
    objects: () => writer.bytes(objects),
  });
  return writer.finish();
}
