/**
 * Removes one process from a lake, in an order that a kill at any moment does not matter to: hidden in one transaction;
 * then, batch by batch, the objects of its blocks and after them their rows, which until then say what is left to do.
 */
import { rmdir } from 'node:fs/promises';
import path from 'node:path';
import { type ProcessId, parseBlockId } from '@tracelake/domain';
import {
  type Database,
  findNamed,
  forgetBlocks,
  hideProcess,
  listRemovableBlocks,
  type ObjectStore,
  objectKeys,
  retirePartitionsOf,
} from '@tracelake/storage';
import { workBounded } from '../client/bounded-work.ts';

export interface RemovalRequest {
  readonly db: Database;
  readonly store: ObjectStore;
  readonly processId: ProcessId;
  /** What came at or after this stays, and a process that has such things stays whole. */
  readonly beforeUs: bigint;
  readonly concurrency: number;
  /** Called after each batch with what it removed. */
  readonly onBatch: (removed: Removed) => void;
  readonly signal: AbortSignal;
}

export interface Removed {
  readonly blocks: number;
  /** Of the blocks' objects. */
  readonly blockBytes: number;
  readonly partitions: number;
}

const batchBlocks = 500;
/** Far more than ingest takes from a block's object to its row. */
const strayAgeMs = 3_600_000;

/** `active`, with nothing changed, when something of the process came since. */
export async function removeProcess(request: RemovalRequest): Promise<Removed | 'active'> {
  const { db, processId, beforeUs, signal } = request;
  const hidden = await hideProcess(db, processId, beforeUs, signal);
  if (hidden === undefined) return 'active';
  const removed = await removeBlocks(request);
  await removeStrays(request);
  // A build that was under way may have committed after the process was hidden.
  const late = await retirePartitionsOf(db, hidden.instances, signal);
  return { ...removed, partitions: hidden.partitions + late };
}

async function removeBlocks(request: RemovalRequest): Promise<Removed> {
  const { db, store, processId, beforeUs, signal } = request;
  const directories = new Set<string>();
  let removed: Removed = { blocks: 0, blockBytes: 0, partitions: 0 };
  for (;;) {
    const page = { processId, beforeUs, limit: batchBlocks };
    const blocks = await listRemovableBlocks(db, page, signal);
    const keys = blocks.map(({ streamId, blockId }) =>
      objectKeys.block(processId, streamId, blockId),
    );
    await deleteObjects(keys, request);
    const ids = blocks.map(({ blockId }) => blockId);
    const gone = await forgetBlocks(db, ids, signal);
    removed = {
      ...removed,
      blocks: removed.blocks + gone.blocks,
      blockBytes: removed.blockBytes + gone.bytes,
    };
    for (const key of keys) noteDirectory(store, key, directories);
    if (blocks.length < batchBlocks) break;
    request.onBatch(removed);
  }
  await removeDirectories(directories);
  return removed;
}

/**
 * Objects of the process that no row names: of a client that never learned whether its block was stored and did not
 * ask again. A row that comes for one while it goes is of the process that is removed, and goes too.
 */
async function removeStrays(request: RemovalRequest): Promise<void> {
  const { db, store, processId, signal } = request;
  let keys: string[] = [];
  const removeListed = async () => {
    const named = await findNamed(db, keys, signal);
    const strays = keys.filter((key) => !named.has(key));
    await deleteObjects(strays, request);
    const ids = strays.map((key) => parseBlockId(key.split('/').at(-1) ?? ''));
    await forgetBlocks(
      db,
      ids.filter((id) => id !== undefined),
      signal,
    );
    keys = [];
  };
  const directories = new Set<string>();
  for await (const { key, modifiedMs } of store.list(objectKeys.blocksOf(processId), signal)) {
    if (modifiedMs > Date.now() - strayAgeMs) continue;
    noteDirectory(store, key, directories);
    if (keys.push(key) >= batchBlocks) await removeListed();
  }
  if (keys.length > 0) await removeListed();
  await removeDirectories(directories);
}

async function deleteObjects(
  keys: readonly string[],
  { store, concurrency, signal }: RemovalRequest,
): Promise<void> {
  await workBounded(keys, concurrency, (key, stop) => store.delete(key, stop), signal);
}

/** In a directory store the directories of streams, and of the process, are left empty. */
function noteDirectory(store: ObjectStore, key: string, directories: Set<string>): void {
  const file = store.localPath(key);
  if (file !== undefined) directories.add(path.dirname(file));
}

async function removeDirectories(directories: ReadonlySet<string>): Promise<void> {
  const parents = new Set([...directories].map((directory) => path.dirname(directory)));
  for (const directory of [...directories, ...parents]) {
    // One that is not empty has what came since, and stays.
    await rmdir(directory).catch(() => {});
  }
}
