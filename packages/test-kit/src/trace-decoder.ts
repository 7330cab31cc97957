/**
 * Rebuilds the tracks and slices of a Perfetto trace from its bytes and lists everything that a viewer
 * would stumble over: time going back on a track, an end with nothing to close, a slice left open, a
 * track or an interned number used before its declaration, wrong sequence flags, ids that clash.
 */

import { inflateSync } from 'node:zlib';
import { type ProtobufField, readFields, readVarint } from './protobuf-reader.ts';

const INT32_MAX = 0x7fff_ffffn;
const GROUP_BYTES_MAX = 512 * 1024;
const CLEARED = 1;
const NEEDS_STATE = 2;

export interface DecodedTrack {
  readonly uuid: bigint;
  readonly parentUuid: bigint | undefined;
  readonly kind: 'process' | 'thread' | 'named';
  readonly name: string;
  readonly pid: number | undefined;
  readonly tid: number | undefined;
  readonly commandLine: string | undefined;
  readonly description: string | undefined;
}

export interface DecodedSlice {
  readonly track: DecodedTrack;
  readonly name: string;
  readonly category: string;
  readonly file: string;
  readonly line: number;
  readonly beginNs: bigint;
  readonly endNs: bigint;
  /** Slices open around this one on its track. */
  readonly depth: number;
  /** It has the debug annotation `open=true`. */
  readonly open: boolean;
}

export interface DecodedTrace {
  readonly tracks: readonly DecodedTrack[];
  /** In order of their ends on each track. */
  readonly slices: readonly DecodedSlice[];
  readonly instants: readonly DecodedSlice[];
  readonly sliceCount: number;
  /** Those inside of compressed packets, and those that are not compressed. */
  readonly packetCount: number;
  readonly compressedPacketCount: number;
  /** How often incremental state was cleared, the first packet included. */
  readonly restartCount: number;
  /** Empty for a trace that opens without complaint. */
  readonly problems: readonly string[];
}

/** What zlib's functions give with the option `info`. */
interface InflatedStream {
  readonly buffer: Buffer;
  /** Bytes of input that were used. */
  readonly engine: { readonly bytesWritten: number };
}

interface OpenSlice {
  readonly slice: Omit<DecodedSlice, 'endNs'>;
}

interface TrackState {
  readonly track: DecodedTrack;
  readonly open: OpenSlice[];
  lastNs: bigint;
}

/** Decodes a whole trace. */
export function decodeTrace(bytes: Uint8Array): DecodedTrace {
  const decoder = new TraceDecoder();
  decoder.push(bytes);
  return decoder.finish();
}

/** The same trace with the packets of its compressed groups in their place. */
export function inflateTrace(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = readVarint(bytes, at + 1);
    const end = length.next + Number(length.value);
    const compressed = fieldsOf(bytes.subarray(length.next, end)).get(50)?.bytes;
    parts.push(compressed === undefined ? bytes.subarray(at, end) : inflateSync(compressed));
    at = end;
  }
  return Buffer.concat(parts);
}

/** Takes a trace in pieces of any size; with `keepSlices: false` it only counts and checks. */
export class TraceDecoder {
  readonly #keepSlices: boolean;
  #rest: Uint8Array = new Uint8Array(0);
  readonly #tracks = new Map<bigint, TrackState>();
  readonly #slices: DecodedSlice[] = [];
  readonly #instants: DecodedSlice[] = [];
  readonly #problems: string[] = [];
  #names = new Map<bigint, string>();
  #categories = new Map<bigint, string>();
  #locations = new Map<bigint, { file: string; line: number }>();
  readonly #threadIds = new Set<string>();
  #sliceCount = 0;
  #packetCount = 0;
  #compressedPacketCount = 0;
  #restartCount = 0;

  constructor(options: { readonly keepSlices?: boolean } = {}) {
    this.#keepSlices = options.keepSlices ?? true;
  }

  push(chunk: Uint8Array): void {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    let at = 0;
    while (bytes.length - at >= 12 || hasWholePacket(bytes, at)) {
      if (bytes[at] !== 0x0a) throw new Error(`packet ${this.#packetCount} has no packet tag`);
      const length = readVarint(bytes, at + 1);
      const end = length.next + Number(length.value);
      if (end > bytes.length) break;
      this.#packet(bytes.subarray(length.next, end));
      at = end;
    }
    this.#rest = bytes.slice(at);
  }

