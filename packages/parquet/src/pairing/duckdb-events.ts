/** Events of any Parquet file through DuckDB. One that is not in order of time is sorted, out of core, before its first row. */

import {
  type ColumnChunk,
  type ParquetReader,
  type QueryOptions,
  sqlString,
} from '../parquet-reading.ts';
import type { ScopeDictionary } from '../scope-dictionary.ts';
import type { EventRows, EventSource } from './event-source.ts';

export class DuckDbEvents implements EventSource {
  readonly isSorted: boolean;
  readonly #dictionary: ScopeDictionary;
  readonly #chunks: AsyncGenerator<ColumnChunk, void, void>;

  private constructor(
    isSorted: boolean,
    dictionary: ScopeDictionary,
    chunks: AsyncGenerator<ColumnChunk, void, void>,
  ) {
    this.isSorted = isSorted;
    this.#dictionary = dictionary;
    this.#chunks = chunks;
  }

  static async open(
    reader: ParquetReader,
    path: string,
    dictionary: ScopeDictionary,
    options: QueryOptions,
  ): Promise<DuckDbEvents> {
    const isSorted = !(await isInOrderOfTime(reader, path, options));
    const chunks = reader.chunks(eventsSql(path, dictionary, isSorted), options);
    return new DuckDbEvents(isSorted, dictionary, chunks);
  }

  async read(): Promise<EventRows | undefined> {
    const next = await this.#chunks.next();
    if (next.done === true) return undefined;
    const chunk = next.value;
    const times = chunk.int64(0);
    return {
      rowCount: chunk.rowCount,
      times,
      time: halvesOf(times),
      isEnd: chunk.bool(1),
      id: halvesOf(chunk.int64(2)),
      parent: halvesOf(chunk.int64(3)),
      depth: chunk.uint32(4),
      scope: this.#dictionary.codesOf(chunk, 5),
      retained: chunk,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return();
  }
}

/** Costs a tenth of reading the file's events: of its columns only the time is looked at, and no row leaves DuckDB. */
async function isInOrderOfTime(
  reader: ParquetReader,
  path: string,
  options: QueryOptions,
): Promise<boolean> {
  const rows = await reader.rows(
    `SELECT 1 FROM (SELECT time < lag(time) OVER () AS is_earlier
      FROM read_parquet(${sqlString(path)})) WHERE is_earlier LIMIT 1`,
    options,
  );
  return rows.length === 0;
}

function eventsSql(path: string, { keyColumn }: ScopeDictionary, isSorted: boolean): string {
  return `SELECT time, event_type = 'end', span_id, parent_span_id, depth, ${keyColumn}
    FROM read_parquet(${sqlString(path)})${isSorted ? ' ORDER BY time' : ''}`;
}

function halvesOf(column: BigInt64Array): Int32Array {
  return new Int32Array(column.buffer, column.byteOffset, column.length * 2);
}
