export { AppError, type AppErrorOptions, errorMessage } from './app-error.ts';
export { assert, assertUnreachable, ensureExists } from './assert.ts';
export type {
  BlockInfo,
  BlockPayload,
  ProcessInfo,
  StreamInfo,
  UserDefinedType,
  UserDefinedTypeMember,
} from './block.ts';
export { type Clock, systemClock } from './clock.ts';
export { keepCompiled } from './compiled-code.ts';
export {
  type BlockId,
  type ProcessId,
  parseBlockId,
  parseProcessId,
  parseStreamId,
  parseUuid,
  type StreamId,
} from './ids.ts';
export { freeOwnMemory, hasOwnMemory } from './own-memory.ts';
export { Secret } from './secret.ts';
export { TextDictionary, TextMap } from './text-map.ts';
export {
  formatRfc3339,
  type Nanoseconds,
  nanoseconds,
  parseRfc3339,
  relativeTicksToNs,
  roundHalfAwayFromZero,
  type TickCalibration,
  type Ticks,
  type TimeRange,
  ticks,
  ticksToNs,
  truncateToMicroseconds,
} from './time.ts';
