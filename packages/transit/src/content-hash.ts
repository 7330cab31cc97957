import { createHash } from 'node:crypto';
import type { BlockInfo, BlockPayload, Nanoseconds } from '@tracelake/domain';

/** What makes a block the same block: its envelope, with times as exact as they were sent. */
export interface ContentIdentity extends Omit<BlockInfo, 'beginNs' | 'endNs'> {
  readonly exactBeginNs: Nanoseconds;
  readonly exactEndNs: Nanoseconds;
}

/**
 * Hashes a block's content: SHA-256 over its envelope in one canonical form and both payload buffers.
 * However the block was encoded, the same content gives the same 32 bytes.
 */
export function contentSha256Of(identity: ContentIdentity, payload: BlockPayload): Uint8Array {
  const envelope = [
    'tracelake block 1',
    identity.blockId,
    identity.streamId,
    identity.processId,
    identity.exactBeginNs,
    identity.exactEndNs,
    identity.beginTicks,
    identity.endTicks,
    identity.objectOffset,
    identity.objectCount,
    payload.dependencies.length,
    payload.objects.length,
    '',
  ];
  return createHash('sha256')
    .update(envelope.join('\n'))
    .update(payload.dependencies)
    .update(payload.objects)
    .digest();
}
