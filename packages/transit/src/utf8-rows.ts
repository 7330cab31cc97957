/**
 * A text for each row as UTF-8, with no JavaScript string made of it: what is stored as UTF-8 is copied from the
 * block, checked on the way. Hot loop: no allocation for a text in ASCII; measured by `bench/decode.bench.ts`.
 */
import { isUtf8 } from 'node:buffer';
import type { TransitBuffer } from './record-framing.ts';

/** UTF-8 texts of rows. */
export interface Utf8Rows {
  /** Valid UTF-8 wherever a row points. Its `ArrayBuffer` belongs to the columns alone and may be transferred. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** By row: its text is `bytes[starts[row], starts[row] + lengths[row])`. Rows may share one text. */
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
}

const HIGH_BITS = 0x80808080 | 0;

export class Utf8RowsWriter {
  readonly #starts: Uint32Array;
  readonly #lengths: Uint32Array;
  #buffer: Buffer<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  /** Room for `bytesExpected` is taken at once; more is when there is more. */
  constructor(rowCount: number, bytesExpected: number) {
    this.#starts = new Uint32Array(rowCount);
    this.#lengths = new Uint32Array(rowCount);
    this.#buffer = Buffer.from(new ArrayBuffer(bytesExpected));
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** Gives a row the text in `[start, end)` of a buffer; returns false, and does nothing, unless it is UTF-8. */
  addUtf8(row: number, { bytes, view }: TransitBuffer, start: number, end: number): boolean {
    const length = end - start;
    this.#reserve(length);
    const to = this.#length - start;
    const target = this.#view;
    const wordsEnd = end - (length & 3);
    let bits = 0;
    let at = start;
    for (; at < wordsEnd; at += 4) {
      const word = view.getInt32(at, true);
      bits |= word;
      target.setInt32(to + at, word, true);
    }
    for (; at < end; at += 1) {
      const byte = view.getInt8(at);
      bits |= byte;
      target.setInt8(to + at, byte);
    }
    // The sign of a last byte fills the bits of the other three: none of them is set by ASCII.
    if ((bits & HIGH_BITS) !== 0 && !isUtf8(bytes.subarray(start, end))) return false;
    this.#starts[row] = this.#length;
    this.#lengths[row] = length;
    this.#length += length;
    return true;
  }

  addText(row: number, text: string): void {
    const length = Buffer.byteLength(text);
    this.#reserve(length);
    this.#buffer.write(text, this.#length);
    this.#starts[row] = this.#length;
    this.#lengths[row] = length;
    this.#length += length;
  }

  /** Gives a row the text of another one. */
  repeat(row: number, earlierRow: number): void {
    this.#starts[row] = this.#starts[earlierRow] ?? 0;
    this.#lengths[row] = this.#lengths[earlierRow] ?? 0;
  }

  finish(): Utf8Rows {
    const bytes = new Uint8Array(this.#buffer.buffer, 0, this.#length);
    return { bytes, starts: this.#starts, lengths: this.#lengths };
  }

  #reserve(byteCount: number): void {
    const needed = this.#length + byteCount;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.from(new ArrayBuffer(Math.max(needed, this.#buffer.length * 2)));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** The text of a row as a string. */
export function utf8TextOf({ bytes, starts, lengths }: Utf8Rows, row: number): string {
  const start = starts[row] ?? 0;
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, lengths[row] ?? 0).toString();
}
