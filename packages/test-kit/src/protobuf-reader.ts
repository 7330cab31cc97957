/**
 * Reads protobuf without a schema. Written for checking what the encoders write, so it shares nothing
 * with them and throws on anything that is not well formed.
 */

export interface ProtobufField {
  readonly number: number;
  /** A varint or fixed value; 0n for a field with bytes. */
  readonly value: bigint;
  /** The content of a length-delimited field. */
  readonly bytes: Uint8Array | undefined;
}

/** The fields of a message in the order they stand. */
export function* readFields(message: Uint8Array): Generator<ProtobufField> {
  let at = 0;
  while (at < message.length) {
    const tag = readVarint(message, at);
    at = tag.next;
    const number = Number(tag.value >> 3n);
    const wireType = Number(tag.value & 7n);
    if (number === 0) throw new Error(`field number 0 at byte ${at}`);
    if (wireType === 0) {
      const varint = readVarint(message, at);
      at = varint.next;
      yield { number, value: varint.value, bytes: undefined };
    } else if (wireType === 2) {
      const length = readVarint(message, at);
      const end = length.next + Number(length.value);
      if (end > message.length) throw new Error(`field ${number} runs past the end of its message`);
      yield { number, value: 0n, bytes: message.subarray(length.next, end) };
      at = end;
    } else {
      throw new Error(`field ${number} has the unexpected wire type ${wireType}`);
    }
  }
}

export function readVarint(
  bytes: Uint8Array,
  start: number,
): { readonly value: bigint; readonly next: number } {
  let value = 0n;
  for (let at = start, shift = 0n; shift < 70n; at += 1, shift += 7n) {
    const byte = bytes[at];
    if (byte === undefined) throw new Error(`varint truncated at byte ${at}`);
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return { value: BigInt.asUintN(64, value), next: at + 1 };
  }
  throw new Error(`varint longer than ten bytes at byte ${start}`);
}