  finish(): DecodedTrace {
    if (this.#rest.length > 0) this.#problem(`${this.#rest.length} bytes of a packet cut short`);
    for (const { track, open } of this.#tracks.values()) {
      if (open.length > 0) this.#problem(`${open.length} slices left open on ${track.name}`);
    }
    return {
      tracks: [...this.#tracks.values()].map((state) => state.track),
      slices: this.#slices,
      instants: this.#instants,
      sliceCount: this.#sliceCount,
      packetCount: this.#packetCount,
      compressedPacketCount: this.#compressedPacketCount,
      restartCount: this.#restartCount,
      problems: this.#problems,
    };
  }

  #packet(packet: Uint8Array): void {
    const byNumber = new Map<number, ProtobufField>();
    for (const field of readFields(packet)) byNumber.set(field.number, field);
    const compressed = byNumber.get(50)?.bytes;
    if (compressed !== undefined) {
      if (byNumber.size > 1) this.#problem('a compressed packet has other fields');
      this.#compressedPackets(compressed);
      return;
    }
    const index = this.#packetCount++;
    const flags = Number(byNumber.get(13)?.value ?? 0n);
    if ((byNumber.get(10)?.value ?? 0n) === 0n) this.#problem(`packet ${index} has no sequence id`);
    const first = byNumber.get(87)?.value === 1n;
    if (first !== (index === 0)) this.#problem(`packet ${index} is wrong about being the first`);
    if (index === 0 && (flags & CLEARED) === 0) this.#problem('the first packet clears no state');
    if ((flags & CLEARED) !== 0) this.#clearState();
    const interned = byNumber.get(12)?.bytes;
    if (interned !== undefined) this.#internedData(interned);
    const descriptor = byNumber.get(60)?.bytes;
    if (descriptor !== undefined) this.#trackDescriptor(descriptor);
    const event = byNumber.get(11)?.bytes;
    if (event === undefined) return;
    const timestamp = byNumber.get(8)?.value;
    if (timestamp === undefined) this.#problem(`packet ${index} is an event without a time`);
    if ((flags & NEEDS_STATE) === 0) this.#problem(`packet ${index} does not say it needs state`);
    this.#trackEvent(event, timestamp ?? 0n, index);
  }

  /** A zlib stream, without anything after it, of packets that stand here. */
  #compressedPackets(stream: Uint8Array): void {
    this.#compressedPacketCount += 1;
    const { buffer, engine } = inflateSync(stream, { info: true }) as unknown as InflatedStream;
    if (engine.bytesWritten !== stream.length) this.#problem('bytes after a compressed stream');
    let packetCount = 0;
    for (const { number, bytes } of readFields(buffer)) {
      packetCount += 1;
      if (number !== 1 || bytes === undefined) this.#problem(`field ${number} among packets`);
      else if (fieldsOf(bytes).has(50)) this.#problem('a compressed packet in another');
      else this.#packet(bytes);
    }
    if (packetCount === 0) this.#problem('a compressed packet without packets');
    if (packetCount > 1 && buffer.length > GROUP_BYTES_MAX) {
      this.#problem(`a group of ${buffer.length} bytes`);
    }
  }

