/** A small LZ4 frame encoder: greedy, one hash table, blocks of 64 KiB. Ratio does not matter here, validity does. */
import { xxh32 } from '@tracelake/transit';

export interface Lz4FrameOptions {
  /** False stores the blocks as they are, which is the fastest. */
  readonly compress?: boolean;
  readonly blockChecksums?: boolean;
  readonly contentChecksum?: boolean;
  /** Matches reach back into the blocks before, as in what the Rust client sends. */
  readonly hasLinkedBlocks?: boolean;
  /**
   * How many earlier places a match is looked for in; 1 by default. Real clients search long: with 16 of them a
   * frame of events is as small as theirs, to a few percent, and takes three times as long.
   */
  readonly searchesMax?: number;
}

const BLOCK_BYTES = 64 * 1024;
const HASH_BITS = 13;
const MATCH_BYTES_MIN = 4;
/** The last match must begin this far before the end, and the last 5 bytes are literals. */
const TAIL_BYTES = 12;

/** The furthest a match may reach back. */
const OFFSET_MAX = 0xffff;

/** Encodes one frame, with independent blocks unless they are linked; checksums are on unless switched off. */
export function encodeLz4Frame(bytes: Uint8Array, options: Lz4FrameOptions = {}): Uint8Array {
  const { compress = true, blockChecksums = true, contentChecksum = true } = options;
  const { hasLinkedBlocks = false, searchesMax = 1 } = options;
  const header = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0b0110_0000, 0x40, 0]);
  if (blockChecksums) header[4] = (header[4] ?? 0) | 0b1_0000;
  if (contentChecksum) header[4] = (header[4] ?? 0) | 0b100;
  if (hasLinkedBlocks) header[4] = (header[4] ?? 0) & ~0b10_0000;
  header[6] = (xxh32(header.subarray(4, 6)) >>> 8) & 0xff;
  const parts: Uint8Array[] = [header];
  const places = new EarlierPlaces(bytes, searchesMax);
  for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
    const raw = bytes.subarray(start, start + BLOCK_BYTES);
    if (!hasLinkedBlocks) places.forget();
    const compressed = compress ? compressBlock(bytes, start, places) : raw;
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

/** Where the same four bytes were seen before, by their hash: the last place, and the one before each place. */
class EarlierPlaces {
  /** Length of the match that was found last. */
  matchLength = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #searchesMax: number;
  readonly #last = new Int32Array(1 << HASH_BITS).fill(-1);
  readonly #before = new Int32Array(OFFSET_MAX + 1);

  constructor(bytes: Uint8Array, searchesMax: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#searchesMax = searchesMax;
  }

  forget(): void {
    this.#last.fill(-1);
  }

  /** Finds the longest match of what begins at `at` and must end before `end`, and adds the place; -1: none. */
  findAndAdd(at: number, end: number): number {
    const bytes = this.#bytes;
    const word = this.#view.getInt32(at, true);
    const hash = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
    const last = this.#last[hash] ?? -1;
    let candidate = last;
    let found = -1;
    let longest = MATCH_BYTES_MIN - 1;
    for (let search = 0; search < this.#searchesMax; search += 1) {
      if (candidate < 0 || at - candidate > OFFSET_MAX) break;
      // A longer match has to have the next byte too.
      if (bytes[candidate + longest] === bytes[at + longest]) {
        const length = this.#lengthOf(candidate, at, end, word);
        if (length > longest) {
          longest = length;
          found = candidate;
        }
      }
      const before = this.#before[candidate & OFFSET_MAX] ?? -1;
      if (before >= candidate) break;
      candidate = before;
    }
    this.#add(at, hash, last);
    this.matchLength = longest;
    return found;
  }

  /** Adds the places inside a match, which only a long search profits from. */
  addBetween(from: number, to: number): void {
    if (this.#searchesMax === 1) return;
    for (let at = from; at < to; at += 1) {
      const hash = Math.imul(this.#view.getInt32(at, true), 0x9e3779b1) >>> (32 - HASH_BITS);
      this.#add(at, hash, this.#last[hash] ?? -1);
    }
  }

  #add(at: number, hash: number, last: number): void {
    this.#before[at & OFFSET_MAX] = last;
    this.#last[hash] = at;
  }

  #lengthOf(candidate: number, at: number, end: number, word: number): number {
    if (this.#view.getInt32(candidate, true) !== word) return 0;
    const bytes = this.#bytes;
    let length = MATCH_BYTES_MIN;
    while (at + length < end && bytes[candidate + length] === bytes[at + length]) length += 1;
    return length;
  }
}

function compressBlock(bytes: Uint8Array, start: number, places: EarlierPlaces): Uint8Array {
  const end = Math.min(start + BLOCK_BYTES, bytes.length);
  const rawBytes = end - start;
  const output = Buffer.allocUnsafe(rawBytes + Math.ceil(rawBytes / 255) + 16);
  const matchLimit = end - TAIL_BYTES;
  let length = 0;
  let anchor = start;
  let at = start;
  while (at < matchLimit) {
    const candidate = places.findAndAdd(at, end - 5);
    if (candidate < 0) {
      at += 1;
      continue;
    }
    const { matchLength } = places;
    length = writeLiterals(output, length, bytes.subarray(anchor, at), matchLength);
    length = output.writeUInt16LE(at - candidate, length);
    length = writeLength(output, length, matchLength - MATCH_BYTES_MIN);
    places.addBetween(at + 1, at + matchLength);
    at += matchLength;
    anchor = at;
  }
  length = writeLiterals(output, length, bytes.subarray(anchor, end), MATCH_BYTES_MIN);
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
