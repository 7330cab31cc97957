/** A stored object to columns, on whichever thread it is to happen. It keeps the views it has loaded, and types. */

import { AppError, ensureExists, errorMessage, freeOwnMemory } from '@tracelake/domain';
import type { SourceStream, ViewSet } from '@tracelake/lakehouse';
import { decodeBlockPayload } from '@tracelake/transit';
import { MaterializerError } from '../materializer-error.ts';
import type { BlockToDecode, DecodeOutcome } from './decode-messages.ts';

/** A block that cannot be decoded is an outcome, not an error. The payload's memory is given back in any case. */
export function decodeBlock(view: ViewSet, { payload, input }: BlockToDecode): DecodeOutcome {
  try {
    const stream = withKnownMetadata(input.stream);
    const parsed = view.parseBlock({ ...input, stream, payload: decodeBlockPayload(payload) });
    return { outcome: 'decoded', parsed };
  } catch (error) {
    return { outcome: 'undecodable', reason: describe(error) };
  } finally {
    // Megabytes are given back at once and not when garbage is next collected.
    freeOwnMemory(payload);
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

const views = new Map<string, Promise<ViewSet>>();

/** Errors: `materializer.view-not-loaded`, a bug of the view's module. */
export function loadView(moduleUrl: string): Promise<ViewSet> {
  let view = views.get(moduleUrl);
  if (view === undefined) {
    view = importView(moduleUrl);
    views.set(moduleUrl, view);
  }
  return view;
}

async function importView(moduleUrl: string): Promise<ViewSet> {
  try {
    const module: { readonly view?: ViewSet } = await import(moduleUrl);
    return ensureExists(module.view, `export "view" of ${moduleUrl}`);
  } catch (cause) {
    const message = `cannot load a view: ${errorMessage(cause)}`;
    throw new MaterializerError('materializer.view-not-loaded', message, { cause });
  }
}

/** The code comes first: it tells the kind of damage whatever the message says. */
function describe(error: unknown): string {
  return error instanceof AppError ? `${error.code}: ${error.message}` : errorMessage(error);
}
