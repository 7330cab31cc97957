/**
 * Writes the packets of one trace, in order, into a buffer that the caller empties as it fills.
 *
 * One packet sequence, one process. Timestamps are Unix nanoseconds in the trace's default clock; a clock
 * snapshot says that the default clock and real time agree, so that viewers show the time of day and
 * `to_realtime()` works. The caller gives packets of each track in time order and closes what it opens.
 *
 * `beginSlice` and `endSlice` are the hot path (bench/export.bench.ts of services/trace-export): numbers
 * in, bytes out, times as two 32-bit halves, no allocation.
 */

import type { Nanoseconds } from '@tracelake/domain';
import type { NewDefinitions, PackedScope } from './interning.ts';
import { type InternedScope, type InternLimits, InternTable } from './interning.ts';
import * as fields from './packet-fields.ts';
import { encodeVarint, PackedBytes, ProtoBuffer } from './proto-buffer.ts';

const SEQUENCE_ID = 1;
const { incrementalStateCleared, needsIncrementalState } = fields.sequenceFlags;

/** A packet of the sequence up to its time; its length (byte 1) is filled in. */
const PACKET_HEAD = new PackedBytes(
  Uint8Array.of(
    fields.trace.packet,
    0,
    fields.tracePacket.trustedPacketSequenceId,
    SEQUENCE_ID,
    fields.tracePacket.sequenceFlags,
    needsIncrementalState,
    fields.tracePacket.timestamp,
  ),
);
const NOTHING = new PackedBytes(new Uint8Array(0));
const SCOPE_BYTES_MAX = 64;
/** An end event up to its track's uuid. */
const END_EVENT = new PackedBytes(
  Uint8Array.of(
    fields.trackEvent.type,
    fields.trackEventType.sliceEnd,
    fields.trackEvent.trackUuid,
  ),
);

/** A declared track; made by the writer only. */
export interface Track {
  readonly uuid: bigint;
  /** The uuid as a varint. */
  readonly uuidBytes: Uint8Array;
  readonly packedUuid: PackedBytes;
}

export interface ProcessTrack {
  readonly uuid: bigint;
  readonly pid: number;
  /** Short: the UI puts it in front of every thread. */
  readonly name: string;
  /** The program's full path or command. */
  readonly commandLine: string;
  readonly startNs: Nanoseconds;
  /** Free text for the track's help. */
  readonly description: string;
}

export interface ThreadTrack {
  readonly uuid: bigint;
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
}

export interface NamedTrack {
  readonly uuid: bigint;
  readonly parent: Track;
  readonly name: string;
}

export class TraceWriter {
  readonly #out = new ProtoBuffer();
  readonly #interned: InternTable;
  #packetCount = 0;

  constructor(limits?: InternLimits) {
    this.#interned = new InternTable(limits);
  }

  /** Bytes written and not yet taken. */
  get pendingBytes(): number {
    return this.#out.length;
  }

  get packetCount(): number {
    return this.#packetCount;
  }

  /** The bytes written so far: a view, valid until the next write. */
  pending(): Uint8Array {
    return this.#out.view();
  }

  /** Forgets the pending bytes once the caller has copied them. */
  clearPending(): void {
    this.#out.clear();
  }

  /** Opens the trace; must come first, once. */
  writeProcess(process: ProcessTrack): Track {
    const packet = this.#openPacket(incrementalStateCleared | needsIncrementalState);
    this.#out.varint(fields.tracePacket.firstPacketOnSequence);
    this.#out.varint(1);
    const track = makeTrack(process.uuid);
    const descriptor = this.#openTrack(track);
    const body = this.#out.openMessage(fields.trackDescriptor.process);
    this.#out.varint(fields.processDescriptor.pid);
    this.#out.varint(process.pid);
    this.#out.string(fields.processDescriptor.cmdline, process.commandLine);
    this.#out.string(fields.processDescriptor.processName, process.name);
    this.#out.varint(fields.processDescriptor.startTimestampNs);
    this.#out.bigVarint(process.startNs);
    this.#out.closeMessage(body);
    this.#out.string(fields.trackDescriptor.description, process.description);
    this.#out.closeMessage(descriptor);
    this.#out.closeMessage(packet);
    this.#writeClockSnapshot(process.startNs);
    return track;
  }

