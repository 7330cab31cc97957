/** The thread that writes batches of objects. `workerData` is the store's root; one batch is under way at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import { type ObjectFile, writeObjectFiles } from './object-file-writing.ts';

parentPort?.on('message', (files: readonly ObjectFile[]) => {
  const replies = writeObjectFiles(workerData as string, files);
  // The bytes were handed over; without this they wait for a garbage collection that seldom comes here.
  for (const { bytes } of files) (bytes.buffer as ArrayBuffer).transfer(0);
  parentPort?.postMessage(replies);
});
