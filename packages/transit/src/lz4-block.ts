/**
 * One LZ4 block: sequences of `token, literals, match offset: u16, match`. A hot loop: no allocation for short
 * runs; measured by `bench/decode.bench.ts`.
 *
 * Source: LZ4 block format description, lz4_Block_format.md of the lz4 project.
 */

/** Runs at least this long are copied natively; shorter ones cost less byte by byte. */
const NATIVE_COPY_BYTES_MIN = 48;
const MATCH_BYTES_MIN = 4;
const LENGTH_CONTINUES = 15;
const DAMAGED = -1;

export interface Lz4OutputWindow {
  /** Where the output of this block begins. */
  readonly start: number;
  /** The output must not pass this. */
  readonly end: number;
  /** The first byte that matches may reach back to. */
  readonly windowStart: number;
}

/**
 * Decompresses one block into `output` and returns where its output ends, or -1 when the block is damaged.
 * Neither buffer is accessed out of bounds, whatever the bytes.
 */
export function decodeLz4Block(
  block: Uint8Array,
  output: Uint8Array,
  { start, end, windowStart }: Lz4OutputWindow,
): number {
  const blockEnd = block.length;
  let at = 0;
  let out = start;
  while (at < blockEnd) {
    const token = block[at] ?? 0;
    at += 1;
    let length = token >> 4;
    if (length === LENGTH_CONTINUES) {
      let more = 255;
      while (more === 255) {
        if (at >= blockEnd) return DAMAGED;
        more = block[at] ?? 0;
        at += 1;
        length += more;
      }
    }
    if (length > blockEnd - at || length > end - out) return DAMAGED;
    if (length >= NATIVE_COPY_BYTES_MIN) {
      output.set(block.subarray(at, at + length), out);
      at += length;
      out += length;
    } else {
      for (const literalsEnd = out + length; out < literalsEnd; out += 1, at += 1)
        output[out] = block[at] ?? 0;
    }
    if (at === blockEnd) return out;
    if (at + 2 > blockEnd) return DAMAGED;
    const offset = (block[at] ?? 0) | ((block[at + 1] ?? 0) << 8);
    at += 2;
    if (offset === 0 || offset > out - windowStart) return DAMAGED;
    length = token & 15;
    if (length === LENGTH_CONTINUES) {
      let more = 255;
      while (more === 255) {
        if (at >= blockEnd) return DAMAGED;
        more = block[at] ?? 0;
        at += 1;
        length += more;
      }
    }
    length += MATCH_BYTES_MIN;
    if (length > end - out) return DAMAGED;
    let from = out - offset;
    if (length >= NATIVE_COPY_BYTES_MIN && offset >= length) {
      output.copyWithin(out, from, from + length);
      out += length;
    } else if (length >= NATIVE_COPY_BYTES_MIN && offset === 1) {
      output.fill(output[from] ?? 0, out, out + length);
      out += length;
    } else {
      for (const matchEnd = out + length; out < matchEnd; out += 1, from += 1)
        output[out] = output[from] ?? 0;
    }
  }
  // A block ends in literals; one that does not was cut.
  return DAMAGED;
}
