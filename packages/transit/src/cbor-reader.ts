/**
 * A strict reader for the CBOR of envelopes and stored payloads. It takes what the reference's reader takes:
 * definite and indefinite lengths, tags before any value (skipped), bignums where integers are expected,
 * bytes after the top-level item. No declared length is believed before the bytes for it are there.
 */
import { TransitDecodeError, type TransitErrorCode } from './transit-decode-error.ts';

const NESTING_MAX = 256;
const INDEFINITE = -1;
const BREAK = 0xff;

const MAJOR_UNSIGNED = 0;
const MAJOR_NEGATIVE = 1;
const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;
const MAJOR_ARRAY = 4;
const MAJOR_MAP = 5;
const MAJOR_TAG = 6;
const MAJOR_SIMPLE = 7;

const MAJOR_NAMES = [
  'an unsigned integer',
  'a negative integer',
  'a byte string',
  'text',
  'an array',
  'a map',
  'a tag',
  'a simple value',
];

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** How many entries an array or map declares, or -1 for one that ends with a break. */
export type DeclaredLength = number;

export class CborReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #path: (string | number)[] = [];
  #position = 0;
  #major = 0;
  #info = 0;
  /** Argument of the last head; `Infinity` when it exceeds 2^53, which no length can. */
  #argument = 0;
  #headOffset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#position;
  }

  /** Path of the field being read, for messages. */
  get field(): string {
    let text = '';
    for (const step of this.#path)
      text += typeof step === 'number' ? `[${step}]` : `${text && '.'}${step.slice(0, 64)}`;
    return text;
  }

  enter(step: string | number): void {
    this.#path.push(step);
  }

  leave(): void {
    this.#path.pop();
  }

  fail(code: TransitErrorCode, what: string, byteOffset = this.#headOffset): never {
    const field = this.field;
    const place = field === '' ? `byte ${byteOffset}` : `field ${field}, byte ${byteOffset}`;
    throw new TransitDecodeError(code, `cannot decode cbor at ${place}: ${what}`, {
      field,
      byteOffset,
    });
  }

  readText(): string {
    this.#readUntaggedHead();
    if (this.#major !== MAJOR_TEXT) this.#failExpected('text');
    if (this.#info !== 31) return this.#textChunk();
    let text = '';
    while (!this.#takeBreak()) {
      this.#readHead();
      if (this.#major !== MAJOR_TEXT || this.#info === 31) this.#failExpected('a chunk of text');
      text += this.#textChunk();
    }
    return text;
  }

  /** Reads a signed 64-bit integer; bignums count when they fit. */
  readInt64(): bigint {
    const value = this.#readInteger();
    if (value !== BigInt.asIntN(64, value)) this.#failRange('a signed 64-bit integer');
    return value;
  }

  /** Reads an unsigned integer that a double holds exactly. */
  readSafeUint(): number {
    const value = this.#readInteger();
    if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER))
      this.#failRange('an unsigned integer below 2^53');
    return Number(value);
  }

  readBool(): boolean {
    this.#readUntaggedHead();
    if (this.#major !== MAJOR_SIMPLE || (this.#info !== 20 && this.#info !== 21))
      this.#failExpected('a boolean');
    return this.#info === 21;
  }

  /** Takes a null or undefined if one is next; tags before it stay for the next read otherwise. */
  takeNull(): boolean {
    const start = this.#position;
    this.#readUntaggedHead();
    if (this.#major === MAJOR_SIMPLE && (this.#info === 22 || this.#info === 23)) return true;
    this.#position = start;
    return false;
  }

  /**
   * Reads a byte string, or the legacy form: an array of integers from 0 to 255, of any declared length.
   * A definite byte string comes back as a view of the input, anything else as a copy.
   */
  readBytesOrLegacyArray(): Uint8Array {
    this.#readUntaggedHead();
    if (this.#major === MAJOR_BYTES) return this.#bytesBody();
    if (this.#major !== MAJOR_ARRAY) this.#failExpected('a byte string or an array of bytes');
    return this.#legacyArray(this.#info === 31 ? INDEFINITE : this.#elementCount(1));
  }

  readArrayHead(): DeclaredLength {
    this.#readUntaggedHead();
    if (this.#major !== MAJOR_ARRAY) this.#failExpected('an array');
    return this.#info === 31 ? INDEFINITE : this.#elementCount(1);
  }

  readMapHead(): DeclaredLength {
    this.#readUntaggedHead();
    if (this.#major !== MAJOR_MAP) this.#failExpected('a map');
    return this.#info === 31 ? INDEFINITE : this.#elementCount(2);
  }

  /** Whether another entry follows the `index` ones read; takes the break of an indefinite one. */
  hasNext(declared: DeclaredLength, index: number): boolean {
    return declared === INDEFINITE ? !this.#takeBreak() : index < declared;
  }

  /** Reads a map key when it is text; skips any other key and returns undefined. */
  readKey(): string | undefined {
    const start = this.#position;
    this.#readUntaggedHead();
    const isText = this.#major === MAJOR_TEXT;
    this.#position = start;
    if (isText) return this.readText();
    this.skip();
    return undefined;
  }

  /** Passes over one value of any kind, checking that it is well formed. */
  skip(depth = 0): void {
    if (depth > NESTING_MAX) this.fail('transit.malformed-cbor', 'nesting exceeds 256 levels');
    this.#readUntaggedHead();
    switch (this.#major) {
      case MAJOR_BYTES:
        this.#bytesBody();
        return;
      case MAJOR_TEXT:
        this.#position = this.#headOffset;
        this.readText();
        return;
      case MAJOR_ARRAY:
      case MAJOR_MAP: {
        const perEntry = this.#major === MAJOR_MAP ? 2 : 1;
        const declared = this.#info === 31 ? INDEFINITE : this.#elementCount(perEntry);
        for (let index = 0; this.hasNext(declared, index); index += 1) {
          this.skip(depth + 1);
          if (perEntry === 2) this.skip(depth + 1);
        }
        return;
      }
      default:
        if (this.#info === 31) this.#failExpected('a value');
    }
  }

  #failExpected(what: string): never {
    const found = MAJOR_NAMES[this.#major] ?? 'nothing';
    this.fail('transit.bad-field', `expected ${what}, found ${found}`);
  }

  #failRange(what: string): never {
    this.fail('transit.bad-field', `expected ${what}, found one out of range`);
  }

  #need(byteCount: number): void {
    const remaining = this.#bytes.length - this.#position;
    if (byteCount > remaining) {
      const wanted = Number.isFinite(byteCount) ? `${byteCount}` : 'more than 2^53';
      this.fail('transit.truncated', `needs ${wanted} bytes, ${remaining} remain`, this.#position);
    }
  }

  #readHead(): void {
    this.#headOffset = this.#position;
    this.#need(1);
    const initial = this.#view.getUint8(this.#position);
    this.#position += 1;
    this.#major = initial >> 5;
    this.#info = initial & 31;
    if (this.#info < 24) {
      this.#argument = this.#info;
    } else if (this.#info < 28) {
      const width = 1 << (this.#info - 24);
      this.#need(width);
      this.#argument = this.#argumentOf(width);
      this.#position += width;
    } else if (this.#info < 31 || this.#major < MAJOR_BYTES || this.#major === MAJOR_TAG) {
      this.fail('transit.malformed-cbor', 'reserved length code');
    }
  }

  #argumentOf(width: number): number {
    if (width === 1) return this.#view.getUint8(this.#position);
    if (width === 2) return this.#view.getUint16(this.#position);
    if (width === 4) return this.#view.getUint32(this.#position);
    const high = this.#view.getUint32(this.#position);
    if (high >= 0x20_0000) return Number.POSITIVE_INFINITY;
    return high * 0x1_0000_0000 + this.#view.getUint32(this.#position + 4);
  }

  #readUntaggedHead(): void {
    do this.#readHead();
    while (this.#major === MAJOR_TAG);
  }

  #takeBreak(): boolean {
    this.#headOffset = this.#position;
    this.#need(1);
    if (this.#bytes[this.#position] !== BREAK) return false;
    this.#position += 1;
    return true;
  }

  /** The declared entry count, once as many bytes remain as the smallest such content takes. */
  #elementCount(itemsPerEntry: number): number {
    this.#need(this.#argument * itemsPerEntry);
    return this.#argument;
  }

  #readInteger(): bigint {
    let tag = -1;
    this.#readHead();
    while (this.#major === MAJOR_TAG) {
      tag = this.#argument;
      this.#readHead();
    }
    if (this.#major === MAJOR_UNSIGNED) return this.#wideArgument();
    if (this.#major === MAJOR_NEGATIVE) return -1n - this.#wideArgument();
    if (this.#major === MAJOR_BYTES && (tag === 2 || tag === 3)) {
      const magnitude = this.#bignumMagnitude();
      return tag === 2 ? magnitude : -1n - magnitude;
    }
    return this.#failExpected('an integer');
  }

  #wideArgument(): bigint {
    return Number.isFinite(this.#argument)
      ? BigInt(this.#argument)
      : this.#view.getBigUint64(this.#position - 8);
  }

  #bignumMagnitude(): bigint {
    const offset = this.#headOffset;
    const bytes = this.#bytesBody();
    let start = 0;
    while (start < bytes.length && bytes[start] === 0) start += 1;
    if (bytes.length - start > 8)
      this.fail('transit.bad-field', 'expected an integer of 64 bits, found a wider one', offset);
    let magnitude = 0n;
    for (const byte of bytes.subarray(start)) magnitude = (magnitude << 8n) | BigInt(byte);
    return magnitude;
  }

  #textChunk(): string {
    this.#need(this.#argument);
    const chunk = this.#bytes.subarray(this.#position, this.#position + this.#argument);
    this.#position += this.#argument;
    try {
      return strictUtf8.decode(chunk);
    } catch {
      return this.fail('transit.malformed-cbor', 'text is not valid utf-8');
    }
  }

  #bytesBody(): Uint8Array {
    if (this.#info !== 31) return this.#bytesChunk();
    const chunks: Uint8Array[] = [];
    while (!this.#takeBreak()) {
      this.#readHead();
      if (this.#major !== MAJOR_BYTES || this.#info === 31) this.#failExpected('a chunk of bytes');
      chunks.push(this.#bytesChunk());
    }
    return Buffer.concat(chunks);
  }

  #bytesChunk(): Uint8Array {
    this.#need(this.#argument);
    const chunk = this.#bytes.subarray(this.#position, this.#position + this.#argument);
    this.#position += this.#argument;
    return chunk;
  }

  #legacyArray(declared: DeclaredLength): Uint8Array {
    const capacity = declared === INDEFINITE ? this.#bytes.length - this.#position : declared;
    const output = new Uint8Array(capacity);
    let count = 0;
    for (; this.hasNext(declared, count); count += 1) {
      const initial = this.#bytes[this.#position] ?? BREAK;
      if (initial < 24) {
        this.#position += 1;
        output[count] = initial;
      } else {
        output[count] = this.#readByteValue();
      }
    }
    return count === capacity ? output : output.slice(0, count);
  }

  #readByteValue(): number {
    const value = this.#readInteger();
    if (value < 0n || value > 255n) this.#failRange('a byte from 0 to 255');
    return Number(value);
  }
}