  writeThread(thread: ThreadTrack, parent: Track): Track {
    const packet = this.#openPacket(needsIncrementalState);
    const track = makeTrack(thread.uuid);
    const descriptor = this.#openTrack(track, parent);
    const body = this.#out.openMessage(fields.trackDescriptor.thread);
    this.#out.varint(fields.threadDescriptor.pid);
    this.#out.varint(thread.pid);
    this.#out.varint(fields.threadDescriptor.tid);
    this.#out.varint(thread.tid);
    this.#out.string(fields.threadDescriptor.threadName, thread.name);
    this.#out.closeMessage(body);
    this.#out.closeMessage(descriptor);
    this.#out.closeMessage(packet);
    return track;
  }

  /** A track beside those of threads: viewers show siblings of one name as one. */
  writeTrack(named: NamedTrack): Track {
    const packet = this.#openPacket(needsIncrementalState);
    const track = makeTrack(named.uuid);
    const descriptor = this.#openTrack(track, named.parent);
    this.#out.string(fields.trackDescriptor.name, named.name);
    this.#out.closeMessage(descriptor);
    this.#out.closeMessage(packet);
    return track;
  }

  /** `open`: the span never ended in the recording; marked with the debug annotation `open`. */
  beginSlice(
    track: Track,
    timeHigh: number,
    timeLow: number,
    scope: InternedScope,
    open: boolean,
  ): void {
    const isKnown = !open && scope.generation === this.#interned.generation;
    if (isKnown && this.#writeKnown(track, timeHigh, timeLow, scope)) return;
    this.#writeNamed(fields.trackEventType.sliceBegin, track, timeHigh, timeLow, scope, open);
  }

  #writeKnown(track: Track, timeHigh: number, timeLow: number, scope: InternedScope): boolean {
    scope.packed ??= packScope(scope);
    const { beforeUuid, afterUuid } = scope.packed;
    const uuid = track.packedUuid;
    const tag = fields.tracePacket.trackEvent;
    const isWritten = this.#out.timedMessage(
      PACKET_HEAD,
      timeHigh,
      timeLow,
      tag,
      beforeUuid,
      uuid,
      afterUuid,
    );
    if (isWritten) this.#packetCount += 1;
    return isWritten;
  }

  /** Closes the innermost open slice of the track; carries nothing else. */
  endSlice(track: Track, timeHigh: number, timeLow: number): void {
    const out = this.#out;
    const tag = fields.tracePacket.trackEvent;
    const uuid = track.packedUuid;
    if (out.timedMessage(PACKET_HEAD, timeHigh, timeLow, tag, END_EVENT, uuid, NOTHING)) {
      this.#packetCount += 1;
      return;
    }
    const packet = this.#openPacket(needsIncrementalState);
    out.varint(fields.tracePacket.timestamp);
    out.varint64(timeHigh, timeLow);
    const event = out.openMessage(tag);
    out.varint(fields.trackEvent.type);
    out.varint(fields.trackEventType.sliceEnd);
    out.varint(fields.trackEvent.trackUuid);
    out.raw(track.uuidBytes);
    out.closeMessage(event);
    out.closeMessage(packet);
  }

  /** A moment in place of a span for which there is no room; marked `open` when it never ended. */
  instant(
    track: Track,
    timeHigh: number,
    timeLow: number,
    scope: InternedScope,
    open: boolean,
  ): void {
    this.#writeNamed(fields.trackEventType.instant, track, timeHigh, timeLow, scope, open);
  }

  #writeNamed(
    type: number,
    track: Track,
    timeHigh: number,
    timeLow: number,
    scope: InternedScope,
    open: boolean,
  ): void {
    const out = this.#out;
    const known = scope.generation === this.#interned.generation;
    const definitions = known ? undefined : this.#interned.resolve(scope);
    const flags =
      definitions?.restarted === true
        ? incrementalStateCleared | needsIncrementalState
        : needsIncrementalState;
    const packet = this.#openPacket(flags);
    out.varint(fields.tracePacket.timestamp);
    out.varint64(timeHigh, timeLow);
    const event = out.openMessage(fields.tracePacket.trackEvent);
    out.varint(fields.trackEvent.categoryIids);
    out.varint(scope.categoryIid);
    if (open) this.#writeOpenAnnotation();
    out.varint(fields.trackEvent.type);
    out.varint(type);
    out.varint(fields.trackEvent.nameIid);
    out.varint(scope.nameIid);
    out.varint(fields.trackEvent.trackUuid);
    out.raw(track.uuidBytes);
    out.varint(fields.trackEvent.sourceLocationIid);
    out.varint(scope.locationIid);
    out.closeMessage(event);
    if (definitions !== undefined) this.#writeDefinitions(scope, definitions);
    out.closeMessage(packet);
  }

  #writeOpenAnnotation(): void {
    const annotation = this.#out.openMessage(fields.trackEvent.debugAnnotations);
    this.#out.varint(fields.debugAnnotation.boolValue);
    this.#out.varint(1);
    this.#out.string(fields.debugAnnotation.name, 'open');
    this.#out.closeMessage(annotation);
  }

  #writeDefinitions(interned: InternedScope, definitions: NewDefinitions): void {
    if (!(definitions.name || definitions.category || definitions.location)) return;
    const { scope } = interned;
    const data = this.#out.openMessage(fields.tracePacket.internedData);
    if (definitions.category) {
      const { eventCategories } = fields.internedData;
      this.#writeInternedName(eventCategories, interned.categoryIid, scope.category);
    }
    if (definitions.name) {
      this.#writeInternedName(fields.internedData.eventNames, interned.nameIid, scope.name);
    }
    if (definitions.location) {
      const location = this.#out.openMessage(fields.internedData.sourceLocations);
      this.#out.varint(fields.sourceLocation.iid);
      this.#out.varint(interned.locationIid);
      this.#out.string(fields.sourceLocation.fileName, scope.file);
      this.#out.varint(fields.sourceLocation.lineNumber);
      this.#out.varint(scope.line);
      this.#out.closeMessage(location);
    }
    this.#out.closeMessage(data);
  }

  #writeInternedName(tag: number, iid: number, name: string): void {
    const entry = this.#out.openMessage(tag);
    this.#out.varint(fields.internedName.iid);
    this.#out.varint(iid);
    this.#out.string(fields.internedName.name, name);
    this.#out.closeMessage(entry);
  }

  #writeClockSnapshot(timeNs: Nanoseconds): void {
    const packet = this.#openPacket(needsIncrementalState);
    const snapshot = this.#out.openMessage(fields.tracePacket.clockSnapshot);
    for (const clockId of [fields.builtinClock.realtime, fields.builtinClock.boottime]) {
      const clock = this.#out.openMessage(fields.clockSnapshot.clocks);
      this.#out.varint(fields.clockSnapshot.clockId);
      this.#out.varint(clockId);
      this.#out.varint(fields.clockSnapshot.timestamp);
      this.#out.bigVarint(timeNs);
      this.#out.closeMessage(clock);
    }
    this.#out.closeMessage(snapshot);
    this.#out.closeMessage(packet);
  }

  #openPacket(flags: number): number {
    this.#packetCount += 1;
    const packet = this.#out.openMessage(fields.trace.packet);
    this.#out.varint(fields.tracePacket.trustedPacketSequenceId);
    this.#out.varint(SEQUENCE_ID);
    this.#out.varint(fields.tracePacket.sequenceFlags);
    this.#out.varint(flags);
    return packet;
  }

  #openTrack(track: Track, parent?: Track): number {
    const descriptor = this.#out.openMessage(fields.tracePacket.trackDescriptor);
    this.#out.varint(fields.trackDescriptor.uuid);
    this.#out.raw(track.uuidBytes);
    if (parent !== undefined) {
      this.#out.varint(fields.trackDescriptor.parentUuid);
      this.#out.raw(parent.uuidBytes);
    }
    return descriptor;
  }
}

function makeTrack(uuid: bigint): Track {
  const uuidBytes = encodeVarint(uuid);
  return { uuid, uuidBytes, packedUuid: new PackedBytes(uuidBytes) };
}

function packScope({ categoryIid, nameIid, locationIid }: InternedScope): PackedScope {
  const { trackEvent, trackEventType } = fields;
  const before = new ProtoBuffer(SCOPE_BYTES_MAX);
  before.varint(trackEvent.categoryIids);
  before.varint(categoryIid);
  before.varint(trackEvent.type);
  before.varint(trackEventType.sliceBegin);
  before.varint(trackEvent.nameIid);
  before.varint(nameIid);
  before.varint(trackEvent.trackUuid);
  const after = new ProtoBuffer(SCOPE_BYTES_MAX);
  after.varint(trackEvent.sourceLocationIid);
  after.varint(locationIid);
  return {
    beforeUuid: new PackedBytes(before.view()),
    afterUuid: new PackedBytes(after.view()),
  };
}
