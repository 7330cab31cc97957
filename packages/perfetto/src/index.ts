export {
  defaultInternLimits,
  InternedScope,
  type InternLimits,
  type SliceScope,
} from './interning.ts';
export { ConcurrentLanes, type LaneEnd } from './lanes/concurrent-lanes.ts';
export type { LaneSpan } from './lanes/open-span-heap.ts';
export { type ThreadLaneSpan, ThreadLanes } from './lanes/thread-lanes.ts';
export { PacketCompressor, type PacketSink } from './packet-compressor.ts';
export {
  type NamedTrack,
  type ProcessTrack,
  type ThreadTrack,
  TraceWriter,
  type Track,
} from './trace-writer.ts';
export {
  assignThreadIds,
  pidOf,
  shortProgramName,
  type TextHash,
  type ThreadIdentity,
  type ThreadIdentitySource,
  TrackUuids,
} from './track-identity.ts';
