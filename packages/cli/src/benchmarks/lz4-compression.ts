/** LZ4 frames as clients send them, for benchmarks that make their own blocks: greedy, independent parts of 64 KiB. */

import { xxh32 } from '@tracelake/transit';

const PART_BYTES = 64 * 1024;
const HASH_BITS = 13;
const MATCH_BYTES_MIN = 4;
/** The last match must begin this far before the end, and the last 5 bytes are literals. */
const TAIL_BYTES = 12;
const STORED = 0x8000_0000;

/** One frame without checksums of its content. */
export function compressLz4Frame(bytes: Uint8Array): Uint8Array {
  const descriptor = Uint8Array.of(0b0110_0000, 0x40);
  const check = (xxh32(descriptor) >>> 8) & 0xff;
  const parts: Uint8Array[] = [Uint8Array.of(0x04, 0x22, 0x4d, 0x18, ...descriptor, check)];
  for (let start = 0; start < bytes.length; start += PART_BYTES) {
    const raw = bytes.subarray(start, start + PART_BYTES);
    const packed = compressPart(raw);
    const isSmaller = packed.length < raw.length;
    parts.push(uint32(isSmaller ? packed.length : raw.length + STORED), isSmaller ? packed : raw);
  }
  parts.push(uint32(0));
  return Buffer.concat(parts);
}

function compressPart(raw: Uint8Array): Uint8Array {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const output = new PartWriter(raw.length);
  const lastSeen = new Int32Array(1 << HASH_BITS).fill(-1);
  let literalsFrom = 0;
  let at = 0;
  while (at < raw.length - TAIL_BYTES) {
    const word = view.getInt32(at, true);
    const slot = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
    const candidate = lastSeen[slot] ?? -1;
    lastSeen[slot] = at;
    if (candidate < 0 || view.getInt32(candidate, true) !== word) {
      at += 1;
      continue;
    }
    let end = at + MATCH_BYTES_MIN;
    while (end < raw.length - 5 && raw[candidate + end - at] === raw[end]) end += 1;
    output.sequence(raw.subarray(literalsFrom, at), { offset: at - candidate, length: end - at });
    at = end;
    literalsFrom = at;
  }
  output.sequence(raw.subarray(literalsFrom), undefined);
  return output.bytes();
}

class PartWriter {
  readonly #bytes: Buffer;
  #length = 0;

  constructor(rawLength: number) {
    this.#bytes = Buffer.allocUnsafe(rawLength + Math.ceil(rawLength / 255) + 16);
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Literals, and the match after them unless they are the last of the part. */
  sequence(
    literals: Uint8Array,
    match: { readonly offset: number; readonly length: number } | undefined,
  ): void {
    const beyondMin = match === undefined ? 0 : match.length - MATCH_BYTES_MIN;
    const token = (Math.min(literals.length, 15) << 4) | Math.min(beyondMin, 15);
    this.#length = this.#bytes.writeUInt8(token, this.#length);
    this.#extraLength(literals.length);
    this.#bytes.set(literals, this.#length);
    this.#length += literals.length;
    if (match === undefined) return;
    this.#length = this.#bytes.writeUInt16LE(match.offset, this.#length);
    this.#extraLength(beyondMin);
  }

  /** What of a length does not fit the token's four bits. */
  #extraLength(value: number): void {
    if (value < 15) return;
    let rest = value - 15;
    for (; rest >= 255; rest -= 255) this.#length = this.#bytes.writeUInt8(255, this.#length);
    this.#length = this.#bytes.writeUInt8(rest, this.#length);
  }
}

function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
