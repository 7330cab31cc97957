/**
 * Text of rows, written as bytes into two buffers in turn, which grow to what a chunk needs and are then used again.
 * Numbers are written digit by digit: no string and no object a value.
 */

const START_BYTES = 256 * 1024;
const KEPT_BYTES_MAX = 8 * 1024 * 1024;
/** Room for any number or time. */
const CELL_BYTES = 64;
const ZERO = 0x30;
const MINUS = 0x2d;

/** The first character that is no control character. */
const SPACE = 0x20;
/** One, and the space, in each byte of a word; and its highest bit. */
const EACH_BYTE = 0x01010101;
const SPACES = SPACE * EACH_BYTE;
const HIGH_BITS = 0x80808080 | 0;

export class ByteSink {
  bytes: Uint8Array = new Uint8Array(START_BYTES);
  at = 0;
  /** Of `bytes`. */
  #view = viewOf(this.bytes);
  /** What the next answer is written to while the one before is sent. */
  #other: Uint8Array = new Uint8Array(START_BYTES);

  /** What was written since the last time, valid until the second call from now. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(0, this.at);
    const next = this.#other;
    // One enormous value is no reason to hold on to its memory.
    this.#other = this.bytes.length > KEPT_BYTES_MAX ? new Uint8Array(START_BYTES) : this.bytes;
    this.#writeTo(next);
    this.at = 0;
    return taken;
  }

  /** Makes room for so many bytes; `bytes` may be another array afterwards. */
  reserve(count: number): void {
    if (this.at + count <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.at + count));
    larger.set(this.bytes.subarray(0, this.at));
    this.#writeTo(larger);
  }

  #writeTo(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.#view = viewOf(bytes);
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.at++] = value;
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    const { length } = bytes;
    for (let index = 0; index < length; index++) this.bytes[this.at++] = bytes[index] ?? 0;
  }

  /**
   * Copies bytes none of which is a control character or either of the two, both of them ASCII; others give false and leave nothing.
   */
  copyPlain(from: DataView, begin: number, length: number, one: number, other: number): boolean {
    this.reserve(length);
    const to = this.#view;
    const shift = this.at - begin;
    const end = begin + length;
    const ones = one * EACH_BYTE;
    const others = other * EACH_BYTE;
    // Of each of four bytes the highest bit, when it is below 0x20 or one of the two.
    let met = 0;
    let at = begin;
    for (; at + 4 <= end; at += 4) {
      const word = from.getInt32(at, true);
      const a = word ^ ones;
      const b = word ^ others;
      met |= ((word - SPACES) & ~word) | ((a - EACH_BYTE) & ~a) | ((b - EACH_BYTE) & ~b);
      to.setInt32(at + shift, word, true);
    }
    if ((met & HIGH_BITS) !== 0) return false;
    for (; at < end; at++) {
      const byte = from.getUint8(at);
      if (byte < SPACE || byte === one || byte === other) return false;
      to.setUint8(at + shift, byte);
    }
    this.at += length;
    return true;
  }

  /** Of any characters. */
  text(text: string): void {
    const { length } = text;
    this.reserve(length * 3);
    const start = this.at;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) {
        this.at = start + encoder.encodeInto(text, this.bytes.subarray(start)).written;
        return;
      }
      this.bytes[this.at++] = code;
    }
  }

  /** An integer that a double holds exactly. */
  integer(value: number): void {
    this.reserve(CELL_BYTES);
    let rest = value;
    if (rest < 0) {
      this.bytes[this.at++] = MINUS;
      rest = -rest;
    }
    if (rest < 1e9) {
      this.#digits(rest, digitCount(rest));
      return;
    }
    const high = Math.floor(rest / 1e9);
    this.#digits(high, digitCount(high));
    this.#digits(rest - high * 1e9, 9);
  }

  /** Seconds since the epoch and nanoseconds as RFC 3339; the seconds lie within the years 0 to 9999. */
  time(seconds: number, nanoseconds: number): void {
    this.reserve(CELL_BYTES);
    const day = Math.floor(seconds / DAY_SECONDS);
    if (day !== this.#day) {
      this.#day = day;
      encoder.encodeInto(new Date(day * DAY_SECONDS * 1000).toISOString(), this.#date);
    }
    const ofDay = seconds - day * DAY_SECONDS;
    for (let index = 0; index < DATE_BYTES; index++) this.bytes[this.at++] = this.#date[index] ?? 0;
    this.#digits((ofDay / 3600) | 0, 2);
    this.bytes[this.at++] = COLON;
    this.#digits(((ofDay / 60) | 0) % 60, 2);
    this.bytes[this.at++] = COLON;
    this.#digits(ofDay % 60, 2);
    this.bytes[this.at++] = DOT;
    this.#digits(nanoseconds, 9);
    this.bytes[this.at++] = ZULU;
  }

  #day = Number.NaN;
  readonly #date = new Uint8Array(32);

  /** So many digits of an integer below 1e9, with zeros before it. */
  #digits(value: number, count: number): void {
    const { bytes } = this;
    let rest = value | 0;
    for (let at = this.at + count - 1; at >= this.at; at--) {
      const tenth = (rest / 10) | 0;
      bytes[at] = ZERO + rest - tenth * 10;
      rest = tenth;
    }
    this.at += count;
  }
}

const encoder = new TextEncoder();
const DAY_SECONDS = 86_400;
/** `2025-11-21T`. */
const DATE_BYTES = 11;
const COLON = 0x3a;
const DOT = 0x2e;
const ZULU = 0x5a;

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function digitCount(value: number): number {
  if (value < 1e3) return value < 10 ? 1 : value < 100 ? 2 : 3;
  if (value < 1e6) return value < 1e4 ? 4 : value < 1e5 ? 5 : 6;
  return value < 1e7 ? 7 : value < 1e8 ? 8 : 9;
}
