import { bitWidthOf, packBits } from './bit-packing.ts';
import type { ByteSink } from './byte-sink.ts';

/** Appends the body of a data page of dictionary indices: one run, repeated or packed. */
export function encodeIndices(
  sink: ByteSink,
  indices: Uint32Array,
  rowCount: number,
  distinctCount: number,
): void {
  if (distinctCount === 1) {
    sink.u8(1);
    sink.uleb(rowCount * 2);
    sink.u8(0);
    return;
  }
  const width = bitWidthOf(distinctCount - 1);
  sink.u8(width);
  sink.uleb(Math.ceil(rowCount / 8) * 2 + 1);
  packBits(sink, indices, { from: 0, count: rowCount, width, multipleOf: 8 });
}
