/** Times of `timestamptz` columns cross as whole microseconds since the Unix epoch (see `unix_us`). */
import { type Nanoseconds, nanoseconds } from '@tracelake/domain';

export function microsecondsToNs(us: bigint): Nanoseconds {
  return nanoseconds(us * 1000n);
}

/** Rounds toward the past, as `truncateToMicroseconds` does. */
export function nsToMicroseconds(ns: bigint): bigint {
  const us = ns / 1000n;
  return ns < us * 1000n ? us - 1n : us;
}
