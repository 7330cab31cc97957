/**
 * The bytes being written. A nested message is opened with one byte kept free for its length, which is
 * patched when the message closes; a message of 128 bytes or more is moved to make room for a longer
 * length, which happens only where strings are. Nothing here allocates while the buffer is large enough.
 */

const INITIAL_BYTES = 256 * 1024;
const VARINT_BYTES_MAX = 10;

/** A time from 2^56 to 2^63, as Unix nanoseconds are since 1972, is a varint of nine bytes. */
const TIME_BYTES = 9;
const NINE_BYTES_FROM_HIGH = 0x0100_0000;

/** A message with a length of one byte, and what is written beyond its end. */
const TIMED_BYTES_MAX = 2 + 0x7f + 4;

const CONTINUED = 0x8080_8080;

const textEncoder = new TextEncoder();

/** Bytes encoded earlier, padded to words of 32 bits, so that copying takes few steps. */
export class PackedBytes {
  readonly words: Uint32Array;
  readonly length: number;

  constructor(bytes: Uint8Array) {
    const padded = new Uint8Array((bytes.length + 3) & ~3);
    padded.set(bytes);
    this.words = new Uint32Array(padded.buffer);
    this.length = bytes.length;
  }
}

export class ProtoBuffer {
  readonly #initialBytes: number;
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #length = 0;

  constructor(initialBytes = INITIAL_BYTES) {
    this.#initialBytes = initialBytes;
    this.#bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** What is written so far, as a view that the next write may change. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Forgets the content; memory above the initial size is given back. */
  clear(): void {
    this.#length = 0;
    const { length } = this.#bytes;
    if (length > 4 * this.#initialBytes) this.#use(new Uint8Array(this.#initialBytes));
  }

  /** An unsigned 32-bit value or smaller; also every tag. */
  varint(value: number): void {
    if (this.#length + VARINT_BYTES_MAX > this.#bytes.length) this.#grow(VARINT_BYTES_MAX);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value >>> 0;
    while (rest > 0x7f) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#length = at;
  }

  /** A 64-bit value as its two halves, so that no bigint is made for a timestamp. */
  varint64(high: number, low: number): void {
    if (this.#length + VARINT_BYTES_MAX > this.#bytes.length) this.#grow(VARINT_BYTES_MAX);
    const bytes = this.#bytes;
    let at = this.#length;
    let hi = high >>> 0;
    let lo = low >>> 0;
    while (hi !== 0) {
      bytes[at++] = (lo & 0x7f) | 0x80;
      lo = ((lo >>> 7) | (hi << 25)) >>> 0;
      hi >>>= 7;
    }
    while (lo > 0x7f) {
      bytes[at++] = (lo & 0x7f) | 0x80;
      lo >>>= 7;
    }
    bytes[at++] = lo;
    this.#length = at;
  }

  bigVarint(value: bigint): void {
    const bits = BigInt.asUintN(64, value);
    this.varint64(Number(bits >> 32n), Number(bits & 0xffff_ffffn));
  }

  /** Bytes encoded earlier, such as a track's uuid. */
  raw(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /**
   * A message that is known but for a time in its middle: `head` up to the time, its byte 1 being the message's
   * length, then `tag`, a message of the three parts. False, with nothing written, when one of the lengths or the
   * time takes another number of bytes than usual.
   */
  timedMessage(
    head: PackedBytes,
    timeHigh: number,
    timeLow: number,
    tag: number,
    first: PackedBytes,
    second: PackedBytes,
    third: PackedBytes,
  ): boolean {
    const contentBytes = first.length + second.length + third.length;
    const messageBytes = head.length - 2 + TIME_BYTES + 2 + contentBytes;
    if (messageBytes > 0x7f || timeHigh < NINE_BYTES_FROM_HIGH) return false;
    if (this.#length + TIMED_BYTES_MAX > this.#bytes.length) this.#grow(TIMED_BYTES_MAX);
    const view = this.#view;
    let at = this.#packed(head, this.#length);
    view.setUint8(this.#length + 1, messageBytes);
    view.setUint32(at, spread(timeLow) | CONTINUED, true);
    view.setUint32(at + 4, spread((timeLow >>> 28) | (timeHigh << 4)) | CONTINUED, true);
    view.setUint8(at + 8, timeHigh >>> 24);
    view.setUint8(at + 9, tag);
    view.setUint8(at + 10, contentBytes);
    at = this.#packed(first, at + 11);
    at = this.#packed(second, at);
    this.#length = this.#packed(third, at);
    return true;
  }

  /** Writes up to three bytes more than there are; room is there already. Returns the end. */
  #packed({ words, length }: PackedBytes, at: number): number {
    const view = this.#view;
    for (let i = 0; i < words.length; i += 1) view.setUint32(at + 4 * i, words[i] ?? 0, true);
    return at + length;
  }

  /** A tag, the length and the text in UTF-8; a lone surrogate becomes U+FFFD. */
  string(tag: number, text: string): void {
    const start = this.openMessage(tag);
    const bytesMax = text.length * 3;
    if (this.#length + bytesMax > this.#bytes.length) this.#grow(bytesMax);
    const target = this.#bytes.subarray(this.#length);
    this.#length += textEncoder.encodeInto(text, target).written;
    this.closeMessage(start);
  }

  /** Writes the tag and keeps a byte for the length; returns where the content starts. */
  openMessage(tag: number): number {
    this.varint(tag);
    if (this.#length + 1 > this.#bytes.length) this.#grow(1);
    this.#length += 1;
    return this.#length;
  }

  /** Patches the length of the message whose content starts at `start`. */
  closeMessage(start: number): void {
    const contentBytes = this.#length - start;
    if (contentBytes < 0x80) {
      this.#bytes[start - 1] = contentBytes;
      return;
    }
    const lengthBytes = varintBytes(contentBytes);
    if (this.#length + lengthBytes > this.#bytes.length) this.#grow(lengthBytes);
    this.#bytes.copyWithin(start - 1 + lengthBytes, start, this.#length);
    this.#length = start - 1;
    this.varint(contentBytes);
    this.#length += contentBytes;
  }

  #grow(moreBytes: number): void {
    let capacity = this.#bytes.length * 2;
    while (capacity < this.#length + moreBytes) capacity *= 2;
    const larger = new Uint8Array(capacity);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#use(larger);
  }

  #use(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

/** The low 28 bits as four bytes of seven. */
function spread(value: number): number {
  return (
    (value & 0x7f) |
    ((value << 1) & 0x7f00) |
    ((value << 2) & 0x7f_0000) |
    ((value << 3) & 0x7f00_0000)
  );
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes += 1;
  return bytes;
}

/** A 64-bit value as varint bytes of its own. */
export function encodeVarint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
