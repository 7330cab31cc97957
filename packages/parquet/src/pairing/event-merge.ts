/**
 * The events of a process in order of time. Files are in that order, as they are built, but nothing in a file says
 * so and others may have written it: one that is not is sorted by DuckDB, out of core, before its first row. A file
 * is opened when the merge reaches its first event. In what order events of one time come is left open.
 */

import { ensureExists } from '@tracelake/domain';
import {
  type ColumnChunk,
  type ParquetReader,
  type QueryOptions,
  sqlString,
} from '../parquet-reading.ts';

/** A file of events, on the local disk. */
export interface EventFile {
  readonly path: string;
  /** No event of the file is earlier. */
  readonly minTimeNs: bigint;
}

/** Rows `from` up to but not including `to` of a chunk; 64-bit columns as halves, low at `2 * row`. */
export interface EventSlice {
  readonly time: Int32Array;
  /** 1 of an end event, 0 of a begin event. */
  readonly isEnd: Uint8Array;
  readonly id: Int32Array;
  readonly parent: Int32Array;
  readonly depth: Uint32Array;
  readonly hash: Uint32Array;
  from: number;
  to: number;
}

export class EventMerge implements AsyncDisposable {
  readonly #reader: ParquetReader;
  readonly #options: QueryOptions;
  /** The earliest last. */
  readonly #waiting: EventFile[];
  readonly #open: EventCursor[] = [];
  #sortedFileCount = 0;

  constructor(reader: ParquetReader, files: readonly EventFile[], options: QueryOptions) {
    this.#reader = reader;
    this.#options = options;
    this.#waiting = files.toSorted((a, b) => compare(b.minTimeNs, a.minTimeNs));
  }

  get openFileCount(): number {
    return this.#open.length;
  }

  /** Files opened so far that were not in order of time. */
  get sortedFileCount(): number {
    return this.#sortedFileCount;
  }

  /**
   * Brings in what the next slice is taken from; false at the end of all files. To be awaited where a slice
   * has been taken and `isReady` is false.
   */
  async refill(): Promise<boolean> {
    for (const cursor of this.#open.filter((one) => one.isEmpty)) {
      if (await cursor.refill()) continue;
      this.#open.splice(this.#open.indexOf(cursor), 1);
      await cursor.close();
    }
    for (;;) {
      const next = this.#waiting.at(-1);
      if (next === undefined || !this.#reaches(next)) return this.#open.length > 0;
      this.#waiting.pop();
      const isOrdered = await isInOrderOfTime(this.#reader, next, this.#options);
      if (!isOrdered) this.#sortedFileCount += 1;
      const cursor = new EventCursor(this.#reader, eventsSql(next, isOrdered), this.#options);
      this.#open.push(cursor);
      if (await cursor.refill()) continue;
      this.#open.pop();
      await cursor.close();
    }
  }

  /** True while a slice can be taken without waiting. */
  get isReady(): boolean {
    if (this.#open.some((cursor) => cursor.isEmpty)) return false;
    const next = this.#waiting.at(-1);
    return next === undefined ? this.#open.length > 0 : !this.#reaches(next);
  }

  /** The next rows; at least one. Valid until the next call of this class. */
  take(): EventSlice {
    const lead = ensureExists(this.#lead(), 'cursor');
    let limit = this.#waiting.at(-1)?.minTimeNs;
    for (const other of this.#open) {
      if (other !== lead && (limit === undefined || other.time < limit)) limit = other.time;
    }
    return lead.takeUpTo(limit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cursor of this.#open) await cursor.close();
  }

  #lead(): EventCursor | undefined {
    let lead: EventCursor | undefined;
    for (const cursor of this.#open) {
      if (lead === undefined || cursor.time < lead.time) lead = cursor;
    }
    return lead;
  }

  #reaches(file: EventFile): boolean {
    const lead = this.#lead();
    return lead === undefined || file.minTimeNs <= lead.time;
  }
}

class EventCursor {
  readonly #chunks: AsyncGenerator<ColumnChunk, void, void>;
  /** Keeps the arrays of the slice alive. */
  #chunk: ColumnChunk | undefined;
  #times: BigInt64Array = new BigInt64Array(0);
  #slice: EventSlice | undefined;
  #row = 0;

  constructor(reader: ParquetReader, sql: string, options: QueryOptions) {
    this.#chunks = reader.chunks(sql, options);
  }

  get isEmpty(): boolean {
    return this.#row >= (this.#chunk?.rowCount ?? 0);
  }

  /** Of the next row. */
  get time(): bigint {
    return ensureExists(this.#times[this.#row], 'time of the next row');
  }

  async refill(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done === true) return false;
    const chunk = next.value;
    this.#chunk = chunk;
    this.#row = 0;
    this.#times = chunk.int64(0);
    this.#slice = {
      time: halvesOf(this.#times),
      isEnd: chunk.bool(1),
      id: halvesOf(chunk.int64(2)),
      parent: halvesOf(chunk.int64(3)),
      depth: chunk.uint32(4),
      hash: chunk.uint32(5),
      from: 0,
      to: 0,
    };
    return true;
  }

  takeUpTo(limit: bigint | undefined): EventSlice {
    const slice = ensureExists(this.#slice, 'chunk');
    slice.from = this.#row;
    slice.to = limit === undefined ? this.#times.length : this.#firstAfter(limit);
    this.#row = slice.to;
    return slice;
  }

  async close(): Promise<void> {
    await this.#chunks.return();
  }

  /** At least one row is taken, or nothing would ever advance. */
  #firstAfter(limit: bigint): number {
    const times = this.#times;
    if ((times[times.length - 1] ?? 0n) <= limit) return times.length;
    let low = this.#row + 1;
    let high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((times[middle] ?? 0n) <= limit) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Costs a tenth of reading the file's events: of its columns only the time is looked at, and no row leaves DuckDB. */
async function isInOrderOfTime(
  reader: ParquetReader,
  { path }: EventFile,
  options: QueryOptions,
): Promise<boolean> {
  const rows = await reader.rows(
    `SELECT 1 FROM (SELECT time < lag(time) OVER () AS is_earlier
      FROM read_parquet(${sqlString(path)})) WHERE is_earlier LIMIT 1`,
    options,
  );
  return rows.length === 0;
}

function eventsSql({ path }: EventFile, isOrdered: boolean): string {
  return `SELECT time, event_type = 'end', span_id, parent_span_id, depth, hash
    FROM read_parquet(${sqlString(path)})${isOrdered ? '' : ' ORDER BY time'}`;
}

function halvesOf(column: BigInt64Array): Int32Array {
  return new Int32Array(column.buffer, column.byteOffset, column.length * 2);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
