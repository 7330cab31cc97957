/** The rows of blocks, looked up for some requests and inserted for others in one statement. */
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
/** More would make smaller batches, and so more statements and commits for as many rows. */
const STATEMENTS_AT_ONCE = 1;
/** The budget of bytes in flight refuses long before, unless an operator raised it. */
const WAITING_ROWS_MAX = 20_000;

type RowTask = { readonly find: BlockId } | { readonly insert: NewBlock };
type RowResult = Uint8Array | BlockInsertResult | undefined;

export class BlockRows {
  readonly #blocks: BlockRepository;
  readonly #events: TelemetryEvents;
  readonly #batcher: Batcher<RowTask, RowResult>;

  constructor({ blocks, events, timeoutMs }: BlockRowsOptions) {
    this.#blocks = blocks;
    this.#events = events;
    this.#batcher = new Batcher({
      failsEachAlike,
      itemsMax: STATEMENT_ROWS_MAX,
      concurrency: STATEMENTS_AT_ONCE,
      waitingMax: WAITING_ROWS_MAX,
      timeoutMs,
      run: (tasks, signal) => this.#run(tasks, signal),
    });
  }

  /** Rows that wait for a statement. */
  get depth(): number {
    return this.#batcher.depth;
  }

  /** The content hash of the block's row; undefined when there is none. */
  async findContentHash(id: BlockId, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return (await this.#batcher.submit({ find: id }, signal)) as Uint8Array | undefined;
  }

  /** Resolves when the block's row, this or an earlier one, is committed. */
  async insert(row: NewBlock, signal: AbortSignal): Promise<BlockInsertResult> {
    const result = await this.#batcher.submit({ insert: row }, signal);
    return ensureExists(result, 'the outcome of an insert') as BlockInsertResult;
  }

  async #run(tasks: readonly RowTask[], signal: AbortSignal): Promise<RowResult[]> {
    const blocks = tasks.flatMap((task) => ('insert' in task ? [task.insert] : []));
    const ids = tasks.flatMap((task) => ('find' in task ? [task.find] : []));
    if (blocks.length > 0) this.#events.rowsBatched(blocks.length);
    const { results, known } = await this.#blocks.insertManyAndFind({ blocks, ids }, signal);
    const inserted = results.values();
    return tasks.map((task) => ('find' in task ? known.get(task.find) : inserted.next().value));
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
