/** A recorded block whose decoding does what the `objectCount` it is given says; see `misbehaving-view.ts`. */

import { ensureExists } from '@tracelake/domain';
import type { ParseInput } from '@tracelake/lakehouse';
import { loadFixture } from '@tracelake/test-kit';
import { decodeBlockEnvelope, encodeBlockPayload } from '@tracelake/transit';

export interface MisbehavingBlock {
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly input: Omit<ParseInput, 'payload'>;
}

export function misbehavingBlock(behaviour: number): MisbehavingBlock {
  const { requests } = loadFixture('small');
  const request = requests.find(({ path }) => path.endsWith('insert_block'));
  const block = decodeBlockEnvelope(ensureExists(request, 'block').body);
  const input = {
    block: { ...block, objectCount: behaviour },
    stream: { metadataSha256: block.contentSha256 },
  } as unknown as MisbehavingBlock['input'];
  return { payload: new Uint8Array(encodeBlockPayload(block.payload)), input };
}
