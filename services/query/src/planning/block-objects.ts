/** The rows of `parse_block`: the objects of one block as they were sent. */

import { parseBlockId } from '@tracelake/domain';
import {
  BlockRepository,
  type Database,
  type ObjectStore,
  objectKeys,
  StreamRepository,
} from '@tracelake/storage';
import { decodeBlockPayload, listRawObjects } from '@tracelake/transit';
import { QueryError } from '../query-error.ts';

export interface BlockObjectsOptions {
  readonly db: Database;
  readonly objects: Pick<ObjectStore, 'get'>;
  readonly decompressedBytesMax: number;
  readonly signal: AbortSignal;
}

export interface BlockObjectRow {
  readonly object_index: number;
  readonly type_name: string;
  /** JSON text. */
  readonly value: string;
}

/** Errors: `query.unknown-source`, `query.bad-block`, and those of Postgres and the object store. */
export async function* readBlockObjects(
  id: string,
  { db, objects, decompressedBytesMax, signal }: BlockObjectsOptions,
): AsyncGenerator<BlockObjectRow, void, void> {
  const blockId = parseBlockId(id);
  const block = blockId && (await new BlockRepository(db).find(blockId, signal));
  const stream = block && (await new StreamRepository(db).find(block.streamId, signal));
  if (block === undefined || stream === undefined) {
    throw new QueryError('query.unknown-source', `there is no block ${id} whose stream is known`);
  }
  const key = objectKeys.block(block.processId, block.streamId, block.blockId);
  const bytes = await objects.get(key, signal);
  const { dependenciesMetadata, objectsMetadata } = stream;
  try {
    const listed = listRawObjects({
      dependenciesMetadata,
      objectsMetadata,
      payload: decodeBlockPayload(bytes),
      objectOffset: block.objectOffset,
      limits: { decompressedBytesMax },
    });
    for (const { index, typeName, json } of listed) {
      yield { object_index: index, type_name: typeName, value: json };
    }
  } catch (cause) {
    throw new QueryError('query.bad-block', `block ${id} cannot be parsed: ${String(cause)}`, {
      cause,
    });
  }
}
