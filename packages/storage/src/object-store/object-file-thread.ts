/** The thread that writes batches of objects; one batch is under way at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import { type ObjectFilePlace, wholePages } from './object-file-memory.ts';
import { type ObjectFile, writeObjectFiles } from './object-file-writing.ts';

export interface ObjectFileThreadData {
  /** The store's directory. */
  readonly root: string;
  /** Shared; from `createObjectFileMemory`. */
  readonly memory: Uint8Array;
}

/** The bytes are in the shared memory or, of an object that is too large for it, come with the order. */
export interface ObjectFileOrder
  extends Pick<ObjectFile, 'temporary' | 'path' | 'isDirectoryDurable'> {
  readonly content: ObjectFilePlace | Uint8Array<ArrayBuffer>;
}

const { root, memory } = workerData as ObjectFileThreadData;

parentPort?.on('message', (orders: readonly ObjectFileOrder[]) => {
  const replies = writeObjectFiles(root, orders.map(fileOf));
  // What was handed over waits for a garbage collection otherwise, which seldom comes here.
  for (const { content } of orders) if ('buffer' in content) content.buffer.transfer(0);
  parentPort?.postMessage(replies);
});

function fileOf(order: ObjectFileOrder): ObjectFile {
  const { content } = order;
  if ('buffer' in content) return { ...order, bytes: content, pages: undefined };
  const { offset, byteCount } = content;
  const bytes = memory.subarray(offset, offset + byteCount);
  return { ...order, bytes, pages: memory.subarray(offset, offset + wholePages(byteCount)) };
}
