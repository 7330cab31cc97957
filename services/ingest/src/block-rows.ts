/** The rows of blocks: those of many requests are inserted, or looked up, in one statement. */
import type { BlockId } from '@tracelake/domain';
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
/** More would make smaller batches, and so more statements and commits for as many rows. */
const STATEMENTS_AT_ONCE = 1;
/** The budget of bytes in flight refuses long before, unless an operator raised it. */
const WAITING_ROWS_MAX = 20_000;

export class BlockRows {
  readonly #inserts: Batcher<NewBlock, BlockInsertResult>;
  readonly #lookups: Batcher<BlockId, Uint8Array | undefined>;
  #isAnswered = true;

  constructor({ blocks, events, timeoutMs }: BlockRowsOptions) {
    const limits = {
      failsEachAlike,
      itemsMax: STATEMENT_ROWS_MAX,
      concurrency: STATEMENTS_AT_ONCE,
      waitingMax: WAITING_ROWS_MAX,
      timeoutMs,
    };
    this.#inserts = new Batcher({
      ...limits,
      run: (rows, signal) => {
        events.rowsBatched(rows.length);
        return this.#observed(blocks.insertMany(rows, signal));
      },
    });
    this.#lookups = new Batcher({
      ...limits,
      run: async (ids, signal) => {
        const known = await this.#observed(blocks.findContentHashes(ids, signal));
        return ids.map((id) => known.get(id));
      },
    });
  }

  /** Rows that wait for a statement. */
  get depth(): number {
    return this.#inserts.depth + this.#lookups.depth;
  }

  /** Whether the database answered when it was asked last; true before that. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** The content hash of the block's row; undefined when there is none. */
  findContentHash(id: BlockId, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#lookups.submit(id, signal);
  }

  /** Resolves when the block's row, this or an earlier one, is committed. */
  insert(row: NewBlock, signal: AbortSignal): Promise<BlockInsertResult> {
    return this.#inserts.submit(row, signal);
  }

  async #observed<T>(statement: Promise<T>): Promise<T> {
    try {
      const result = await statement;
      this.#isAnswered = true;
      return result;
    } catch (error) {
      this.#isAnswered = !failsEachAlike(error);
      throw error;
    }
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
