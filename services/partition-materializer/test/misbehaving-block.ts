/** A recorded block whose decoding does what the `objectCount` it is given says; see `misbehaving-view.ts`. */

import { ensureExists } from '@tracelake/domain';
import { loadFixture } from '@tracelake/test-kit';
import { decodeBlockEnvelope, encodeBlockPayload } from '@tracelake/transit';
import type { BlockToDecode } from '../src/decode/decode-messages.ts';

export function misbehavingBlock(behaviour: number): BlockToDecode {
  const { requests } = loadFixture('small');
  const request = requests.find(({ path }) => path.endsWith('insert_block'));
  const block = decodeBlockEnvelope(ensureExists(request, 'block').body);
  const input = {
    block: { ...block, objectCount: behaviour },
    stream: { metadataSha256: block.contentSha256 },
  } as unknown as BlockToDecode['input'];
  return { payload: new Uint8Array(encodeBlockPayload(block.payload)), input };
}
