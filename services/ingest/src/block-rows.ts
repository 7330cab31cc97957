/** The rows of blocks, looked up and inserted for many requests in one statement each. */
import { type BlockId, ensureExists } from '@tracelake/domain';
import {
  type BlockInsertResult,
  type BlockRepository,
  type NewBlock,
  StorageError,
} from '@tracelake/storage';
import { Batcher } from './batcher.ts';
import type { TelemetryEvents } from './telemetry-events.ts';

export interface BlockRowsOptions {
  readonly blocks: BlockRepository;
  readonly events: TelemetryEvents;
  /** How long one statement may take. */
  readonly timeoutMs: number;
}

/** One statement stays short, since all of it is answered when its commit is durable. */
const STATEMENT_ROWS_MAX = 500;
/** Of each kind. More would make smaller batches, and so more statements and commits for as many rows. */
const STATEMENTS_AT_ONCE = 1;
/** The budget of bytes in flight refuses long before, unless an operator raised it. */
const WAITING_ROWS_MAX = 20_000;

export class BlockRows {
  readonly #hashes: Batcher<BlockId, Uint8Array | undefined>;
  readonly #inserts: Batcher<NewBlock, BlockInsertResult>;

  constructor({ blocks, events, timeoutMs }: BlockRowsOptions) {
    const bounds = {
      failsEachAlike,
      itemsMax: STATEMENT_ROWS_MAX,
      concurrency: STATEMENTS_AT_ONCE,
      waitingMax: WAITING_ROWS_MAX,
      timeoutMs,
    };
    this.#hashes = new Batcher({
      ...bounds,
      run: async (ids, signal) => {
        const known = await blocks.findContentHashes(ids, signal);
        return ids.map((id) => known.get(id));
      },
    });
    this.#inserts = new Batcher({
      ...bounds,
      run: (rows, signal) => blocks.insertMany(rows, signal),
      onBatch: (rowCount) => events.rowsBatched(rowCount),
    });
  }

  /** Rows that wait for a statement. */
  get depth(): number {
    return this.#hashes.depth + this.#inserts.depth;
  }

  /** The content hash of the block's row; undefined when there is none. */
  findContentHash(id: BlockId, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#hashes.submit(id, signal);
  }

  /** Resolves when the block's row, this or an earlier one, is committed. */
  async insert(row: NewBlock, signal: AbortSignal): Promise<BlockInsertResult> {
    return ensureExists(await this.#inserts.submit(row, signal), 'the outcome of an insert');
  }
}

/** With the database away, trying smaller batches would only add to its load. */
function failsEachAlike(error: unknown): boolean {
  if (!(error instanceof StorageError)) return error instanceof DOMException;
  return (
    error.code === 'storage.database-unavailable' ||
    error.code === 'storage.database-overloaded' ||
    error.code === 'storage.database-timeout'
  );
}
