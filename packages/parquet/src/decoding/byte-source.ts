/** Bytes read one after the other; nothing is read past their end. */

import { keepCompiled } from '@tracelake/domain';

/** What was read cannot have been written by our encoder; the message says what and where. */
export class DamagedBytes extends Error {}

export class ByteSource {
  readonly bytes: Uint8Array;
  position = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get left(): number {
    return this.bytes.length - this.position;
  }

  u8(): number {
    const value = this.bytes[this.position];
    if (value === undefined) throw new DamagedBytes('ends too early');
    this.position += 1;
    return value;
  }

  /** So many bytes, not copied. */
  take(count: number): Uint8Array {
    if (count < 0 || count > this.left) throw new DamagedBytes('ends too early');
    this.position += count;
    return this.bytes.subarray(this.position - count, this.position);
  }

  /** Unsigned LEB128, up to 2^53 - 1. */
  uleb(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * factor;
      if (value > Number.MAX_SAFE_INTEGER) throw new DamagedBytes('has a number too large');
      if (byte < 0x80) return value;
      if (factor > Number.MAX_SAFE_INTEGER) throw new DamagedBytes('has a number too long');
    }
  }

  /** Zigzag and LEB128, within the safe integers. */
  zigzag(): number {
    const value = this.uleb();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** Zigzag and LEB128 of a signed 64-bit number. */
  zigzagBig(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
    }
    throw new DamagedBytes('has a number too long');
  }
}

keepCompiled(new ByteSource(new Uint8Array(0)));
