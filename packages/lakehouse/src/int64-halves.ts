/**
 * 64-bit columns as pairs of 32-bit halves, least significant first. Hot loops that compare, subtract or move
 * single values go through them, since a bigint that is more than read and stored costs an allocation.
 */

import { columnMemory } from './column-memory.ts';

const TWO_32 = 2 ** 32;

/** Two entries a value, on the same memory. */
export function halvesOf(values: BigInt64Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length * 2);
}

/** Compares two values of one column: negative, zero or positive. */
export function compareHalves(halves: Int32Array, a: number, b: number): number {
  const highOfA = halves[a * 2 + 1] ?? 0;
  const highOfB = halves[b * 2 + 1] ?? 0;
  if (highOfA !== highOfB) return highOfA < highOfB ? -1 : 1;
  return ((halves[a * 2] ?? 0) >>> 0) - ((halves[b * 2] ?? 0) >>> 0);
}

/** The row of the greatest value; 0 when there are no rows. */
export function rowOfGreatest(values: BigInt64Array): number {
  const halves = halvesOf(values);
  let greatest = 0;
  for (let row = 1; row < values.length; row++) {
    if (compareHalves(halves, row, greatest) > 0) greatest = row;
  }
  return greatest;
}

/** The row of the least value; 0 when there are no rows. */
export function rowOfLeast(values: BigInt64Array): number {
  const halves = halvesOf(values);
  let least = 0;
  for (let row = 1; row < values.length; row++) {
    if (compareHalves(halves, row, least) < 0) least = row;
  }
  return least;
}

/** The values less the one of `row`, as doubles that are exact; undefined when one of them would not be. */
export function distancesFrom(values: BigInt64Array, row: number): Float64Array | undefined {
  const halves = halvesOf(values);
  const low = (halves[row * 2] ?? 0) >>> 0;
  const high = halves[row * 2 + 1] ?? 0;
  const distances = new Float64Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const distance =
      ((halves[index * 2 + 1] ?? 0) - high) * TWO_32 + (((halves[index * 2] ?? 0) >>> 0) - low);
    if (distance > Number.MAX_SAFE_INTEGER || distance < -Number.MAX_SAFE_INTEGER) return undefined;
    distances[index] = distance;
  }
  return distances;
}

/** `to[row] = ends[row] - begins[row]`; whatever does not fit is left to `clamp`, which gets the exact difference. */
export function differences(
  ends: BigInt64Array,
  begins: BigInt64Array,
  clamp: (difference: bigint) => bigint,
): BigInt64Array {
  const to = columnMemory.bigInt64(ends.length);
  const endHalves = halvesOf(ends);
  const beginHalves = halvesOf(begins);
  const toHalves = halvesOf(to);
  for (let row = 0; row < to.length; row++) {
    const low = ((endHalves[row * 2] ?? 0) >>> 0) - ((beginHalves[row * 2] ?? 0) >>> 0);
    const high =
      (endHalves[row * 2 + 1] ?? 0) - (beginHalves[row * 2 + 1] ?? 0) - (low < 0 ? 1 : 0);
    toHalves[row * 2] = low;
    toHalves[row * 2 + 1] = high;
    if (high !== (high | 0)) to[row] = clamp((ends[row] ?? 0n) - (begins[row] ?? 0n));
  }
  return to;
}

/** The values of `order`'s rows. */
export function gatherInt64(from: BigInt64Array, order: Uint32Array): BigInt64Array {
  const to = new BigInt64Array(order.length);
  const fromHalves = halvesOf(from);
  const toHalves = halvesOf(to);
  for (let row = 0; row < order.length; row++) {
    const source = order[row] ?? 0;
    toHalves[row * 2] = fromHalves[source * 2] ?? 0;
    toHalves[row * 2 + 1] = fromHalves[source * 2 + 1] ?? 0;
  }
  return to;
}
