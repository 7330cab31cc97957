/**
 * The body of a decode worker: one block at a time, from the stored object to columns, which move back
 * without a copy.
 */

import { parentPort } from 'node:worker_threads';
import { ensureExists, errorMessage } from '@tracelake/domain';
import type { ViewSet } from '@tracelake/lakehouse';
import { decodeBlock, loadView } from './block-decoding.ts';
import type { DecodeJob, DecodeReply } from './decode-messages.ts';

const port = ensureExists(parentPort, 'port to the service');

port.on('message', (job: DecodeJob) => {
  void carryOut(job).then(({ reply, transfer }) => port.postMessage(reply, transfer));
});

interface Answer {
  readonly reply: DecodeReply;
  readonly transfer: ArrayBuffer[];
}

async function carryOut({ jobId, moduleUrl, ...block }: DecodeJob): Promise<Answer> {
  let view: ViewSet;
  try {
    view = await loadView(moduleUrl);
  } catch (error) {
    return { reply: { jobId, outcome: 'broken', reason: errorMessage(error) }, transfer: [] };
  }
  const outcome = decodeBlock(view, block);
  const transfer = outcome.outcome === 'decoded' ? view.transferList(outcome.parsed) : [];
  return { reply: { jobId, ...outcome }, transfer };
}
