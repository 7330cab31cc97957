/**
 * Ticks to times, a column at a time. Hot loop: no bigint arithmetic for an event; 64-bit values are read and
 * written as 32-bit halves while they stay within what a double holds exactly.
 */

import { roundHalfAwayFromZero, type TickCalibration, ticksToNs } from '@tracelake/domain';
import { halvesOf } from './int64-halves.ts';

const TWO_32 = 2 ** 32;
const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);
/** The outermost values of 64 bits are no times to DuckDB but the two infinities and nothing at all. */
const TIME_MAX = INT64_MAX - 1n;
const TIME_MIN = INT64_MIN + 2n;

/**
 * Turns absolute ticks into nanoseconds since the Unix epoch, exactly as `ticksToNs` does; times that do not
 * fit 64 bits stop at the last one that does (`clampToTimes`).
 *
 * Ownership: `ticks` holds the times afterwards and is what comes back; a second array of megabytes a block would
 * cost page faults and collections of garbage.
 */
export function timesOfTicks(calibration: TickCalibration, ticks: BigInt64Array): BigInt64Array {
  const count = ticks.length;
  const halves = halvesOf(ticks);
  const nsPerTick = 1e9 / calibration.frequencyHz;
  const mayLeaveTime = isNearTheEnds(calibration.startNs);
  const startTicksLow = lowHalf(calibration.startTicks);
  const startTicksHigh = highHalf(calibration.startTicks);
  const startNsLow = lowHalf(calibration.startNs);
  const startNsHigh = highHalf(calibration.startNs);
  for (let index = 0; index < count; index++) {
    const low = (halves[index * 2] ?? 0) >>> 0;
    const high = halves[index * 2 + 1] ?? 0;
    const delta = (high - startTicksHigh) * TWO_32 + (low - startTicksLow);
    const deltaNs = roundHalfAwayFromZero(delta * nsPerTick);
    if (mayLeaveTime || !Number.isSafeInteger(delta) || !Number.isSafeInteger(deltaNs)) {
      ticks[index] = clampedTime(calibration, ticks[index] ?? 0n);
      continue;
    }
    const deltaHigh = Math.floor(deltaNs / TWO_32);
    const sumLow = startNsLow + (deltaNs - deltaHigh * TWO_32);
    halves[index * 2] = sumLow;
    halves[index * 2 + 1] = startNsHigh + deltaHigh + (sumLow >= TWO_32 ? 1 : 0);
  }
  return ticks;
}

/** Whether a sum with what a double holds exactly could pass an end of time. */
function isNearTheEnds(startNs: bigint): boolean {
  const reach = BigInt(Number.MAX_SAFE_INTEGER);
  return startNs > TIME_MAX - reach || startNs < TIME_MIN + reach;
}

function clampedTime(calibration: TickCalibration, absoluteTicks: bigint): bigint {
  return clampToTimes(ticksToNs(calibration, absoluteTicks));
}

/** The nearest time there is. */
export function clampToTimes(timeNs: bigint): bigint {
  if (timeNs > TIME_MAX) return TIME_MAX;
  return timeNs < TIME_MIN ? TIME_MIN : timeNs;
}

/** The nearest value that 64 bits hold. */
export function clampToInt64(value: bigint): bigint {
  if (value > INT64_MAX) return INT64_MAX;
  return value < INT64_MIN ? INT64_MIN : value;
}

function lowHalf(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

function highHalf(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n));
}
