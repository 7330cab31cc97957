/** What Tracelake knows of processes, streams and blocks: the words every service shares. */

import type { BlockId, ProcessId, StreamId } from './ids.ts';
import type { Nanoseconds, Ticks } from './time.ts';

export interface ProcessInfo {
  readonly processId: ProcessId;
  readonly exe: string;
  readonly username: string;
  readonly realname: string;
  readonly computer: string;
  readonly distro: string;
  readonly cpuBrand: string;
  /** Ticks per second; 0 when the client does not know, and then it is estimated from the blocks. */
  readonly tscFrequencyHz: bigint;
  /** Whole microseconds, as the store keeps it. */
  readonly startNs: Nanoseconds;
  readonly startTicks: Ticks;
  readonly parentProcessId: ProcessId | undefined;
  readonly properties: Readonly<Record<string, string>>;
}

export interface StreamInfo {
  readonly streamId: StreamId;
  readonly processId: ProcessId;
  readonly dependenciesMetadata: readonly UserDefinedType[];
  readonly objectsMetadata: readonly UserDefinedType[];
  readonly tags: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
}

/** The layout of one record type in a transit buffer; its position in the array is the type index. */
export interface UserDefinedType {
  readonly name: string;
  /** Bytes of an instance; 0 means each instance carries its own length. */
  readonly size: number;
  readonly isReference: boolean;
  readonly members: readonly UserDefinedTypeMember[];
}

export interface UserDefinedTypeMember {
  readonly name: string;
  readonly typeName: string;
  /** Bytes from the start of the instance. */
  readonly offset: number;
  readonly size: number;
  readonly isReference: boolean;
}

/** Everything of a block but its payload. An acknowledged block never changes. */
export interface BlockInfo {
  readonly blockId: BlockId;
  readonly streamId: StreamId;
  readonly processId: ProcessId;
  /** Whole microseconds, as the store keeps it; the same for `endNs`. */
  readonly beginNs: Nanoseconds;
  readonly endNs: Nanoseconds;
  /** Relative to the process's `startTicks`; the same for `endTicks`. */
  readonly beginTicks: Ticks;
  readonly endTicks: Ticks;
  readonly objectCount: number;
  /** Events sent in this stream before this block: an event's id is `objectOffset + index`. */
  readonly objectOffset: bigint;
}

/** The two buffers of a block, each an LZ4 frame in native streams. */
export interface BlockPayload {
  readonly dependencies: Uint8Array;
  readonly objects: Uint8Array;
}