  #clearState(): void {
    this.#restartCount += 1;
    this.#names = new Map();
    this.#categories = new Map();
    this.#locations = new Map();
  }

  #internedData(bytes: Uint8Array): void {
    for (const { number, bytes: content } of readFields(bytes)) {
      const entry = fieldsOf(content ?? new Uint8Array(0));
      const iid = entry.get(1)?.value ?? 0n;
      if (iid === 0n) this.#problem('an interned entry has the number 0');
      if (number === 1) this.#define(this.#categories, iid, textOf(entry.get(2)), 'category');
      else if (number === 2) this.#define(this.#names, iid, textOf(entry.get(2)), 'name');
      else if (number === 4) {
        const location = { file: textOf(entry.get(2)), line: Number(entry.get(4)?.value ?? 0n) };
        this.#define(this.#locations, iid, location, 'location');
      } else this.#problem(`interned data has the unexpected field ${number}`);
    }
  }

  #define<T>(table: Map<bigint, T>, iid: bigint, value: T, what: string): void {
    if (table.has(iid)) this.#problem(`${what} ${iid} is defined twice`);
    table.set(iid, value);
  }

  #trackDescriptor(bytes: Uint8Array): void {
    const fields = fieldsOf(bytes);
    const process = fields.get(3)?.bytes;
    const thread = fields.get(4)?.bytes;
    const body = fieldsOf(process ?? thread ?? new Uint8Array(0));
    const kind = process !== undefined ? 'process' : thread !== undefined ? 'thread' : 'named';
    const nameField = { process: body.get(6), thread: body.get(5), named: fields.get(2) }[kind];
    const track: DecodedTrack = {
      uuid: fields.get(1)?.value ?? 0n,
      parentUuid: fields.get(5)?.value,
      kind,
      name: textOf(nameField),
      pid: kind === 'named' ? undefined : this.#int32(body.get(1), 'pid'),
      tid: kind === 'thread' ? this.#int32(body.get(2), 'tid') : undefined,
      commandLine: kind === 'process' ? textOf(body.get(2)) : undefined,
      description: fields.has(14) ? textOf(fields.get(14)) : undefined,
    };
    if (track.uuid === 0n) this.#problem('a track has the uuid 0');
    if (this.#tracks.has(track.uuid)) this.#problem(`track ${track.uuid} is declared twice`);
    if (track.parentUuid !== undefined && !this.#tracks.has(track.parentUuid)) {
      this.#problem(`track ${track.name} comes before its parent`);
    }
    if (kind === 'thread') this.#checkThreadId(track);
    this.#tracks.set(track.uuid, { track, open: [], lastNs: -1n });
  }

  #checkThreadId(track: DecodedTrack): void {
    if (track.tid === track.pid) this.#problem(`thread ${track.name} has the pid as its tid`);
    const id = `${track.pid}/${track.tid}`;
    if (this.#threadIds.has(id)) this.#problem(`two threads are ${id}`);
    this.#threadIds.add(id);
  }

  #int32(field: ProtobufField | undefined, what: string): number {
    const value = field?.value ?? 0n;
    if (value <= 0n || value > INT32_MAX) this.#problem(`${what} ${value} is no positive int32`);
    return Number(value);
  }

  #trackEvent(bytes: Uint8Array, timeNs: bigint, index: number): void {
    const fields = fieldsOf(bytes);
    const state = this.#tracks.get(fields.get(11)?.value ?? 0n);
    if (state === undefined) {
      this.#problem(`packet ${index} is on a track that is not declared`);
      return;
    }
    if (timeNs < state.lastNs) {
      this.#problem(`packet ${index} goes back in time on ${state.track.name}`);
    }
    state.lastNs = timeNs;
    const type = fields.get(9)?.value;
    if (type === 1n) state.open.push({ slice: this.#sliceOf(fields, state, timeNs, index) });
    else if (type === 2n) this.#closeSlice(state, fields, timeNs, index);
    else if (type === 3n) {
      this.#instants.push({ ...this.#sliceOf(fields, state, timeNs, index), endNs: timeNs });
    } else this.#problem(`packet ${index} has the unexpected event type ${type}`);
  }

  #closeSlice(
    state: TrackState,
    fields: Map<number, ProtobufField>,
    timeNs: bigint,
    index: number,
  ): void {
    const closed = state.open.pop();
    if (closed === undefined) {
      this.#problem(`packet ${index} ends nothing on ${state.track.name}`);
      return;
    }
    const nameIid = fields.get(10)?.value;
    if (nameIid !== undefined && this.#names.get(nameIid) !== closed.slice.name) {
      this.#problem(`packet ${index} ends a slice of another name`);
    }
    this.#sliceCount += 1;
    if (this.#keepSlices) this.#slices.push({ ...closed.slice, endNs: timeNs });
  }

  #sliceOf(
    fields: Map<number, ProtobufField>,
    state: TrackState,
    beginNs: bigint,
    index: number,
  ): Omit<DecodedSlice, 'endNs'> {
    const name = this.#names.get(fields.get(10)?.value ?? 0n);
    const category = this.#categories.get(fields.get(3)?.value ?? 0n);
    const location = this.#locations.get(fields.get(34)?.value ?? 0n);
    if (name === undefined || category === undefined || location === undefined) {
      this.#problem(`packet ${index} names an interned entry that is not there`);
    }
    return {
      track: state.track,
      name: name ?? '',
      category: category ?? '',
      file: location?.file ?? '',
      line: location?.line ?? 0,
      beginNs,
      depth: state.open.length,
      open: hasOpenAnnotation(fields.get(4)),
    };
  }

  #problem(text: string): void {
    if (this.#problems.length < 100) this.#problems.push(text);
  }
}

/** True when the packet at `at` is short, and all there. */
function hasWholePacket(bytes: Uint8Array, at: number): boolean {
  const lengthByte = bytes[at + 1];
  if (lengthByte === undefined || lengthByte >= 0x80) return false;
  return at + 2 + lengthByte <= bytes.length;
}

function hasOpenAnnotation(field: ProtobufField | undefined): boolean {
  if (field?.bytes === undefined) return false;
  const annotation = fieldsOf(field.bytes);
  return textOf(annotation.get(10)) === 'open' && annotation.get(2)?.value === 1n;
}

function fieldsOf(message: Uint8Array): Map<number, ProtobufField> {
  const byNumber = new Map<number, ProtobufField>();
  for (const field of readFields(message)) byNumber.set(field.number, field);
  return byNumber;
}

function textOf(field: ProtobufField | undefined): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
    field?.bytes ?? new Uint8Array(0),
  );
}
