/**
 * Distinct texts of a row group as UTF-8, numbered in order of first use. Found by their bytes in a table
 * of open addressing, so no string is hashed or kept. Lone surrogates become U+FFFD, as UTF-8 has none.
 */

import { randomInt } from 'node:crypto';
import type { ByteSink } from './byte-sink.ts';

/** Clients choose the texts, so what they hash to is different in each process; it decides no byte. */
const SEED = randomInt(2 ** 32 - 1) | 1;

/** A power of two; at most half of the slots are taken. */
const TABLE_SLOTS_MIN = 4096;

export class DistinctTexts {
  count = 0;
  #bytes = Buffer.allocUnsafeSlow(64 * 1024);
  #view = viewOf(this.#bytes);
  #length = 0;
  /** Texts come from the same array many times. */
  #source: Uint8Array = this.#bytes;
  #sourceView = this.#view;
  /** Where each text begins; one more for the end of the last. */
  #starts = new Uint32Array(TABLE_SLOTS_MIN);
  #hashes = new Int32Array(TABLE_SLOTS_MIN);
  /** Place plus one; 0 is free. */
  #slots = new Int32Array(TABLE_SLOTS_MIN);

  clear(): void {
    if (this.count > 0) this.#slots.fill(0);
    this.count = 0;
    this.#length = 0;
  }

  /** The number of a text, a new one when it has not been met. */
  placeOf(text: string): number {
    const start = this.#length;
    // UTF-8 takes at most three bytes for each UTF-16 unit.
    this.#reserveBytes(text.length * 3);
    const length = this.#bytes.write(text, start);
    // Onto itself: to compute the hash.
    return this.#placeOfNew(start, start + length, this.#copyIn(this.#view, start, length));
  }

  /** The same for valid UTF-8. */
  placeOfUtf8(bytes: Uint8Array, from: number, length: number): number {
    if (bytes !== this.#source) {
      this.#source = bytes;
      this.#sourceView = viewOf(bytes);
    }
    const start = this.#length;
    this.#reserveBytes(length);
    return this.#placeOfNew(start, start + length, this.#copyIn(this.#sourceView, from, length));
  }

  /** Of the bytes that stand behind the last text. */
  #placeOfNew(start: number, end: number, hash: number): number {
    if (this.count * 2 >= this.#slots.length) this.#growTable();
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (;;) {
      const place = (this.#slots[slot] ?? 0) - 1;
      if (place < 0) break;
      if (this.#hashes[place] === hash && this.#equals(place, start, end)) return place;
      slot = (slot + 1) & mask;
    }
    const place = this.count++;
    this.#starts[place] = start;
    this.#starts[place + 1] = end;
    this.#hashes[place] = hash;
    this.#slots[slot] = place + 1;
    this.#length = end;
    return place;
  }

  lengthAt(place: number): number {
    return (this.#starts[place + 1] ?? 0) - (this.#starts[place] ?? 0);
  }

  /** Of all texts together. */
  get byteCount(): number {
    return this.#length;
  }

  /** Valid until the next text. */
  bytesAt(place: number): Uint8Array {
    return this.#bytes.subarray(this.#starts[place], this.#starts[place + 1]);
  }

  /** The texts from one place to another, both included, one after the other. */
  appendTo(sink: ByteSink, firstPlace: number, lastPlace: number): void {
    sink.appendPart(this.#bytes, this.#starts[firstPlace] ?? 0, this.#starts[lastPlace + 1] ?? 0);
  }

  /** Each text behind its length. */
  appendPlain(sink: ByteSink): void {
    sink.reserve(this.#length + 4 * this.count);
    for (let place = 0; place < this.count; place++) {
      sink.u32(this.lengthAt(place));
      this.appendTo(sink, place, place);
    }
  }

  /** The first and the last text in the order of their bytes; there is at least one text. */
  outermost(): { readonly least: Uint8Array; readonly greatest: Uint8Array } {
    let least = 0;
    let greatest = 0;
    for (let place = 1; place < this.count; place++) {
      if (this.#isBefore(place, least)) least = place;
      else if (this.#isBefore(greatest, place)) greatest = place;
    }
    return { least: this.bytesAt(least), greatest: this.bytesAt(greatest) };
  }

  #isBefore(a: number, b: number): boolean {
    const bytes = this.#bytes;
    const startOfA = this.#starts[a] ?? 0;
    const startOfB = this.#starts[b] ?? 0;
    const lengthOfA = this.lengthAt(a);
    const lengthOfB = this.lengthAt(b);
    const shared = Math.min(lengthOfA, lengthOfB);
    for (let index = 0; index < shared; index++) {
      const byteOfA = bytes[startOfA + index] ?? 0;
      const byteOfB = bytes[startOfB + index] ?? 0;
      if (byteOfA !== byteOfB) return byteOfA < byteOfB;
    }
    return lengthOfA < lengthOfB;
  }

  #equals(place: number, start: number, end: number): boolean {
    const other = this.#starts[place] ?? 0;
    if (this.lengthAt(place) !== end - start) return false;
    const bytes = this.#bytes;
    for (let index = 0; index < end - start; index++) {
      if (bytes[other + index] !== bytes[start + index]) return false;
    }
    return true;
  }

  /** Copies a text behind the last one, four bytes at a time, and returns its hash. */
  #copyIn(source: DataView, from: number, length: number): number {
    const target = this.#view;
    const start = this.#length;
    const wordsEnd = length & ~3;
    let hash = SEED ^ length;
    let index = 0;
    for (; index < wordsEnd; index += 4) {
      const word = source.getInt32(from + index, true);
      target.setInt32(start + index, word, true);
      hash = Math.imul(hash ^ word, 0x85eb_ca6b);
      hash ^= hash >>> 15;
    }
    for (; index < length; index++) {
      const byte = source.getUint8(from + index);
      target.setUint8(start + index, byte);
      hash = Math.imul(hash ^ byte, 0x0100_0193);
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0xc2b2_ae35);
    return hash ^ (hash >>> 13);
  }

  #reserveBytes(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = viewOf(grown);
  }

  #growTable(): void {
    const size = this.#slots.length * 2;
    const starts = new Uint32Array(size);
    starts.set(this.#starts.subarray(0, this.count + 1));
    this.#starts = starts;
    const hashes = new Int32Array(size);
    hashes.set(this.#hashes.subarray(0, this.count));
    this.#hashes = hashes;
    const slots = new Int32Array(size);
    for (let place = 0; place < this.count; place++) {
      let slot = (hashes[place] ?? 0) & (size - 1);
      while (slots[slot] !== 0) slot = (slot + 1) & (size - 1);
      slots[slot] = place + 1;
    }
    this.#slots = slots;
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
