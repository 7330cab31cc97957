/** What is said on the bus, as the services see it; message-codec.ts turns it into bytes and back. */
import { createHash } from 'node:crypto';
import type { BlockId, Nanoseconds, ProcessId, StreamId } from '@tracelake/domain';
import { laneOf } from './lanes.ts';
import {
  materializeSubject,
  type PartitionOutcome,
  partitionSubject,
  telemetrySubject,
} from './subjects.ts';

export interface ProcessInserted {
  readonly processId: ProcessId;
  readonly insertTimeUs: bigint;
}

export interface StreamInserted {
  readonly processId: ProcessId;
  readonly streamId: StreamId;
  readonly tags: readonly string[];
  readonly insertTimeUs: bigint;
}

export interface BlockInserted {
  readonly processId: ProcessId;
  readonly streamId: StreamId;
  readonly blockId: BlockId;
  /** Tags of the block's stream; empty while the stream is not known yet. */
  readonly tags: readonly string[];
  readonly insertTimeUs: bigint;
  readonly objectCount: number;
  readonly payloadBytes: number;
}

export interface MaterializeRequested {
  /** The process that the instance belongs to: it decides the lane. */
  readonly processId: ProcessId;
  readonly viewSet: string;
  readonly instance: string;
  /** Inclusive, as `endNs` is; undefined means unbounded. */
  readonly beginNs: Nanoseconds | undefined;
  readonly endNs: Nanoseconds | undefined;
  /** Names the set of blocks that the requester wants covered. */
  readonly wantedHash: string;
  /** Raised when asking again: the same request of the same attempt is stored once. */
  readonly attempt: number;
  /** The schema that the requester reads, which may be of a release beside this one. Absent: the newest. */
  readonly schemaHash?: string;
}

export interface PartitionEvent {
  readonly viewSet: string;
  readonly instance: string;
  readonly outcome: PartitionOutcome;
  readonly partitionId?: string;
  readonly sourceHash: string;
  readonly errorCode?: string;
  readonly errorMessage?: string;
}

/** Everything that can be published, told apart by `kind`. */
export type BusMessage =
  | ({ readonly kind: 'process-inserted' } & ProcessInserted)
  | ({ readonly kind: 'stream-inserted' } & StreamInserted)
  | ({ readonly kind: 'block-inserted' } & BlockInserted)
  | ({ readonly kind: 'materialize-requested' } & MaterializeRequested)
  | ({ readonly kind: 'partition-event' } & PartitionEvent);

export type BusMessageKind = BusMessage['kind'];

/** Where a message goes. Throws `bus.bad-subject` for a view set or instance that cannot stand in a subject. */
export function subjectOf(message: BusMessage, laneCount: number): string {
  switch (message.kind) {
    case 'process-inserted':
    case 'stream-inserted':
    case 'block-inserted': {
      const kind = TELEMETRY_KINDS[message.kind];
      return telemetrySubject(kind, laneOf(message.processId, laneCount), message.processId);
    }
    case 'materialize-requested':
      return materializeSubject(laneOf(message.processId, laneCount), message.viewSet);
    case 'partition-event':
      return partitionSubject(message.outcome, message);
  }
}

/**
 * The id by which a stream stores a message once within its duplicate window; undefined when each one counts.
 */
export function messageIdOf(message: BusMessage): string | undefined {
  switch (message.kind) {
    case 'process-inserted':
      return `process:${message.processId}`;
    case 'stream-inserted':
      return `stream:${message.streamId}`;
    case 'block-inserted':
      return `block:${message.blockId}`;
    case 'materialize-requested':
      return `materialize:${materializeHash(message)}`;
    case 'partition-event':
      return undefined;
  }
}

const TELEMETRY_KINDS = {
  'process-inserted': 'process',
  'stream-inserted': 'stream',
  'block-inserted': 'block',
} as const;

function materializeHash(request: MaterializeRequested): string {
  const parts = [
    request.viewSet,
    request.instance,
    request.beginNs?.toString() ?? '',
    request.endNs?.toString() ?? '',
    request.wantedHash,
    String(request.attempt),
    ...(request.schemaHash === undefined ? [] : [request.schemaHash]),
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
