/**
 * Two kinds of time. `Nanoseconds` count from the Unix epoch (UTC); `Ticks` count on the producer's own
 * clock. A `TickCalibration` is the only way from one to the other.
 */

declare const brand: unique symbol;

export type Nanoseconds = bigint & { readonly [brand]: 'Nanoseconds' };
export type Ticks = bigint & { readonly [brand]: 'Ticks' };

/** A range of event time, inclusive at both ends: a range of zero length holds its one instant. */
export interface TimeRange {
  readonly beginNs: Nanoseconds;
  readonly endNs: Nanoseconds;
}

/** How a process's ticks map to time: `ns = startNs + round((ticks - startTicks) * 1e9 / frequencyHz)`. */
export interface TickCalibration {
  readonly startTicks: Ticks;
  readonly startNs: Nanoseconds;
  readonly frequencyHz: number;
}

export function nanoseconds(value: bigint): Nanoseconds {
  return value as Nanoseconds;
}

export function ticks(value: bigint): Ticks {
  return value as Ticks;
}

/** Rounds half away from zero, as the reference does. */
export function roundHalfAwayFromZero(value: number): number {
  return value < 0 ? -Math.round(-value) : Math.round(value);
}

/** Converts an absolute tick counter value. */
export function ticksToNs(calibration: TickCalibration, absoluteTicks: bigint): Nanoseconds {
  return relativeTicksToNs(calibration, absoluteTicks - calibration.startTicks);
}

/** Converts ticks counted from the process's start, as block envelopes carry them. */
export function relativeTicksToNs(calibration: TickCalibration, deltaTicks: bigint): Nanoseconds {
  const nsPerTick = 1e9 / calibration.frequencyHz;
  const deltaNs = roundHalfAwayFromZero(Number(deltaTicks) * nsPerTick);
  return (calibration.startNs + BigInt(deltaNs)) as Nanoseconds;
}

const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))$/;

/**
 * Reads an RFC 3339 time with any offset and any number of fractional digits (past nine they are dropped).
 * Returns undefined for anything else, dates that do not exist included. A leap second counts as the
 * second after it.
 */
export function parseRfc3339(text: string): Nanoseconds | undefined {
  if (text.length > 64) return undefined;
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', , sign, offsetH, offsetM] = match;
  const midnightMs = Date.UTC(2000, Number(month) - 1, Number(day));
  const date = new Date(midnightMs);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day))
    return undefined;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  const secondOfDay = Number(hour) * 3600 + Number(minute) * 60 + Number(second);
  let offsetSeconds = 0;
  if (sign !== undefined) {
    if (Number(offsetH) > 23 || Number(offsetM) > 59) return undefined;
    offsetSeconds = (Number(offsetH) * 3600 + Number(offsetM) * 60) * (sign === '-' ? -1 : 1);
  }
  const seconds = BigInt(date.getTime() / 1000 + secondOfDay - offsetSeconds);
  const subsecondNs = BigInt(fraction.slice(0, 9).padEnd(9, '0'));
  return (seconds * 1_000_000_000n + subsecondNs) as Nanoseconds;
}

/** Prints `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`, always nine fractional digits. */
export function formatRfc3339(time: Nanoseconds): string {
  let seconds = time / 1_000_000_000n;
  let subsecondNs = time % 1_000_000_000n;
  if (subsecondNs < 0n) {
    subsecondNs += 1_000_000_000n;
    seconds -= 1n;
  }
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, -5);
  return `${whole}.${subsecondNs.toString().padStart(9, '0')}Z`;
}

/** Drops what Postgres's `timestamptz` cannot hold: whole microseconds, rounded toward the past. */
export function truncateToMicroseconds(time: Nanoseconds): Nanoseconds {
  const remainder = ((time % 1000n) + 1000n) % 1000n;
  return (time - remainder) as Nanoseconds;
}
