/** The only file that spells a path in the object store. */
import type { BlockId, ProcessId, StreamId } from '@tracelake/domain';
import { StorageError } from './storage-error.ts';

const BLOCK_PREFIX = 'blobs/';
/** Below it lies every partition file and nothing else. */
export const PARTITION_PREFIX = 'views/';
export const PROBE_PREFIX = 'probes/';

export interface PartitionKeyParts {
  readonly viewSet: string;
  readonly instance: string;
  /** `YYYY-MM-DD`, of the partition's first insert time in UTC. */
  readonly day: string;
  readonly partitionId: string;
  /** Random, so that no two writers ever share a key and none can lose its file to a sweeper. */
  readonly attempt: string;
}

/** Keys of what Tracelake stores. */
export const objectKeys = {
  block(processId: ProcessId, streamId: StreamId, blockId: BlockId): string {
    return `${BLOCK_PREFIX}${processId}/${streamId}/${blockId}`;
  },
  /** Below it lie the objects of all blocks of the process, and nothing else. */
  blocksOf(processId: ProcessId): string {
    return `${BLOCK_PREFIX}${processId}/`;
  },
  partition({ viewSet, instance, day, partitionId, attempt }: PartitionKeyParts): string {
    return `${PARTITION_PREFIX}${viewSet}/${instance}/${day}/${partitionId}-${attempt}.parquet`;
  },
};

const KEY_CHARACTERS_MAX = 1000;
/** No segment is empty or starts with a dot, so none is `.` or `..`, nor a temporary file's name. */
const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,250}$/;

/** Throws `storage.bad-object-key` for a key that could name anything but a plain file below the root. */
export function checkObjectKey(key: string): void {
  if (key.length <= KEY_CHARACTERS_MAX && key.split('/').every((part) => SEGMENT.test(part)))
    return;
  throw new StorageError('storage.bad-object-key', 'an object key has a part that is not allowed', {
    details: { key: key.slice(0, 200) },
  });
}
