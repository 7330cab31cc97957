import type { BlockDecodeInput } from '@tracelake/transit';
import type { ParseInput } from './view.ts';

/** What the decoders of native blocks need of a block to parse. */
export function decodeInputOf({ stream, block, payload, limits }: ParseInput): BlockDecodeInput {
  return {
    dependenciesMetadata: stream.dependenciesMetadata,
    objectsMetadata: stream.objectsMetadata,
    payload,
    objectOffset: block.objectOffset,
    limits,
  };
}
