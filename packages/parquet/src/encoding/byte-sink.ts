/** Up to so many bytes a loop is faster than a copy by the engine, and makes no garbage. */
const SHORT_PART_BYTES = 128;

/**
 * Bytes that grow as they are written, used again for page after page. Hot: callers reserve room for many
 * values at once and then write to `view` and `bytes` themselves.
 */
export class ByteSink {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView<ArrayBuffer>;
  length = 0;

  constructor(capacity = 4096) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  clear(): void {
    this.length = 0;
  }

  /** Makes room for so many more bytes; `bytes` and `view` may be others afterwards. */
  reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  /** What has been written; valid until the next write. */
  written(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }

  u8(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.reserve(4);
    this.view.setUint32(this.length, value, true);
    this.length += 4;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Appends `bytes[from, to)`; a few bytes without an array that points at them. */
  appendPart(bytes: Uint8Array, from: number, to: number): void {
    if (to - from > SHORT_PART_BYTES) {
      this.append(bytes.subarray(from, to));
      return;
    }
    this.reserve(to - from);
    const target = this.bytes;
    let length = this.length;
    for (let index = from; index < to; index++) target[length++] = bytes[index] ?? 0;
    this.length = length;
  }

  /** Unsigned LEB128 of a whole number from 0 to 2^53. */
  uleb(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest;
  }

  /** Zigzag and LEB128 of a whole number that a double holds exactly. */
  zigzag(value: number): void {
    if (value >= -0x4000_0000 && value < 0x4000_0000) {
      this.uleb(value < 0 ? -2 * value - 1 : 2 * value);
    } else {
      this.zigzagBig(BigInt(value));
    }
  }

  /** Zigzag and LEB128 of a signed 64-bit number. */
  zigzagBig(value: bigint): void {
    this.reserve(10);
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    while (rest >= 0x80n) {
      this.bytes[this.length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.bytes[this.length++] = Number(rest);
  }
}
