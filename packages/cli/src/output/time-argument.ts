import {
  formatRfc3339,
  type Nanoseconds,
  nanoseconds,
  parseRfc3339,
  systemClock,
} from '@tracelake/domain';
import { usageError } from '../cli-error.ts';
import type { CommandArguments } from '../command.ts';

const relative = /^(\d{1,9})(ns|us|ms|s|m|h|d)$/;

const unitNs: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
  d: 86_400_000_000_000n,
};

/**
 * Reads `--begin` or `--end` into RFC 3339: an RFC 3339 time as it is, or a duration such as `1h`,
 * `30m` or `2d` back from now. Throws a usage error for anything else.
 */
export function readTimeArgument(option: string, text: string, nowNs: Nanoseconds): string {
  if (text === 'now') return formatRfc3339(nowNs);
  const agoNs = readDurationNs(text);
  if (agoNs !== undefined) return formatRfc3339(nanoseconds(nowNs - agoNs));
  const time = parseRfc3339(text);
  if (time !== undefined) return formatRfc3339(time);
  throw usageError(
    `${option} must be an RFC 3339 time (2026-11-21T04:00:00Z) or a time ago (30s, 15m, 1h, 2d), not "${text}"`,
  );
}

/** Reads an age (`30d`, `12h`) into milliseconds, rounded down. Throws a usage error for anything else. */
export function readAgeArgument(option: string, text: string): number {
  const ageNs = readDurationNs(text);
  if (ageNs === undefined) {
    throw usageError(`${option} must be an age (30d, 12h, 90m), not "${text}"`);
  }
  return Number(ageNs / 1_000_000n);
}

function readDurationNs(text: string): bigint | undefined {
  const match = relative.exec(text);
  const unit = unitNs[match?.[2] ?? ''];
  if (match === null || unit === undefined) return undefined;
  return BigInt(match[1] ?? '0') * unit;
}

export interface RangeArguments {
  /** RFC 3339. */
  readonly begin: string | undefined;
  readonly end: string | undefined;
}

/** `--begin` and `--end`, times ago counted from one moment. Throws a usage error. */
export function readRangeArguments(args: CommandArguments): RangeArguments {
  const nowNs = systemClock.nowNs();
  const read = (name: string) => {
    const text = args.text(name);
    return text === undefined ? undefined : readTimeArgument(`--${name}`, text, nowNs);
  };
  return { begin: read('begin'), end: read('end') };
}
