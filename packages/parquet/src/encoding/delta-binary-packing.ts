/**
 * DELTA_BINARY_PACKED for 64-bit integers: blocks of 128 deltas, each block its least delta and four
 * miniblocks of what the deltas are above it. Deltas wrap as 64-bit arithmetic does, so that any values are
 * encoded. Hot: deltas are doubles while they are exact, which is nearly always; no bigint then.
 */

import { bitWidthOf, packBits, packWideBits } from './bit-packing.ts';
import type { ByteSink } from './byte-sink.ts';

const BLOCK_VALUES = 128;
const MINIBLOCKS = 4;
const MINIBLOCK_VALUES = BLOCK_VALUES / MINIBLOCKS;
/** Widths and least delta, and 128 values of 8 bytes. */
const BLOCK_BYTES_MAX = 16 + BLOCK_VALUES * 8;
const TWO_32 = 2 ** 32;

/** Encodes columns one after the other, with scratch memory of its own. */
export class DeltaPacker {
  readonly #deltas = new Float64Array(BLOCK_VALUES);
  readonly #low = new Uint32Array(BLOCK_VALUES);
  readonly #high = new Uint32Array(BLOCK_VALUES);

  /** Appends the values `[from, to)`, of which there is at least one. */
  encode(sink: ByteSink, values: BigInt64Array, from: number, to: number): void {
    sink.uleb(BLOCK_VALUES);
    sink.uleb(MINIBLOCKS);
    sink.uleb(to - from);
    sink.zigzagBig(values[from] ?? 0n);
    const halves = new Int32Array(values.buffer, values.byteOffset, values.length * 2);
    const deltas = this.#deltas;
    let previousLow = (halves[from * 2] ?? 0) >>> 0;
    let previousHigh = halves[from * 2 + 1] ?? 0;
    for (let start = from + 1; start < to; start += BLOCK_VALUES) {
      const count = Math.min(BLOCK_VALUES, to - start);
      let least = Number.POSITIVE_INFINITY;
      let greatest = Number.NEGATIVE_INFINITY;
      for (let index = 0; index < count; index++) {
        const low = (halves[(start + index) * 2] ?? 0) >>> 0;
        const high = halves[(start + index) * 2 + 1] ?? 0;
        const delta = (high - previousHigh) * TWO_32 + (low - previousLow);
        deltas[index] = delta;
        if (delta < least) least = delta;
        if (delta > greatest) greatest = delta;
        previousLow = low;
        previousHigh = high;
      }
      sink.reserve(BLOCK_BYTES_MAX);
      if (isExact(least) && isExact(greatest) && isExact(greatest - least)) {
        this.#packExact(sink, count, least, greatest - least);
      } else {
        this.#packWrapped(sink, values, start, count);
      }
    }
  }

  #packExact(sink: ByteSink, count: number, least: number, widest: number): void {
    const deltas = this.#deltas;
    const low = this.#low;
    sink.zigzag(least);
    for (let index = 0; index < count; index++) low[index] = (deltas[index] ?? 0) - least;
    if (widest >= TWO_32) {
      const high = this.#high;
      for (let index = 0; index < count; index++) {
        high[index] = Math.floor(((deltas[index] ?? 0) - least) / TWO_32);
      }
      this.#packMiniblocks(sink, count, true);
    } else {
      this.#packMiniblocks(sink, count, false);
    }
  }

  #packWrapped(sink: ByteSink, values: BigInt64Array, start: number, count: number): void {
    const deltas: bigint[] = [];
    let least = 0n;
    for (let index = 0; index < count; index++) {
      const row = start + index;
      const delta = BigInt.asIntN(64, (values[row] ?? 0n) - (values[row - 1] ?? 0n));
      deltas.push(delta);
      if (index === 0 || delta < least) least = delta;
    }
    sink.zigzagBig(least);
    for (const [index, delta] of deltas.entries()) {
      const above = BigInt.asUintN(64, delta - least);
      this.#low[index] = Number(BigInt.asUintN(32, above));
      this.#high[index] = Number(above >> 32n);
    }
    this.#packMiniblocks(sink, count, true);
  }

  #packMiniblocks(sink: ByteSink, count: number, isWide: boolean): void {
    const low = this.#low;
    const high = this.#high;
    low.fill(0, count);
    if (isWide) high.fill(0, count);
    const widthsAt = sink.length;
    sink.length += MINIBLOCKS;
    for (let mini = 0; mini < MINIBLOCKS; mini++) {
      const from = mini * MINIBLOCK_VALUES;
      let width = from < count ? widthOfMiniblock(low, from) : 0;
      if (isWide && from < count) {
        const highWidth = widthOfMiniblock(high, from);
        if (highWidth > 0) width = 32 + highWidth;
      }
      sink.bytes[widthsAt + mini] = width;
      if (width > 32) packWideBits(sink, this.#halves, from, width);
      else if (width > 0) {
        packBits(sink, low, { from, count: MINIBLOCK_VALUES, width, multipleOf: MINIBLOCK_VALUES });
      }
    }
  }

  get #halves(): { readonly low: Uint32Array; readonly high: Uint32Array } {
    return { low: this.#low, high: this.#high };
  }
}

function isExact(value: number): boolean {
  return value >= -Number.MAX_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER;
}

function widthOfMiniblock(values: Uint32Array, from: number): number {
  let bits = 0;
  for (let index = from; index < from + MINIBLOCK_VALUES; index++) bits |= values[index] ?? 0;
  return bitWidthOf(bits);
}
