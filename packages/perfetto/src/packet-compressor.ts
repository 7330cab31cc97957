/**
 * A trace in compressed packets: whole packets are gathered into groups, and each group leaves as one packet
 * that holds nothing but the group's zlib stream. A reader takes the packets inside as if they stood outside,
 * in the same order, so sequence ids and incremental state are as in the trace that is not compressed.
 *
 * Where groups are cut depends on the packets alone, not on how they are handed over: a group ends in front of
 * the first packet that does not fit. Groups are deflated off the event loop, a few at once, and leave in order.
 */

import { promisify } from 'node:util';
import { constants, deflate } from 'node:zlib';
import { assert } from '@tracelake/domain';
import * as fields from './packet-fields.ts';
import { ProtoBuffer } from './proto-buffer.ts';

/** Inflated bytes of a group at most; a larger packet is a group alone. */
export const PACKET_GROUP_BYTES = 512 * 1024;

/** Groups that are being deflated or wait for their turn to leave; one more is being gathered. */
const GROUPS_IN_FLIGHT_MAX = 2;

const HEADER_BYTES = 64;

/** The fastest level: packets repeat so much that the slower ones gain little (bench/export.bench.ts). */
const DEFLATE_OPTIONS = {
  level: constants.Z_BEST_SPEED,
  memLevel: constants.Z_MAX_MEMLEVEL,
  // What a group usually deflates to fits into one piece.
  chunkSize: 128 * 1024,
};

const deflateAsync = promisify<Uint8Array, typeof DEFLATE_OPTIONS, Buffer>(deflate);

/** Where bytes go; resolves once they are copied. */
export interface PacketSink {
  writeAll(bytes: Uint8Array): Promise<void>;
  flush(): Promise<void>;
}

interface DeflatingGroup {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly deflated: Promise<Buffer>;
}

/**
 * A sink of packets in front of a sink of bytes. For one writer: await each call before the next. It holds a few
 * groups, whatever the trace's length.
 *
 * Ownership: dispose of it when no more is written; it then waits for what is still being deflated.
 */
export class PacketCompressor implements PacketSink, AsyncDisposable {
  readonly #sink: PacketSink;
  readonly #header = new ProtoBuffer(HEADER_BYTES);
  /** Oldest first. */
  readonly #inFlight: DeflatingGroup[] = [];
  readonly #freeBuffers: ArrayBuffer[] = [];
  #group = new Uint8Array(PACKET_GROUP_BYTES);
  #filled = 0;

  constructor(sink: PacketSink) {
    this.#sink = sink;
  }

  /** Takes a copy of whole packets, tags and lengths included. Errors: those of the sink. */
  async writeAll(packets: Uint8Array): Promise<void> {
    let rest = packets;
    for (;;) {
      const fitting = fittingBytes(rest, PACKET_GROUP_BYTES - this.#filled);
      this.#group.set(rest.subarray(0, fitting), this.#filled);
      this.#filled += fitting;
      rest = rest.subarray(fitting);
      if (rest.length === 0) return;
      await this.#closeGroup();
      const first = packetEnd(rest, 0);
      if (first <= PACKET_GROUP_BYTES) continue;
      await this.#deflate(rest.slice(0, first));
      rest = rest.subarray(first);
    }
  }

  /** Hands on everything, the last group in whatever size it has. Errors: those of the sink. */
  async flush(): Promise<void> {
    await this.#closeGroup();
    while (this.#inFlight.length > 0) await this.#sendOldest();
    await this.#sink.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#inFlight.map(({ deflated }) => deflated));
  }

  async #closeGroup(): Promise<void> {
    if (this.#filled === 0) return;
    const bytes = this.#group.subarray(0, this.#filled);
    this.#group = new Uint8Array(this.#freeBuffers.pop() ?? new ArrayBuffer(PACKET_GROUP_BYTES));
    this.#filled = 0;
    await this.#deflate(bytes);
  }

  /** `bytes` must not change until the group has left. */
  async #deflate(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const deflated = deflateAsync(bytes, DEFLATE_OPTIONS);
    // A failure is met when the group's turn comes, or not at all when the trace is given up before.
    deflated.catch(() => {});
    this.#inFlight.push({ bytes, deflated });
    while (this.#inFlight.length >= GROUPS_IN_FLIGHT_MAX) await this.#sendOldest();
  }

  async #sendOldest(): Promise<void> {
    const [oldest] = this.#inFlight;
    if (oldest === undefined) return;
    const deflated = await oldest.deflated;
    this.#inFlight.shift();
    const { buffer } = oldest.bytes;
    if (buffer.byteLength === PACKET_GROUP_BYTES) this.#freeBuffers.push(buffer);
    await this.#sink.writeAll(this.#headerOf(deflated.length));
    await this.#sink.writeAll(deflated);
  }

  /** All of the packet but the stream itself. */
  #headerOf(streamBytes: number): Uint8Array {
    const header = this.#header;
    header.clear();
    header.varint(fields.tracePacket.compressedPackets);
    header.varint(streamBytes);
    const fieldHeaderBytes = header.length;
    header.clear();
    header.varint(fields.trace.packet);
    header.varint(fieldHeaderBytes + streamBytes);
    header.varint(fields.tracePacket.compressedPackets);
    header.varint(streamBytes);
    return header.view();
  }
}

/** How many of the bytes, as whole packets, fit into the room. */
function fittingBytes(packets: Uint8Array, room: number): number {
  if (packets.length <= room) return packets.length;
  for (let end = 0; ; ) {
    const next = packetEnd(packets, end);
    if (next > room) return end;
    end = next;
  }
}

/** Where the packet that starts at `start` ends. */
function packetEnd(packets: Uint8Array, start: number): number {
  assert(packets[start] === fields.trace.packet, 'a packet starts with its tag');
  let length = 0;
  let at = start + 1;
  for (let shift = 0; ; shift += 7) {
    const byte = packets[at++];
    assert(byte !== undefined, 'a packet has its length');
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return at + length;
  }
}
