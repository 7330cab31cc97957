/**
 * One LZ4 block: sequences of `token, literals, match offset: u16, match`. A hot loop: no allocation, runs are
 * copied 8 bytes at a time past their end where there is room (bigints that only go from one DataView to another
 * cost nothing); measured by `bench/decode.bench.ts`.
 *
 * Source: LZ4 block format description, lz4_Block_format.md of the lz4 project.
 */

/** Runs at least this long are copied natively; shorter ones cost less without the call. */
const NATIVE_COPY_BYTES_MIN = 256;
const MATCH_BYTES_MIN = 4;
const LENGTH_CONTINUES = 15;
const DAMAGED = -1;
const STRIDE = 8;

/** The output must go on for this long after the end of a block's window: what is written there means nothing. */
export const OUTPUT_SLACK_BYTES = STRIDE;

/** Bytes with a view of the same range. */
export interface ViewedBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** The range of the compressed block, and where its output may go. */
export interface Lz4BlockRanges {
  readonly blockStart: number;
  readonly blockEnd: number;
  /** Where the output of this block begins. */
  readonly start: number;
  /** The output must not pass this. */
  readonly end: number;
  /** The first byte that matches may reach back to. */
  readonly windowStart: number;
}

/**
 * Decompresses one block of `source` into `target` and returns where its output ends, or -1 when the block is
 * damaged. Neither buffer is accessed out of bounds, whatever the bytes.
 */
export function decodeLz4Block(
  { bytes: source, view: sourceView }: ViewedBytes,
  { bytes: output, view: outputView }: ViewedBytes,
  { blockStart, blockEnd, start, end, windowStart }: Lz4BlockRanges,
): number {
  let at = blockStart;
  let out = start;
  while (at < blockEnd) {
    const token = source[at] ?? 0;
    at += 1;
    let length = token >> 4;
    if (length === LENGTH_CONTINUES) {
      let more = 255;
      while (more === 255) {
        if (at >= blockEnd) return DAMAGED;
        more = source[at] ?? 0;
        at += 1;
        length += more;
      }
    }
    if (length > blockEnd - at || length > end - out) return DAMAGED;
    const literalsEnd = out + length;
    if (length >= NATIVE_COPY_BYTES_MIN) {
      output.set(source.subarray(at, at + length), out);
      at += length;
    } else if (at + length + STRIDE <= blockEnd) {
      let from = at;
      for (let to = out; to < literalsEnd; to += STRIDE, from += STRIDE)
        outputView.setBigUint64(to, sourceView.getBigUint64(from, true), true);
      at += length;
    } else {
      for (let to = out; to < literalsEnd; to += 1, at += 1) output[to] = source[at] ?? 0;
    }
    out = literalsEnd;
    if (at === blockEnd) return out;
    if (at + 2 > blockEnd) return DAMAGED;
    const offset = sourceView.getUint16(at, true);
    at += 2;
    if (offset === 0 || offset > out - windowStart) return DAMAGED;
    length = token & 15;
    if (length === LENGTH_CONTINUES) {
      let more = 255;
      while (more === 255) {
        if (at >= blockEnd) return DAMAGED;
        more = source[at] ?? 0;
        at += 1;
        length += more;
      }
    }
    length += MATCH_BYTES_MIN;
    if (length > end - out) return DAMAGED;
    let from = out - offset;
    const matchEnd = out + length;
    if (length >= NATIVE_COPY_BYTES_MIN && offset >= length) {
      output.copyWithin(out, from, from + length);
    } else if (length >= NATIVE_COPY_BYTES_MIN && offset === 1) {
      output.fill(output[from] ?? 0, out, matchEnd);
    } else if (offset >= STRIDE) {
      // What a stride reads was written by the ones before it.
      for (let to = out; to < matchEnd; to += STRIDE, from += STRIDE)
        outputView.setBigUint64(to, outputView.getBigUint64(from, true), true);
    } else {
      for (let to = out; to < matchEnd; to += 1, from += 1) output[to] = output[from] ?? 0;
    }
    out = matchEnd;
  }
  // A block ends in literals; one that does not was cut.
  return DAMAGED;
}
