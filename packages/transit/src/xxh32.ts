/** xxHash, 32 bits: scope hashes chain it, LZ4 frames carry it in their checksums. */

const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

/**
 * Returns the unsigned 32-bit hash of `bytes`.
 * Source: xxHash specification 0.1.1, section "XXH32 algorithm description".
 */
export function xxh32(bytes: Uint8Array, seed = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length;
  let position = 0;
  let hash: number;
  if (length >= 16) {
    let a = (seed + PRIME_1 + PRIME_2) | 0;
    let b = (seed + PRIME_2) | 0;
    let c = seed | 0;
    let d = (seed - PRIME_1) | 0;
    for (; position <= length - 16; position += 16) {
      a = round(a, view.getInt32(position, true));
      b = round(b, view.getInt32(position + 4, true));
      c = round(c, view.getInt32(position + 8, true));
      d = round(d, view.getInt32(position + 12, true));
    }
    hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
  } else {
    hash = seed + PRIME_5;
  }
  hash = (hash + length) | 0;
  for (; position <= length - 4; position += 4)
    hash = Math.imul(rotate(hash + Math.imul(view.getInt32(position, true), PRIME_3), 17), PRIME_4);
  for (; position < length; position += 1)
    hash = Math.imul(rotate(hash + Math.imul(view.getUint8(position), PRIME_5), 11), PRIME_1);
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
  hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function round(accumulator: number, lane: number): number {
  return Math.imul(rotate(accumulator + Math.imul(lane, PRIME_2), 13), PRIME_1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
