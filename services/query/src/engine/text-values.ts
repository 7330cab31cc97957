/** Values as text for JSON and CSV: exact integers, times with their nanoseconds. */

import {
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBUnionValue,
  type DuckDBValue,
} from '@duckdb/node-api';

/** What `Date` can say: 8.64e15 ms either way. */
const DATE_SECONDS_MAX = 8_640_000_000_000n;

/** RFC 3339 in UTC with nanoseconds; undefined beyond the years that it knows. */
export function rfc3339(timeNs: bigint): string | undefined {
  let seconds = timeNs / 1_000_000_000n;
  let rest = timeNs % 1_000_000_000n;
  if (rest < 0n) {
    seconds -= 1n;
    rest += 1_000_000_000n;
  }
  if (seconds > DATE_SECONDS_MAX || seconds < -DATE_SECONDS_MAX) return undefined;
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, -5);
  return `${whole}.${rest.toString().padStart(9, '0')}Z`;
}

/** A value that JSON has no literal for, as the text that goes into quotes (JSON) or a field (CSV). */
export function plainText(value: DuckDBValue): string {
  const timeNs = nanosecondsOf(value);
  if (timeNs !== undefined) return rfc3339(timeNs) ?? String(value);
  if (value instanceof DuckDBBlobValue) return Buffer.from(value.bytes).toString('base64');
  return String(value);
}

/** Infinite times have no nanoseconds: DuckDB's own text says `infinity`. */
function nanosecondsOf(value: DuckDBValue): bigint | undefined {
  if (value instanceof DuckDBTimestampNanosecondsValue) {
    return isFinite64(value.nanos) ? value.nanos : undefined;
  }
  if (value instanceof DuckDBTimestampValue || value instanceof DuckDBTimestampTZValue) {
    return isFinite64(value.micros) ? value.micros * 1000n : undefined;
  }
  if (value instanceof DuckDBTimestampMillisecondsValue) {
    return isFinite64(value.millis) ? value.millis * 1_000_000n : undefined;
  }
  if (value instanceof DuckDBTimestampSecondsValue) {
    return isFinite64(value.seconds) ? value.seconds * 1_000_000_000n : undefined;
  }
  return undefined;
}

const INT64_MAX = 2n ** 63n - 1n;

export function isFinite64(value: bigint): boolean {
  return value < INT64_MAX && value > -INT64_MAX;
}

/** A value as JSON text; nested values become arrays and objects. */
export function jsonText(value: DuckDBValue): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return numberText(value);
  if (typeof value === 'bigint') return integerText(value);
  if (value instanceof DuckDBDecimalValue) return decimalText(value);
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) {
    return `[${value.items.map(jsonText).join(',')}]`;
  }
  if (value instanceof DuckDBStructValue) return objectText(Object.entries(value.entries));
  if (value instanceof DuckDBMapValue) return mapText(value);
  if (value instanceof DuckDBUnionValue) return jsonText(value.value);
  return JSON.stringify(plainText(value));
}

/** JSON knows no infinity: it and NaN become strings. */
export function numberText(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  return Number.isFinite(value) ? String(value) : JSON.stringify(String(value));
}

/** The shortest text that a 32-bit float is read back from. */
export function floatText(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return numberText(rounded);
  }
  return numberText(Number.isFinite(value) ? Number(value.toPrecision(9)) : value);
}

/** A JSON number as long as a double holds it, else a string. */
export function integerText(value: bigint): string {
  const fits = value <= MAX_SAFE && value >= -MAX_SAFE;
  return fits || BigInt(Number(value)) === value ? value.toString() : `"${value}"`;
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** Decimals of 15 digits are what every reader of doubles gives back. */
function decimalText(value: DuckDBDecimalValue): string {
  const text = value.toString();
  return text.replace(/[-.]/g, '').length <= 15 ? text : `"${text}"`;
}

function mapText(value: DuckDBMapValue): string {
  if (value.entries.every(({ key }) => typeof key === 'string')) {
    return objectText(value.entries.map((entry) => [String(entry.key), entry.value]));
  }
  const pairs = value.entries.map((entry) => objectText(Object.entries({ ...entry })));
  return `[${pairs.join(',')}]`;
}

function objectText(entries: readonly (readonly [string, DuckDBValue])[]): string {
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${jsonText(value)}`).join(',')}}`;
}
