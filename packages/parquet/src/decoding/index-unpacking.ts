import { bitWidthOf } from '../encoding/bit-packing.ts';
import { ByteSource, DamagedBytes } from './byte-source.ts';

/**
 * The body of a data page of dictionary indices, one run as `encodeIndices` writes it, into `indices`. Errors:
 * `DamagedBytes`, also for an index that is none of the dictionary's. Hot.
 */
export function unpackIndices(
  page: Uint8Array,
  indices: Uint32Array,
  rowCount: number,
  distinctCount: number,
): void {
  const source = new ByteSource(page);
  const width = source.u8();
  const run = source.uleb();
  if (distinctCount === 1) {
    const isRun = width === 1 && run === rowCount * 2 && source.u8() === 0 && source.left === 0;
    if (!isRun) throw new DamagedBytes('has other indices than its dictionary allows');
    indices.fill(0, 0, rowCount);
    return;
  }
  const groups = Math.ceil(rowCount / 8);
  const isRun =
    distinctCount > 0 &&
    width === bitWidthOf(distinctCount - 1) &&
    run === groups * 2 + 1 &&
    source.left === groups * width;
  if (!isRun) throw new DamagedBytes('has other indices than its dictionary allows');
  const greatest = unpackRun(page.subarray(source.position), indices, rowCount, width);
  if (greatest >= distinctCount) throw new DamagedBytes('has an index outside its dictionary');
}

/** Returns the greatest. Byte by byte, as a run is no multiple of words; an index is of 1 to 24 bits. */
function unpackRun(
  bytes: Uint8Array,
  indices: Uint32Array,
  rowCount: number,
  width: number,
): number {
  const mask = (1 << width) - 1;
  let position = 0;
  let word = 0;
  let left = 0;
  let greatest = 0;
  for (let row = 0; row < rowCount; row++) {
    while (left < width) {
      word |= (bytes[position++] ?? 0) << left;
      left += 8;
    }
    const index = word & mask;
    word >>>= width;
    left -= width;
    if (index > greatest) greatest = index;
    indices[row] = index;
  }
  return greatest;
}
