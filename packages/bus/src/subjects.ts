/**
 * The subjects of the bus and the filters that consumers put on them. README.md has the table. A lane stands
 * before the id, so that one filter (all that a NATS 2.9 consumer may have) takes a lane.
 */
import type { ProcessId } from '@tracelake/domain';
import { BusError } from './bus-error.ts';

export const STREAM_NAMES = ['TELEMETRY', 'MATERIALIZE', 'PARTITIONS', 'DEAD'] as const;
export type StreamName = (typeof STREAM_NAMES)[number];

export type TelemetryKind = 'process' | 'stream' | 'block';
export type PartitionOutcome = 'written' | 'current' | 'failed';

/** What a stream captures. */
export const STREAM_SUBJECTS: Readonly<Record<StreamName, string>> = {
  TELEMETRY: 'telemetry.>',
  MATERIALIZE: 'materialize.>',
  PARTITIONS: 'partition.>',
  DEAD: 'dead.>',
};

const TOKEN = /^[A-Za-z0-9_-]{1,128}$/;

/** The one part of a subject that text from outside may become. Throws `bus.bad-subject`. */
function subjectToken(text: string, what: string): string {
  if (TOKEN.test(text)) return text;
  throw new BusError(
    'bus.bad-subject',
    `${what} ${JSON.stringify(text.slice(0, 64))} cannot be part of a subject: letters, digits, - and _ only`,
    { details: { what } },
  );
}

export function telemetrySubject(kind: TelemetryKind, lane: number, processId: ProcessId): string {
  return `telemetry.${kind}.inserted.${lane}.${subjectToken(processId, 'process id')}`;
}

export function materializeSubject(lane: number, viewSet: string): string {
  return `materialize.requested.${lane}.${subjectToken(viewSet, 'view set')}`;
}

export function partitionSubject(
  outcome: PartitionOutcome,
  key: { readonly viewSet: string; readonly instance: string },
): string {
  const viewSet = subjectToken(key.viewSet, 'view set');
  return `partition.${outcome}.${viewSet}.${subjectToken(key.instance, 'instance')}`;
}

export function deadLetterSubject(stream: string): string {
  return `dead.${subjectToken(stream, 'stream')}`;
}

/** Filters of consumers: one each, as NATS 2.9 has it. */
export const subjectFilters = {
  /** All telemetry of a lane, or of one kind of it. */
  telemetry: (lane: number, kind: TelemetryKind | '*' = '*'): string =>
    `telemetry.${kind}.inserted.${lane}.>`,
  /** All requests of a lane. */
  materialize: (lane: number): string => `materialize.requested.${lane}.*`,
  /** All partition events. */
  partitions: 'partition.>',
} as const;
