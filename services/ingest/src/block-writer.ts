/**
 * Makes a block durable: its object first, then its row, so that a row never points at nothing. Both writes
 * are create-only, so any number of writers, replicas and retries of one block settle on the same two.
 */
import type { BlockInfo, BlockPayload } from '@tracelake/domain';
import {
  type BlockInsertResult,
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
   * Resolves once object and row are durable. Throws `ingest.block-conflict` when the id is known with other
   * content, with nothing left of this one, and StorageError when the store or the database fails.
   */
  async write(block: BlockEnvelope, signal: AbortSignal): Promise<BlockWriteResult> {
    const startedMs = performance.now();
    const pieces = blockPayloadPieces(block.payload);
    const payloadBytes = pieces.reduce((sum, { length }) => sum + length, 0);
    const write: BlockWrite = { block, pieces, facts: factsOf(block, payloadBytes), signal };
    // With the database away no object is made that would then wait for a row.
    if (!this.#ports.rows.isAnswered) await this.#findSameRow(write);
    const { object, isRowKnown } = await this.#ensureObject(write);
    const row = isRowKnown ? undefined : await this.#insertRow(write, object);
    const outcome = nameOutcome(object, row?.outcome ?? 'exists-same');
    // A row no older than this call was made by another writer of the block at the same time.
    const raced = row?.outcome === 'exists-same' && row.ageMs <= performance.now() - startedMs;
    this.#ports.events.blockWritten(outcome, write.facts, { raced });
    const newRowTimeUs = row?.outcome === 'inserted' ? row.insertTimeUs : undefined;
    return { outcome, newRowTimeUs, payloadBytes };
  }

  /**
   * The put alone tells that a block is new, so only one whose object is there is looked up: its row, and without
   * a row the object.
   */
  async #ensureObject(write: BlockWrite): Promise<ObjectFound> {
    const { block, pieces, facts, signal } = write;
    const key = keyOf(block);
    for (let attempt = 1; attempt <= VANISHED_ATTEMPTS_MAX; attempt += 1) {
      const put = await this.#timed('put-object', () =>
        this.#ports.objects.putIfAbsent(key, { pieces }, signal),
      );
      if (put === 'created') return { object: 'created', isRowKnown: false };
      // With the row there, its content hash vouches for the object.
      if (await this.#findSameRow(write)) return { object: 'existed', isRowKnown: true };
      const stored = await this.#findObject(key, signal);
      if (stored === undefined) continue;
      if (holdsPayload(stored, block.payload)) return { object: 'existed', isRowKnown: false };
      return this.#refuse(facts, 'an object without a row, with other content');
    }
    throw new IngestError('ingest.object-vanished', 'the block object is being removed', {
      retryable: true,
      details: { key },
    });
  }

  async #findSameRow({ block, facts, signal }: BlockWrite): Promise<boolean> {
    const known = await this.#timed('find-row', () =>
      this.#ports.rows.findContentHash(block.blockId, signal),
    );
    if (known === undefined) return false;
    if (areEqual(known, block.contentSha256)) return true;
    return this.#refuse(facts, 'a row with other content');
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

  /** The row that is there now, which has the block's content. */
  async #insertRow(write: BlockWrite, object: ObjectOutcome): Promise<SameRow> {
    const { block, facts, signal } = write;
    const row = { ...block, payloadBytes: facts.payloadBytes };
    const { outcome, ...found } = await this.#timed('insert-row', () =>
      this.#ports.rows.insert(row, signal),
    );
    if (outcome !== 'exists-different') return { outcome, ...found };
    if (object === 'created') await this.#removeStrayObject(write);
    return this.#refuse(facts, 'a row with other content, found after the object was made');
  }

  /**
   * Removes the object that this call made for an id that is taken. Under a key of its own it is a stray, and no later
   * writer can make it wanted. Under the winner's key there are two ways to have made it: the winner found it,
   * with the payload that it had itself, and rests on it (they differ in counts or times); or the winner's own
   * object had been lost. Only in the second the payload can be of another size than the winner's, so one of that
   * size stays, and never is an object removed that an acknowledged row was made for.
   */
  async #removeStrayObject({ block, facts, signal }: BlockWrite): Promise<void> {
    const winner = await this.#ports.blocks.find(block.blockId, signal);
    if (winner === undefined) return;
    const key = keyOf(block);
    if (key === keyOf(winner) && facts.payloadBytes === winner.payloadBytes) return;
    await this.#ports.objects.delete(key, signal);
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

interface BlockWrite {
  readonly block: BlockEnvelope;
  readonly pieces: readonly Uint8Array[];
  readonly facts: WrittenBlock;
  readonly signal: AbortSignal;
}

interface ObjectFound {
  readonly object: ObjectOutcome;
  /** Whether a row with the block's content has been seen, so that nothing is left to do. */
  readonly isRowKnown: boolean;
}

type SameRow = BlockInsertResult & { readonly outcome: 'inserted' | 'exists-same' };

/** Names the four ways in which object and row can be met. */
export function nameOutcome(object: ObjectOutcome, row: 'inserted' | 'exists-same'): BlockOutcome {
  if (object === 'created') return row === 'inserted' ? 'stored' : 'object-restored';
  return row === 'inserted' ? 'row-restored' : 'duplicate';
}

function keyOf({
  processId,
  streamId,
  blockId,
}: Pick<BlockInfo, 'processId' | 'streamId' | 'blockId'>): string {
  return objectKeys.block(processId, streamId, blockId);
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
