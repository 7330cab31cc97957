/** Writes CBOR: the shortest integers, definite lengths, or on request the indefinite lengths of the Unreal client. */

const BREAK = 0xff;
const INDEFINITE_ARRAY = 0x9f;
const INDEFINITE_MAP = 0xbf;

export class CborWriter {
  readonly #indefinite: boolean;
  #buffer: Buffer<ArrayBuffer>;
  #length = 0;

  /** With the size known beforehand, at least, nothing is copied twice and the memory is the writer's own. */
  constructor(options: { readonly indefinite?: boolean; readonly sizeBytes?: number } = {}) {
    const { indefinite = false, sizeBytes } = options;
    this.#indefinite = indefinite;
    this.#buffer =
      sizeBytes === undefined ? Buffer.allocUnsafe(1024) : Buffer.allocUnsafeSlow(sizeBytes);
  }

  /** The bytes written so far; the writer must not be used after. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Writes a map with the fields in the order of their keys; each function writes one value. */
  record(fields: Readonly<Record<string, () => void>>): void {
    const keys = Object.keys(fields);
    this.#open(5, INDEFINITE_MAP, keys.length);
    for (const key of keys) {
      this.text(key);
      fields[key]?.();
    }
    this.#close();
  }

  array<Item>(items: readonly Item[], writeItem: (item: Item) => void): void {
    this.#open(4, INDEFINITE_ARRAY, items.length);
    for (const item of items) writeItem(item);
    this.#close();
  }

  textMap(entries: Readonly<Record<string, string>>): void {
    const keys = Object.keys(entries);
    this.#open(5, INDEFINITE_MAP, keys.length);
    for (const key of keys) {
      this.text(key);
      this.text(entries[key] ?? '');
    }
    this.#close();
  }

  text(value: string): void {
    const byteCount = Buffer.byteLength(value);
    this.#head(3, byteCount);
    this.#reserve(byteCount);
    this.#buffer.write(value, this.#length);
    this.#length += byteCount;
  }

  integer(value: bigint | number): void {
    if (value >= 0) this.#head(0, value);
    else this.#head(1, -1n - BigInt(value));
  }

  bool(value: boolean): void {
    this.#byte(value ? 0xf5 : 0xf4);
  }

  null(): void {
    this.#byte(0xf6);
  }

  /** What has been written so far. */
  get length(): number {
    return this.#length;
  }

  /** What stands before a byte string; the bytes are the caller's to put behind it. */
  bytesHead(byteCount: number): void {
    this.#head(2, byteCount);
  }

  bytes(value: Uint8Array): void {
    this.#head(2, value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  /** Writes bytes the way old clients did: as an array of small integers. */
  legacyBytes(value: Uint8Array): void {
    this.#head(4, value.length);
    for (const byte of value) this.#head(0, byte);
  }

  #open(major: number, indefiniteHead: number, count: number): void {
    if (this.#indefinite) this.#byte(indefiniteHead);
    else this.#head(major, count);
  }

  #close(): void {
    if (this.#indefinite) this.#byte(BREAK);
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length] = value;
    this.#length += 1;
  }

  #head(major: number, argument: bigint | number): void {
    this.#reserve(9);
    const buffer = this.#buffer;
    const high = major << 5;
    if (argument < 24) {
      this.#length = buffer.writeUInt8(high | Number(argument), this.#length);
    } else if (argument < 0x100) {
      this.#length = buffer.writeUInt8(high | 24, this.#length);
      this.#length = buffer.writeUInt8(Number(argument), this.#length);
    } else if (argument < 0x1_0000) {
      this.#length = buffer.writeUInt8(high | 25, this.#length);
      this.#length = buffer.writeUInt16BE(Number(argument), this.#length);
    } else if (argument < 0x1_0000_0000) {
      this.#length = buffer.writeUInt8(high | 26, this.#length);
      this.#length = buffer.writeUInt32BE(Number(argument), this.#length);
    } else {
      this.#length = buffer.writeUInt8(high | 27, this.#length);
      this.#length = buffer.writeBigUInt64BE(BigInt(argument), this.#length);
    }
  }

  #reserve(byteCount: number): void {
    const needed = this.#length + byteCount;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
