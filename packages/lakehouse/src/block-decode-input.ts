import type { BlockDecodeInput } from '@tracelake/transit';
import type { ParseInput } from './view.ts';

/** Several times what the largest buffer of a real client can hold. */
const EVENTS_MAX = 2 ** 22;
/** By how much a block may hold more events than it says: runs are cut by what blocks say. */
const UNDERSTATED_FACTOR_MAX = 2;
const UNDERSTATED_EVENTS_MAX = 1024;

/** What the decoders of native blocks need of a block to parse. */
export function decodeInputOf({ stream, block, payload, limits }: ParseInput): BlockDecodeInput {
  return {
    dependenciesMetadata: stream.dependenciesMetadata,
    objectsMetadata: stream.objectsMetadata,
    payload,
    objectOffset: block.objectOffset,
    limits: { ...limits, recordsMax: eventsMaxOf(block.objectCount) },
  };
}

/**
 * The most events that a block is decoded with. A small payload can hold millions of events and say that it has
 * one; a run of such blocks would be any size.
 */
function eventsMaxOf(objectCount: number): number {
  return Math.min(EVENTS_MAX, objectCount * UNDERSTATED_FACTOR_MAX + UNDERSTATED_EVENTS_MAX);
}
