/**
 * Values side by side in as few bits as the largest takes, least significant first, as Parquet packs
 * dictionary indices and deltas. Hot: one 32-bit store for every 32 bits.
 */

import type { ByteSink } from './byte-sink.ts';

/** Bits of a number from 0 to 2^32 - 1. */
export function bitWidthOf(value: number): number {
  return 32 - Math.clz32(value);
}

/**
 * Appends `count` values of at most 32 bits, zeros after them up to a multiple of `multipleOf` values; that
 * multiple times the width must be whole bytes.
 */
export function packBits(
  sink: ByteSink,
  values: Uint32Array,
  { from, count, width, multipleOf }: PackRequest,
): void {
  const padded = Math.ceil(count / multipleOf) * multipleOf;
  const byteCount = (padded * width) / 8;
  sink.reserve(byteCount + 4);
  const { view } = sink;
  const end = sink.length + byteCount;
  let position = sink.length;
  let word = 0;
  let used = 0;
  for (let index = from; index < from + count; index++) {
    const value = values[index] ?? 0;
    word |= value << used;
    used += width;
    if (used >= 32) {
      view.setInt32(position, word, true);
      position += 4;
      used -= 32;
      // A shift by 32 would be one by 0.
      word = used === 0 ? 0 : value >>> (width - used);
    }
  }
  if (position < end) {
    // The room for it is reserved, and what it writes past the end is written over.
    view.setInt32(position, word, true);
    position += 4;
  }
  if (position < end) sink.bytes.fill(0, position, end);
  sink.length = end;
}

export interface PackRequest {
  readonly from: number;
  readonly count: number;
  readonly width: number;
  readonly multipleOf: number;
}

/** The same for values of 33 to 64 bits in two halves, 32 of them. */
export function packWideBits(
  sink: ByteSink,
  halves: { readonly low: Uint32Array; readonly high: Uint32Array },
  from: number,
  width: number,
): void {
  sink.reserve(width * 4);
  const { view } = sink;
  const { low, high } = halves;
  const highWidth = width - 32;
  let position = sink.length;
  let word = 0;
  let used = 0;
  for (let index = from; index < from + 32; index++) {
    const lowValue = low[index] ?? 0;
    const highValue = high[index] ?? 0;
    view.setInt32(position, word | (lowValue << used), true);
    position += 4;
    word = used === 0 ? 0 : lowValue >>> (32 - used);
    word |= highValue << used;
    used += highWidth;
    if (used < 32) continue;
    view.setInt32(position, word, true);
    position += 4;
    used -= 32;
    word = used === 0 ? 0 : highValue >>> (highWidth - used);
  }
  sink.length = position;
}
