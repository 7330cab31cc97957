import { type Nanoseconds, nanoseconds } from './time.ts';

/** Where the current time comes from; tests bring their own. */
export interface Clock {
  nowNs(): Nanoseconds;
}

export const systemClock: Clock = {
  nowNs: () => nanoseconds(BigInt(Date.now()) * 1_000_000n),
};
