/**
 * The spans of one thread in order of (begin, id) and then of all they have, from the files of its partitions. Each file is sorted;
 * they are merged, and a file is opened only when the merge reaches its first begin, so that the files open
 * at once are those whose spans are open at once, whatever their number.
 */

import { ensureExists } from '@tracelake/domain';
import {
  type ParquetReader,
  type QueryOptions,
  sqlString,
  sqlTimestamp,
} from './parquet-reading.ts';
import { ScopeDictionary } from './scope-dictionary.ts';
import { compareSpans, type SpanBatch, spanBatchOf } from './span-batch.ts';

/** Rows `from` up to but not including `to` of a batch. */
export interface SpanSlice {
  readonly batch: SpanBatch;
  readonly from: number;
  readonly to: number;
}

/** A file on the local disk while it is held. */
export interface LocalFile extends AsyncDisposable {
  readonly path: string;
}

export interface SpanFile {
  /** The least begin in the file; rows of it are not asked for before that time. */
  readonly minBeginNs: bigint;
  /** Brings the file to the local disk. */
  open(): Promise<LocalFile>;
}

/** Both ends inclusive. */
export interface NsRange {
  readonly beginNs: bigint;
  readonly endNs: bigint;
}

export interface SpanReadRequest extends QueryOptions {
  readonly reader: ParquetReader;
  readonly files: readonly SpanFile[];
  readonly range: NsRange;
}

/** Reads the rows of one `thread_spans` file that overlap the range, in the file's order. */
export async function* readSpanFile(
  reader: ParquetReader,
  path: string,
  range: NsRange,
  options: QueryOptions = {},
): AsyncGenerator<SpanBatch, void, void> {
  const source =
    `read_parquet(${sqlString(path)}) WHERE "begin" <= ${sqlTimestamp(range.endNs)}` +
    ` AND "end" >= ${sqlTimestamp(range.beginNs)}`;
  const dictionary = await ScopeDictionary.collect(reader, source, options);
  if (dictionary.scopes.length === 0) return;
  const sql = `SELECT id, parent, depth, "begin", "end", ${dictionary.keyColumn}, open FROM ${source}`;
  for await (const chunk of reader.chunks(sql, options)) yield spanBatchOf(chunk, dictionary);
}

/**
 * Merges the files of one thread. Slices follow one another in the order of `compareSpans`; a slice's batch may
 * come again with later rows.
 *
 * Errors: those of `ParquetReader.chunks` and of `SpanFile.open`.
 */
export async function* mergeSpanFiles(
  request: SpanReadRequest,
): AsyncGenerator<SpanSlice, void, void> {
  const waiting = [...request.files].sort((a, b) => compare(a.minBeginNs, b.minBeginNs)).reverse();
  const cursors: FileCursor[] = [];
  try {
    for (;;) {
      await openReached(request, waiting, cursors);
      const current = cursors[0];
      if (current === undefined) return;
      const limit = nearerLimit(cursors[1], waiting.at(-1));
      const slice = current.takeUpTo(limit);
      if (slice.to > slice.from) yield slice;
      if (await current.refill()) {
        cursors.shift();
        insert(cursors, current);
      } else {
        cursors.shift();
        await current[Symbol.asyncDispose]();
      }
    }
  } finally {
    for (const cursor of cursors) await cursor[Symbol.asyncDispose]();
  }
}

/** Opens every file whose first begin is not after the merge's next row; all while nothing is open. */
async function openReached(
  request: SpanReadRequest,
  waiting: SpanFile[],
  cursors: FileCursor[],
): Promise<void> {
  for (;;) {
    const next = waiting.at(-1);
    if (next === undefined) return;
    const head = cursors[0];
    if (head !== undefined && head.begin < next.minBeginNs) return;
    waiting.pop();
    const cursor = await FileCursor.open(request, next);
    if (cursor !== undefined) insert(cursors, cursor);
  }
}

interface MergeLimit {
  readonly begin: bigint;
  /** Rows at `begin` go before the limit while they do not come after this row; undefined: none do. */
  readonly head: SpanHead | undefined;
}

/** A row of a batch. */
interface SpanHead {
  readonly batch: SpanBatch;
  readonly row: number;
}

function nearerLimit(
  cursor: FileCursor | undefined,
  file: SpanFile | undefined,
): MergeLimit | undefined {
  if (file !== undefined && (cursor === undefined || file.minBeginNs <= cursor.begin)) {
    return { begin: file.minBeginNs, head: undefined };
  }
  return cursor === undefined ? undefined : { begin: cursor.begin, head: cursor.head };
}

/** Keeps the cursors in order of their next row; few are open at once. */
function insert(cursors: FileCursor[], cursor: FileCursor): void {
  let low = 0;
  let high = cursors.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = ensureExists(cursors[middle], 'cursor');
    const order = compareHeads(other.head, cursor.head);
    if (order <= 0) low = middle + 1;
    else high = middle;
  }
  cursors.splice(low, 0, cursor);
}

function compareHeads(a: SpanHead, b: SpanHead): number {
  return compareSpans(a.batch, a.row, b.batch, b.row);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A place in one file. */
class FileCursor implements AsyncDisposable {
  readonly #file: LocalFile;
  readonly #batches: AsyncGenerator<SpanBatch, void, void>;
  #batch: SpanBatch;
  #row = 0;

  private constructor(
    file: LocalFile,
    batches: AsyncGenerator<SpanBatch, void, void>,
    batch: SpanBatch,
  ) {
    this.#file = file;
    this.#batches = batches;
    this.#batch = batch;
  }

  /** Undefined when the file has no row in the range. */
  static async open(request: SpanReadRequest, file: SpanFile): Promise<FileCursor | undefined> {
    await using stack = new AsyncDisposableStack();
    const local = stack.use(await file.open());
    const batches = readSpanFile(request.reader, local.path, request.range, request);
    stack.defer(async () => {
      await batches.return();
    });
    const first = await batches.next();
    if (first.done === true) return undefined;
    stack.move();
    return new FileCursor(local, batches, first.value);
  }

  get begin(): bigint {
    return ensureExists(this.#batch.begin[this.#row], 'begin of the next row');
  }

  /** The next row. */
  get head(): SpanHead {
    return { batch: this.#batch, row: this.#row };
  }

  /** The rows of this batch that come before the limit; at least one when the cursor leads the merge. */
  takeUpTo(limit: MergeLimit | undefined): SpanSlice {
    const from = this.#row;
    const to = limit === undefined ? this.#batch.rowCount : this.#firstNotBefore(limit);
    this.#row = to;
    return { batch: this.#batch, from, to };
  }

  /** Moves on to the next batch when this one is used up; false at the end of the file. */
  async refill(): Promise<boolean> {
    if (this.#row < this.#batch.rowCount) return true;
    const next = await this.#batches.next();
    if (next.done === true) return false;
    this.#batch = next.value;
    this.#row = 0;
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#batches.return();
    await this.#file[Symbol.asyncDispose]();
  }

  #firstNotBefore(limit: MergeLimit): number {
    const batch = this.#batch;
    const { head } = limit;
    let low = this.#row;
    let high = this.#batch.rowCount;
    while (low < high) {
      const middle = (low + high) >> 1;
      const order =
        head === undefined
          ? compare(batch.begin[middle] ?? 0n, limit.begin) || 1
          : compareSpans(batch, middle, head.batch, head.row);
      // A row equal to the limit goes first: the cursor that leads the merge keeps leading.
      if (order <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
