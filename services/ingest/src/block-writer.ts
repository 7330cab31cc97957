/**
 * Makes a block durable: its object first, then its row, so that a row never points at nothing. Both writes
 * are create-only, so any number of writers, replicas and retries of one block settle on the same two.
 */
import type { BlockPayload } from '@tracelake/domain';
import {
  type BlockRepository,
  type ObjectStore,
  objectKeys,
  StorageError,
} from '@tracelake/storage';
import { type BlockEnvelope, blockPayloadPieces, decodeBlockPayload } from '@tracelake/transit';
import type { BlockRows } from './block-rows.ts';
import { IngestError } from './ingest-error.ts';
import type { BlockOutcome, TelemetryEvents, WrittenBlock } from './telemetry-events.ts';

export interface BlockWriterPorts {
  readonly objects: ObjectStore;
  readonly rows: BlockRows;
  readonly blocks: BlockRepository;
  readonly events: TelemetryEvents;
}

export interface BlockWriteResult {
  readonly outcome: BlockOutcome;
  /** The insert time of the row that this call made and so has to announce; undefined when it was there. */
  readonly newRowTimeUs: bigint | undefined;
  readonly payloadBytes: number;
}

/** How often an object may vanish between being found and being read before the client has to retry. */
const VANISHED_ATTEMPTS_MAX = 3;

export class BlockWriter {
  readonly #ports: BlockWriterPorts;

  constructor(ports: BlockWriterPorts) {
    this.#ports = ports;
  }

  /**
   * Resolves once object and row are durable. Throws `ingest.block-conflict` when the id is known with
   * other content, with nothing written, and StorageError when the store or the database fails.
   */
  async write(block: BlockEnvelope, signal: AbortSignal): Promise<BlockWriteResult> {
    const pieces = blockPayloadPieces(block.payload);
    const payloadBytes = pieces.reduce((sum, { length }) => sum + length, 0);
    const facts = factsOf(block, payloadBytes);
    const isKnown = await this.#findSameRow(block, facts, signal);
    const object = await this.#ensureObject(block, { pieces, facts, isKnown, signal });
    const newRowTimeUs = isKnown
      ? undefined
      : await this.#insertRow(block, { object, facts, signal });
    const row = newRowTimeUs === undefined ? 'exists' : 'inserted';
    const outcome = nameOutcome(object, row);
    // Nobody had the row a moment ago, yet it exists now: another writer of this block was at work.
    this.#ports.events.blockWritten(outcome, facts, { raced: !isKnown && row === 'exists' });
    return { outcome, newRowTimeUs, payloadBytes };
  }

  async #findSameRow(
    block: BlockEnvelope,
    facts: WrittenBlock,
    signal: AbortSignal,
  ): Promise<boolean> {
    const known = await this.#timed('find-row', () =>
      this.#ports.rows.findContentHash(block.blockId, signal),
    );
    if (known === undefined) return false;
    if (areEqual(known, block.contentSha256)) return true;
    return this.#refuse(facts, 'a row with other content');
  }

  async #ensureObject(block: BlockEnvelope, write: ObjectWrite): Promise<ObjectOutcome> {
    const key = objectKeys.block(block.processId, block.streamId, block.blockId);
    for (let attempt = 1; attempt <= VANISHED_ATTEMPTS_MAX; attempt += 1) {
      const put = await this.#timed('put-object', () =>
        this.#ports.objects.putIfAbsent(key, { pieces: write.pieces }, write.signal),
      );
      if (put === 'created') return 'created';
      // With the row there, its content hash has vouched for the object already.
      if (write.isKnown) return 'existed';
      const stored = await this.#findObject(key, write.signal);
      if (stored === undefined) continue;
      if (holdsPayload(stored, block.payload)) return 'existed';
      return this.#refuse(write.facts, 'an object without a row, with other content');
    }
    throw new IngestError('ingest.object-vanished', 'the block object is being removed', {
      retryable: true,
      details: { key },
    });
  }

  async #findObject(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    try {
      return await this.#ports.objects.get(key, signal);
    } catch (error) {
      if (error instanceof StorageError && error.code === 'storage.object-missing')
        return undefined;
      throw error;
    }
  }

  /** The new row's insert time, or undefined when an equal row is there. */
  async #insertRow(block: BlockEnvelope, write: RowWrite): Promise<bigint | undefined> {
    const row = { ...block, payloadBytes: write.facts.payloadBytes };
    const { outcome, insertTimeUs } = await this.#timed('insert-row', () =>
      this.#ports.rows.insert(row, write.signal),
    );
    if (outcome === 'inserted') return insertTimeUs;
    if (outcome === 'exists-same') return undefined;
    if (write.object === 'created') await this.#removeStrayObject(block, write.signal);
    return this.#refuse(write.facts, 'a row with other content, inserted meanwhile');
  }

  /**
   * Removes the object of a writer that lost the race for its block id. It is a stray only under a key of
   * its own: under the winner's key it is the winner's object. No later writer can make it wanted, because
   * the id is taken by a row of another stream or process.
   */
  async #removeStrayObject(block: BlockEnvelope, signal: AbortSignal): Promise<void> {
    const winner = await this.#ports.blocks.find(block.blockId, signal);
    if (winner === undefined) return;
    const key = objectKeys.block(block.processId, block.streamId, block.blockId);
    const winnerKey = objectKeys.block(winner.processId, winner.streamId, winner.blockId);
    if (key !== winnerKey) await this.#ports.objects.delete(key, signal);
  }

  #refuse(facts: WrittenBlock, known: string): never {
    this.#ports.events.blockConflicted(facts, { known });
    throw new IngestError(
      'ingest.block-conflict',
      'block_id is known with other content; a block never changes once it is acknowledged, ' +
        'so send new content under a new id',
      { details: { field: 'block_id', blockId: facts.blockId } },
    );
  }

  async #timed<T>(stage: 'find-row' | 'put-object' | 'insert-row', work: () => Promise<T>) {
    const startedMs = performance.now();
    try {
      return await work();
    } finally {
      this.#ports.events.stageTook(stage, performance.now() - startedMs);
    }
  }
}

type ObjectOutcome = 'created' | 'existed';

interface ObjectWrite {
  readonly pieces: readonly Uint8Array[];
  readonly facts: WrittenBlock;
  readonly isKnown: boolean;
  readonly signal: AbortSignal;
}

interface RowWrite {
  readonly object: ObjectOutcome;
  readonly facts: WrittenBlock;
  readonly signal: AbortSignal;
}

/** Names the four ways in which object and row can be met. */
export function nameOutcome(object: ObjectOutcome, row: 'inserted' | 'exists'): BlockOutcome {
  if (object === 'created') return row === 'inserted' ? 'stored' : 'object-restored';
  return row === 'inserted' ? 'row-restored' : 'duplicate';
}

/** Whether stored bytes hold this payload, in the canonical encoding or in any other. */
function holdsPayload(stored: Uint8Array, payload: BlockPayload): boolean {
  try {
    const decoded = decodeBlockPayload(stored);
    return (
      areEqual(decoded.dependencies, payload.dependencies) &&
      areEqual(decoded.objects, payload.objects)
    );
  } catch {
    return false;
  }
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

function factsOf(block: BlockEnvelope, payloadBytes: number): WrittenBlock {
  const { blockId, streamId, processId, objectCount } = block;
  return { blockId, streamId, processId, objectCount, payloadBytes };
}
