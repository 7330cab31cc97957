/**
 * The bytes being written. A nested message is opened with one byte kept free for its length, which is
 * patched when the message closes; a message of 128 bytes or more is moved to make room for a longer
 * length, which happens only where strings are. Nothing here allocates while the buffer is large enough.
 */

const INITIAL_BYTES = 256 * 1024;
const VARINT_BYTES_MAX = 10;

const textEncoder = new TextEncoder();

export class ProtoBuffer {
  #bytes = new Uint8Array(INITIAL_BYTES);
  #length = 0;

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
    if (this.#bytes.length > 4 * INITIAL_BYTES) this.#bytes = new Uint8Array(INITIAL_BYTES);
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
    this.#bytes = larger;
  }
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
