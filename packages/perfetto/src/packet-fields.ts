/**
 * Tags of the Perfetto messages that traces are made of: `(field number << 3) | wire type`, wire type 0
 * for varints and 2 for what carries a length. Names are those of `protos/perfetto/trace/*.proto`.
 */

/** `trace.proto`, message Trace. */
export const trace = {
  /** 1, repeated TracePacket */
  packet: 0x0a,
} as const;

/** `trace_packet.proto`, message TracePacket. */
export const tracePacket = {
  /** 6, ClockSnapshot */
  clockSnapshot: (6 << 3) | 2,
  /** 8, uint64; in the trace clock when there is no clock id */
  timestamp: (8 << 3) | 0,
  /** 10, uint32 */
  trustedPacketSequenceId: (10 << 3) | 0,
  /** 11, TrackEvent */
  trackEvent: (11 << 3) | 2,
  /** 12, InternedData */
  internedData: (12 << 3) | 2,
  /** 13, uint32, bits of SequenceFlags */
  sequenceFlags: (13 << 3) | 0,
  /** 50, bytes: a zlib stream of a Trace message whose packets stand for this one */
  compressedPackets: (50 << 3) | 2,
  /** 60, TrackDescriptor */
  trackDescriptor: (60 << 3) | 2,
  /** 87, bool */
  firstPacketOnSequence: (87 << 3) | 0,
} as const;

/** `trace_packet.proto`, enum TracePacket.SequenceFlags. */
export const sequenceFlags = {
  incrementalStateCleared: 1,
  needsIncrementalState: 2,
} as const;

/** `track_descriptor.proto`, message TrackDescriptor. */
export const trackDescriptor = {
  /** 1, uint64 */
  uuid: (1 << 3) | 0,
  /** 2, string */
  name: (2 << 3) | 2,
  /** 3, ProcessDescriptor */
  process: (3 << 3) | 2,
  /** 4, ThreadDescriptor */
  thread: (4 << 3) | 2,
  /** 5, uint64 */
  parentUuid: (5 << 3) | 0,
  /** 14, string; the UI shows it in the track's help */
  description: (14 << 3) | 2,
} as const;

/** `process_descriptor.proto`, message ProcessDescriptor. */
export const processDescriptor = {
  /** 1, int32 */
  pid: (1 << 3) | 0,
  /** 2, repeated string */
  cmdline: (2 << 3) | 2,
  /** 6, string */
  processName: (6 << 3) | 2,
  /** 7, int64 */
  startTimestampNs: (7 << 3) | 0,
} as const;

/** `thread_descriptor.proto`, message ThreadDescriptor. */
export const threadDescriptor = {
  /** 1, int32 */
  pid: (1 << 3) | 0,
  /** 2, int64 */
  tid: (2 << 3) | 0,
  /** 5, string */
  threadName: (5 << 3) | 2,
} as const;

/** `track_event.proto`, message TrackEvent. */
export const trackEvent = {
  /** 3, repeated uint64 */
  categoryIids: (3 << 3) | 0,
  /** 4, repeated DebugAnnotation */
  debugAnnotations: (4 << 3) | 2,
  /** 9, enum Type */
  type: (9 << 3) | 0,
  /** 10, uint64 */
  nameIid: (10 << 3) | 0,
  /** 11, uint64 */
  trackUuid: (11 << 3) | 0,
  /** 34, uint64 */
  sourceLocationIid: (34 << 3) | 0,
} as const;

/** `track_event.proto`, enum TrackEvent.Type. */
export const trackEventType = { sliceBegin: 1, sliceEnd: 2, instant: 3 } as const;

/** `debug_annotation.proto`, message DebugAnnotation. */
export const debugAnnotation = {
  /** 2, bool */
  boolValue: (2 << 3) | 0,
  /** 10, string */
  name: (10 << 3) | 2,
} as const;

/** `interned_data.proto`, message InternedData. */
export const internedData = {
  /** 1, repeated EventCategory */
  eventCategories: (1 << 3) | 2,
  /** 2, repeated EventName */
  eventNames: (2 << 3) | 2,
  /** 4, repeated SourceLocation */
  sourceLocations: (4 << 3) | 2,
} as const;

/** `track_event.proto`, messages EventCategory and EventName: the same two fields. */
export const internedName = {
  /** 1, uint64 */
  iid: (1 << 3) | 0,
  /** 2, string */
  name: (2 << 3) | 2,
} as const;

/** `source_location.proto`, message SourceLocation. */
export const sourceLocation = {
  /** 1, uint64 */
  iid: (1 << 3) | 0,
  /** 2, string */
  fileName: (2 << 3) | 2,
  /** 4, uint32 */
  lineNumber: (4 << 3) | 0,
} as const;

/** `clock_snapshot.proto`, messages ClockSnapshot and ClockSnapshot.Clock. */
export const clockSnapshot = {
  /** 1, repeated Clock */
  clocks: (1 << 3) | 2,
  /** Clock 1, uint32 */
  clockId: (1 << 3) | 0,
  /** Clock 2, uint64 */
  timestamp: (2 << 3) | 0,
} as const;

/** `builtin_clock.proto`, enum BuiltinClock. */
export const builtinClock = { realtime: 1, boottime: 6 } as const;
