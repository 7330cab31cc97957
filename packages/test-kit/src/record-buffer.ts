/** Bytes of transit records, growing as they are written: no object per event. */
export class RecordBuffer {
  #buffer = Buffer.allocUnsafe(4096);
  #view = viewOf(this.#buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length] = value;
    this.#length += 1;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  /** A 64-bit integer given as a whole number of at most 53 bits. */
  i64(value: number): void {
    this.#reserve(8);
    const high = Math.floor(value / 0x1_0000_0000);
    this.#view.setUint32(this.#length, value - high * 0x1_0000_0000, true);
    this.#view.setInt32(this.#length + 4, high, true);
    this.#length += 8;
  }

  bigint64(value: bigint): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, BigInt.asUintN(64, value), true);
    this.#length += 8;
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /**
   * A pointer as clients send them: 64 bits, beyond what a double holds, negative when read as signed.
   * `id` is the number of the thing pointed at.
   */
  pointer(id: number): void {
    this.u32((id * 16) >>> 0);
    this.u32(0x8000_5581);
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Bytes no decoder may look at. */
  padding(byteCount: number): void {
    for (let index = 0; index < byteCount; index += 1) this.u8(0xa5);
  }

  #reserve(byteCount: number): void {
    const needed = this.#length + byteCount;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
    this.#view = viewOf(grown);
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
