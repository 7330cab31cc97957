/** The body of a worker thread of the benchmark: a stored payload in, columns out, buffers moved both ways. */

import { parentPort, workerData } from 'node:worker_threads';
import { ensureExists } from '@tracelake/domain';
import {
  DEFAULT_DECOMPRESSED_BYTES_MAX,
  decodeBlockPayload,
  decodeThreadSpanBlock,
} from '@tracelake/transit';
import type { DecodedColumns, DecodeTask } from './decode-threads.ts';
import type { StreamTypes } from './synthetic-blocks.ts';

const port = ensureExists(parentPort, 'port to the benchmark');
const types = workerData as readonly StreamTypes[];

port.on('message', ({ payload, types: typesIndex }: DecodeTask) => {
  const { dependenciesMetadata, objectsMetadata } = ensureExists(types[typesIndex], 'types');
  const columns = decodeThreadSpanBlock({
    dependenciesMetadata,
    objectsMetadata,
    payload: decodeBlockPayload(payload),
    objectOffset: 0n,
    limits: { decompressedBytesMax: DEFAULT_DECOMPRESSED_BYTES_MAX },
  });
  const arrays = [columns.ticks, columns.kind, columns.scope].map(
    ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
  );
  const decoded: DecodedColumns = { eventCount: columns.count, arrays };
  port.postMessage(decoded, [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))]);
});
