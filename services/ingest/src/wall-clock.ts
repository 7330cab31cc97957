import { systemClock } from '@tracelake/domain';

/** Microseconds since the Unix epoch, as the store counts insert times. */
export function nowUs(): bigint {
  return systemClock.nowNs() / 1000n;
}
