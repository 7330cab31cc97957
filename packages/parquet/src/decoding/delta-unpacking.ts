/**
 * DELTA_BINARY_PACKED back to 64-bit integers, as `DeltaPacker` writes it: blocks of 128 deltas in four miniblocks.
 * Hot: values are two halves, and a delta is a double wherever that is exact; no bigint for a value.
 */

import { keepCompiled } from '@tracelake/domain';
import { ByteSource, DamagedBytes } from './byte-source.ts';

const BLOCK_VALUES = 128;
const MINIBLOCKS = 4;
const MINIBLOCK_VALUES = BLOCK_VALUES / MINIBLOCKS;
const TWO_32 = 2 ** 32;

/** A least delta within this, and what is added to it, is a sum that a double holds exactly. */
const EXACT_LEAST = 2n ** 52n;

/** Decodes pages one after the other, with scratch memory of its own. */
export class DeltaUnpacker {
  readonly #low = new Int32Array(MINIBLOCK_VALUES);
  readonly #high = new Int32Array(MINIBLOCK_VALUES);

  /**
   * Puts the page's `count` values, at least one, into `halves`: low at `2 * row`, high after it. Errors:
   * `DamagedBytes` for a page that has not exactly so many values.
   */
  decode(page: Uint8Array, halves: Int32Array, count: number): void {
    if (this.decodeFirst(page, halves, count) === page.length) return;
    throw new DamagedBytes('has bytes behind its last delta');
  }

  /** The same for a page that goes on with something else; returns where. */
  decodeFirst(page: Uint8Array, halves: Int32Array, count: number): number {
    const source = new ByteSource(page);
    const isOurs =
      source.uleb() === BLOCK_VALUES && source.uleb() === MINIBLOCKS && source.uleb() === count;
    if (!isOurs) throw new DamagedBytes('has other deltas than its file says');
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    const first = source.zigzagBig();
    halves[0] = Number(BigInt.asIntN(32, first));
    halves[1] = Number(first >> 32n);
    for (let start = 1; start < count; start += BLOCK_VALUES) {
      const least = source.zigzagBig();
      const widths = source.take(MINIBLOCKS);
      for (let mini = 0; mini < MINIBLOCKS; mini++) {
        const width = widths[mini] ?? 0;
        const row = start + mini * MINIBLOCK_VALUES;
        const rows = Math.max(0, Math.min(MINIBLOCK_VALUES, count - row));
        if (width > 64) throw new DamagedBytes(`has deltas of ${width} bits`);
        const at = source.position;
        // A miniblock is written whole, also the last one.
        source.take(width * 4);
        if (width <= 32) unpackBits(view, at, width, this.#low);
        else this.#unpackWide(view, at, width);
        if (width <= 32 && least >= -EXACT_LEAST && least <= EXACT_LEAST) {
          this.#addExact(halves, row, rows, Number(least));
        } else this.#addWrapped(halves, row, rows, least, width > 32);
      }
    }
    return source.position;
  }

  #addExact(halves: Int32Array, from: number, rows: number, least: number): void {
    const above = this.#low;
    let low = (halves[2 * from - 2] ?? 0) >>> 0;
    let high = halves[2 * from - 1] ?? 0;
    for (let i = 0; i < rows; i++) {
      low += least + ((above[i] ?? 0) >>> 0);
      if (low >= TWO_32 || low < 0) {
        const carry = Math.floor(low / TWO_32);
        high = (high + carry) | 0;
        low -= carry * TWO_32;
      }
      halves[2 * (from + i)] = low;
      halves[2 * (from + i) + 1] = high;
    }
  }

  /** 64-bit arithmetic that wraps. */
  #addWrapped(
    halves: Int32Array,
    from: number,
    rows: number,
    least: bigint,
    isWide: boolean,
  ): void {
    const leastLow = Number(BigInt.asUintN(32, least));
    const leastHigh = Number(least >> 32n);
    let low = (halves[2 * from - 2] ?? 0) >>> 0;
    let high = halves[2 * from - 1] ?? 0;
    for (let i = 0; i < rows; i++) {
      low += leastLow + ((this.#low[i] ?? 0) >>> 0);
      const carry = Math.floor(low / TWO_32);
      low -= carry * TWO_32;
      high = (high + leastHigh + carry + (isWide ? (this.#high[i] ?? 0) : 0)) | 0;
      halves[2 * (from + i)] = low;
      halves[2 * (from + i) + 1] = high;
    }
  }

  /** Values of 33 to 64 bits: each its low half, then the rest. */
  #unpackWide(view: DataView, from: number, width: number): void {
    for (let i = 0; i < MINIBLOCK_VALUES; i++) {
      this.#low[i] = bitsAt(view, from, i * width, 32);
      this.#high[i] = bitsAt(view, from, i * width + 32, width - 32);
    }
  }
}

keepCompiled(new DeltaUnpacker());

/** Fills `values`, 32 of them or a multiple, from numbers of at most 32 bits side by side. */
function unpackBits(view: DataView, from: number, width: number, values: Int32Array): void {
  if (width === 0 || width === 32) {
    for (let i = 0; i < values.length; i++) {
      values[i] = width === 0 ? 0 : view.getInt32(from + 4 * i, true);
    }
    return;
  }
  const mask = (1 << width) - 1;
  let position = from;
  let word = 0;
  let left = 0;
  for (let i = 0; i < values.length; i++) {
    if (left >= width) {
      values[i] = word & mask;
      word >>>= width;
      left -= width;
    } else {
      const next = view.getInt32(position, true);
      position += 4;
      values[i] = (word | (next << left)) & mask;
      // A shift by 32 is not met: here `left` is less than `width`, which is less than 32.
      word = next >>> (width - left);
      left += 32 - width;
    }
  }
}

/** Up to 32 bits at any bit of whole words. */
function bitsAt(view: DataView, from: number, bit: number, width: number): number {
  const at = from + (bit >>> 5) * 4;
  const shift = bit & 31;
  let value = view.getInt32(at, true) >>> shift;
  if (shift + width > 32) value |= view.getInt32(at + 4, true) << (32 - shift);
  return width === 32 ? value | 0 : value & ((1 << width) - 1);
}
