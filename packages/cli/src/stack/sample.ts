import { fileURLToPath } from 'node:url';
import { listProcesses } from '../client/process-list.ts';
import { readRecording } from '../client/recording.ts';
import { replayRequests } from '../client/replay.ts';
import type { Connection } from '../client/service-endpoints.ts';

const sampleDir = fileURLToPath(new URL('../../sample/', import.meta.url));
const patienceMs = 60_000;

/** What there is to open: the newest process, after an empty lake was given the sample if it is wanted. */
export interface OpenableProcess {
  readonly processId: string;
  readonly isSample: boolean;
}

export async function findOrSendSample(
  connection: Connection,
  wantsSample: boolean,
  signal: AbortSignal,
): Promise<OpenableProcess | undefined> {
  const [newest] = await listProcesses(connection, { limit: 1, signal });
  const sample = await readRecording(sampleDir);
  if (newest !== undefined) {
    return { processId: newest.process_id, isSample: newest.process_id === sample.processId };
  }
  if (!wantsSample || sample.processId === undefined) return undefined;
  await replayRequests({ connection, requests: sample.requests, signal, patienceMs });
  return { processId: sample.processId, isSample: true };
}
