/**
 * The body of a decode worker: one block at a time, from the stored object to columns, which move back
 * without a copy. It holds no state but the views it has loaded.
 */

import { parentPort } from 'node:worker_threads';
import { AppError, ensureExists, errorMessage } from '@tracelake/domain';
import type { SourceStream, ViewSet } from '@tracelake/lakehouse';
import { decodeBlockPayload } from '@tracelake/transit';
import type { DecodeJob, DecodeReply } from './decode-messages.ts';

const port = ensureExists(parentPort, 'port to the service');
const views = new Map<string, Promise<ViewSet>>();

port.on('message', (job: DecodeJob) => {
  void decode(job).then(({ reply, transfer }) => port.postMessage(reply, transfer));
});

interface Answer {
  readonly reply: DecodeReply;
  readonly transfer: ArrayBuffer[];
}

async function decode({ jobId, moduleUrl, payload, input }: DecodeJob): Promise<Answer> {
  let view: ViewSet;
  try {
    view = await loadView(moduleUrl);
  } catch (error) {
    return { reply: { jobId, outcome: 'broken', reason: describe(error) }, transfer: [] };
  }
  try {
    const stream = withKnownMetadata(input.stream);
    const parsed = view.parseBlock({ ...input, stream, payload: decodeBlockPayload(payload) });
    return { reply: { jobId, outcome: 'decoded', parsed }, transfer: view.transferList(parsed) };
  } catch (error) {
    return { reply: { jobId, outcome: 'undecodable', reason: describe(error) }, transfer: [] };
  } finally {
    // Megabytes are given back at once and not when garbage is next collected.
    if (!payload.buffer.detached) payload.buffer.transfer(0);
  }
}

type Metadata = Pick<SourceStream, 'dependenciesMetadata' | 'objectsMetadata'>;

/** Streams of a program share a few sets of types; those of the last few hundred are kept. */
const METADATA_MAX = 256;
const knownMetadata = new Map<string, Metadata>();

/**
 * Decoders compile the layout of each metadata array they meet, and every job brings a copy of its own:
 * the same types are given to them as the same arrays.
 */
function withKnownMetadata(stream: SourceStream): SourceStream {
  const key = Buffer.from(stream.metadataSha256).toString('hex');
  let metadata = knownMetadata.get(key);
  if (metadata === undefined) {
    const { dependenciesMetadata, objectsMetadata } = stream;
    metadata = { dependenciesMetadata, objectsMetadata };
    if (knownMetadata.size >= METADATA_MAX) knownMetadata.clear();
    knownMetadata.set(key, metadata);
  }
  return { ...stream, ...metadata };
}

function loadView(moduleUrl: string): Promise<ViewSet> {
  let view = views.get(moduleUrl);
  if (view === undefined) {
    view = importView(moduleUrl);
    views.set(moduleUrl, view);
  }
  return view;
}

async function importView(moduleUrl: string): Promise<ViewSet> {
  const module: { readonly view?: ViewSet } = await import(moduleUrl);
  return ensureExists(module.view, `export "view" of ${moduleUrl}`);
}

/** The code comes first: it tells the kind of damage whatever the message says. */
function describe(error: unknown): string {
  return error instanceof AppError ? `${error.code}: ${error.message}` : errorMessage(error);
}
