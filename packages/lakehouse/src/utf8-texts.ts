import { assert } from '@tracelake/domain';
import type { Utf8Rows } from '@tracelake/transit';

interface Part {
  readonly firstCode: number;
  readonly endCode: number;
  readonly texts: Utf8Rows;
}

/**
 * The texts of a column as UTF-8, in parts as the blocks of a run gave them: no string is made of one before
 * somebody asks for it. A code counts through the parts; two codes may have the same text.
 */
export class Utf8Texts {
  readonly #parts: Part[] = [];
  #length = 0;
  #byteCount = 0;
  #part: Part | undefined;

  /** Codes below it have a text. */
  get length(): number {
    return this.#length;
  }

  /** Of all parts; texts that rows share count once. */
  get byteCount(): number {
    return this.#byteCount;
  }

  /** Keeps the part. Its first text has the code `length` had before. */
  add(texts: Utf8Rows): void {
    const firstCode = this.#length;
    this.#length += texts.starts.length;
    this.#byteCount += texts.bytes.length;
    if (this.#length > firstCode) this.#parts.push({ firstCode, endCode: this.#length, texts });
  }

  /** The bytes that hold the text of a code, among others. */
  bytesOf(code: number): Uint8Array<ArrayBuffer> {
    return this.#partOf(code).texts.bytes;
  }

  /** Where the text begins in `bytesOf`. */
  startOf(code: number): number {
    const { firstCode, texts } = this.#partOf(code);
    return texts.starts[code - firstCode] ?? 0;
  }

  /** In bytes. */
  lengthOf(code: number): number {
    const { firstCode, texts } = this.#partOf(code);
    return texts.lengths[code - firstCode] ?? 0;
  }

  textOf(code: number): string {
    const bytes = this.bytesOf(code);
    const start = this.startOf(code);
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, this.lengthOf(code)).toString();
  }

  /** Codes are asked for in stretches, so the last part is looked at first. */
  #partOf(code: number): Part {
    const last = this.#part;
    if (last !== undefined && code >= last.firstCode && code < last.endCode) return last;
    let low = 0;
    let high = this.#parts.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (code < (this.#parts[middle]?.endCode ?? 0)) high = middle;
      else low = middle + 1;
    }
    const part = this.#parts[low];
    assert(part !== undefined && code >= 0 && code < part.endCode, 'a code has a text');
    this.#part = part;
    return part;
  }
}
