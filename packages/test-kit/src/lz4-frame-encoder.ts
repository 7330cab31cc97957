/** A small LZ4 frame encoder: greedy, one hash table, blocks of 64 KiB. Ratio does not matter here, validity does. */
import { xxh32 } from '@tracelake/transit';

export interface Lz4FrameOptions {
  /** False stores the blocks as they are, which is the fastest. */
  readonly compress?: boolean;
  readonly blockChecksums?: boolean;
  readonly contentChecksum?: boolean;
}

const BLOCK_BYTES = 64 * 1024;
const HASH_BITS = 13;
const MATCH_BYTES_MIN = 4;
/** The last match must begin this far before the end, and the last 5 bytes are literals. */
const TAIL_BYTES = 12;

/** Encodes one frame with independent blocks; checksums are on unless switched off. */
export function encodeLz4Frame(bytes: Uint8Array, options: Lz4FrameOptions = {}): Uint8Array {
  const { compress = true, blockChecksums = true, contentChecksum = true } = options;
  const header = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0b0110_0000, 0x40, 0]);
  if (blockChecksums) header[4] = (header[4] ?? 0) | 0b1_0000;
  if (contentChecksum) header[4] = (header[4] ?? 0) | 0b100;
  header[6] = (xxh32(header.subarray(4, 6)) >>> 8) & 0xff;
  const parts: Uint8Array[] = [header];
  for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
    const raw = bytes.subarray(start, start + BLOCK_BYTES);
    const compressed = compress ? compressBlock(raw) : raw;
    const isStored = compressed.length >= raw.length;
    const block = isStored ? raw : compressed;
    parts.push(uint32(isStored ? (block.length | 0x8000_0000) >>> 0 : block.length), block);
    if (blockChecksums) parts.push(uint32(xxh32(block)));
  }
  parts.push(uint32(0));
  if (contentChecksum) parts.push(uint32(xxh32(bytes)));
  return Buffer.concat(parts);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function compressBlock(raw: Uint8Array): Uint8Array {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const output = Buffer.allocUnsafe(raw.length + Math.ceil(raw.length / 255) + 16);
  const table = new Int32Array(1 << HASH_BITS).fill(-1);
  const matchLimit = raw.length - TAIL_BYTES;
  let length = 0;
  let anchor = 0;
  let at = 0;
  while (at < matchLimit) {
    const word = view.getInt32(at, true);
    const hash = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
    const candidate = table[hash] ?? -1;
    table[hash] = at;
    if (candidate < 0 || view.getInt32(candidate, true) !== word) {
      at += 1;
      continue;
    }
    let matchLength = MATCH_BYTES_MIN;
    while (
      at + matchLength < raw.length - 5 &&
      raw[candidate + matchLength] === raw[at + matchLength]
    )
      matchLength += 1;
    length = writeLiterals(output, length, raw.subarray(anchor, at), matchLength);
    length = output.writeUInt16LE(at - candidate, length);
    length = writeLength(output, length, matchLength - MATCH_BYTES_MIN);
    at += matchLength;
    anchor = at;
  }
  length = writeLiterals(output, length, raw.subarray(anchor), MATCH_BYTES_MIN);
  return output.subarray(0, length);
}

function writeLiterals(
  output: Buffer,
  start: number,
  literals: Uint8Array,
  matchLength: number,
): number {
  const matchCode = Math.min(matchLength - MATCH_BYTES_MIN, 15);
  let length = output.writeUInt8((Math.min(literals.length, 15) << 4) | matchCode, start);
  length = writeLength(output, length, literals.length);
  output.set(literals, length);
  return length + literals.length;
}

/** What of a length does not fit the token's four bits. */
function writeLength(output: Buffer, start: number, value: number): number {
  let length = start;
  if (value < 15) return length;
  let rest = value - 15;
  for (; rest >= 255; rest -= 255) length = output.writeUInt8(255, length);
  return output.writeUInt8(rest, length);
}
