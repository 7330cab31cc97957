/** Row groups of columns of numbers: deltas for 64-bit ones, dictionaries for 32-bit ones. Hot. */

import { ByteSink } from './byte-sink.ts';
import type { ChunkStatistics, EncodedChunk } from './column-chunk.ts';
import { DeltaPacker } from './delta-binary-packing.ts';
import { encodeIndices } from './dictionary-indices.ts';
import { compressAlways, compressIfSmaller } from './page-compression.ts';
import {
  ENCODING_DELTA_BINARY_PACKED,
  ENCODING_PLAIN,
  ENCODING_RLE_DICTIONARY,
} from './parquet-format.ts';

/** Past this many distinct values of a row group a dictionary does not pay. */
const DICTIONARY_VALUES_MAX = 8192;
const TABLE_SLOTS = 4 * DICTIONARY_VALUES_MAX;
const TABLE_SHIFT = 32 - Math.log2(TABLE_SLOTS);

/** Scratch memory for one column chunk at a time. */
export class NumberEncoder {
  readonly #sink = new ByteSink(64 * 1024);
  readonly #deltas = new DeltaPacker();
  readonly #slots = new Int32Array(TABLE_SLOTS);
  readonly #distinct = new Int32Array(DICTIONARY_VALUES_MAX);
  #indices = new Uint32Array(0);

  int64(values: BigInt64Array, from: number, to: number): EncodedChunk {
    this.#sink.clear();
    this.#deltas.encode(this.#sink, values, from, to);
    return {
      dictionary: undefined,
      data: compressIfSmaller(this.#sink.written()),
      encoding: ENCODING_DELTA_BINARY_PACKED,
      statistics: int64Statistics(values, from, to),
    };
  }

  int32(values: Int32Array | Uint32Array, from: number, to: number): EncodedChunk {
    const distinctCount = this.#findDistinct(values, from, to);
    const statistics = int32Statistics(values, from, to);
    if (distinctCount < 0) return plainChunk(values.subarray(from, to), statistics);
    const distinct = this.#distinct.subarray(0, distinctCount);
    this.#sink.clear();
    encodeIndices(this.#sink, this.#indices, to - from, distinctCount);
    return {
      dictionary: { page: compressAlways(bytesOf(distinct)), valueCount: distinctCount },
      data: compressIfSmaller(this.#sink.written()),
      encoding: ENCODING_RLE_DICTIONARY,
      statistics,
    };
  }

  double(values: Float64Array, from: number, to: number): EncodedChunk {
    return plainChunk(values.subarray(from, to), doubleStatistics(values, from, to));
  }

  /** Bits, least significant first. */
  boolean(values: Uint8Array, from: number, to: number): EncodedChunk {
    const sink = this.#sink;
    sink.clear();
    sink.reserve((to - from + 7) >> 3);
    let trueCount = 0;
    for (let row = from; row < to; row += 8) {
      let bits = 0;
      const end = Math.min(row + 8, to);
      for (let index = row; index < end; index++) {
        const bit = values[index] === 0 ? 0 : 1;
        bits |= bit << (index - row);
        trueCount += bit;
      }
      sink.bytes[sink.length++] = bits;
    }
    const least = Uint8Array.of(trueCount === to - from ? 1 : 0);
    return {
      dictionary: undefined,
      data: compressIfSmaller(sink.written()),
      encoding: ENCODING_PLAIN,
      statistics: { least, greatest: Uint8Array.of(trueCount === 0 ? 0 : 1) },
    };
  }

  /** Numbers the distinct values in order of first use; -1 when there are too many. */
  #findDistinct(values: Int32Array | Uint32Array, from: number, to: number): number {
    const slots = this.#slots;
    const distinct = this.#distinct;
    if (this.#indices.length < to - from) this.#indices = new Uint32Array(to - from);
    const indices = this.#indices;
    slots.fill(0);
    let count = 0;
    let lastValue = 0;
    let lastIndex = -1;
    for (let row = from; row < to; row++) {
      const value = (values[row] ?? 0) | 0;
      if (lastIndex < 0 || value !== lastValue) {
        lastValue = value;
        let slot = Math.imul(value, 0x9e37_79b1) >>> TABLE_SHIFT;
        for (;;) {
          const indexPlusOne = slots[slot] ?? 0;
          if (indexPlusOne === 0) {
            if (count === DICTIONARY_VALUES_MAX) return -1;
            distinct[count] = value;
            lastIndex = count++;
            slots[slot] = count;
            break;
          }
          if (distinct[indexPlusOne - 1] === value) {
            lastIndex = indexPlusOne - 1;
            break;
          }
          slot = (slot + 1) & (TABLE_SLOTS - 1);
        }
      }
      indices[row - from] = lastIndex;
    }
    return count;
  }
}

type Numbers = Int32Array | Uint32Array | Float64Array | BigInt64Array;

function plainChunk(values: Numbers, statistics: ChunkStatistics | undefined): EncodedChunk {
  return {
    dictionary: undefined,
    data: compressIfSmaller(bytesOf(values)),
    encoding: ENCODING_PLAIN,
    statistics,
  };
}

/** Parquet is little-endian, as is every machine this runs on. */
function bytesOf(values: Numbers): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function int64Statistics(values: BigInt64Array, from: number, to: number): ChunkStatistics {
  const halves = new Int32Array(values.buffer, values.byteOffset, values.length * 2);
  let leastRow = from;
  let leastLow = (halves[from * 2] ?? 0) >>> 0;
  let leastHigh = halves[from * 2 + 1] ?? 0;
  let greatestRow = from;
  let greatestLow = leastLow;
  let greatestHigh = leastHigh;
  for (let row = from + 1; row < to; row++) {
    const low = (halves[row * 2] ?? 0) >>> 0;
    const high = halves[row * 2 + 1] ?? 0;
    if (high < leastHigh || (high === leastHigh && low < leastLow)) {
      leastRow = row;
      leastLow = low;
      leastHigh = high;
    } else if (high > greatestHigh || (high === greatestHigh && low > greatestLow)) {
      greatestRow = row;
      greatestLow = low;
      greatestHigh = high;
    }
  }
  return {
    least: bytesOf(values.slice(leastRow, leastRow + 1)),
    greatest: bytesOf(values.slice(greatestRow, greatestRow + 1)),
  };
}

function int32Statistics(
  values: Int32Array | Uint32Array,
  from: number,
  to: number,
): ChunkStatistics {
  let least = values[from] ?? 0;
  let greatest = least;
  for (let row = from + 1; row < to; row++) {
    const value = values[row] ?? 0;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  return { least: bytesOf(Int32Array.of(least)), greatest: bytesOf(Int32Array.of(greatest)) };
}

/** None where there is a NaN, which has no place in the order; zeros are stated with the outermost sign. */
function doubleStatistics(
  values: Float64Array,
  from: number,
  to: number,
): ChunkStatistics | undefined {
  let least = Number.POSITIVE_INFINITY;
  let greatest = Number.NEGATIVE_INFINITY;
  for (let row = from; row < to; row++) {
    const value = values[row] ?? 0;
    if (Number.isNaN(value)) return undefined;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  return {
    least: bytesOf(Float64Array.of(least === 0 ? -0 : least)),
    greatest: bytesOf(Float64Array.of(greatest === 0 ? 0 : greatest)),
  };
}
