/**
 * What views of one row an event share: they gather the columns of a run's blocks, put them one after the other
 * with texts renumbered, and sort. Nothing carries over from one block to the next.
 */

import { type Nanoseconds, nanoseconds, TextDictionary } from '@tracelake/domain';
import type { Utf8Rows } from '@tracelake/transit';
import { columnMemory } from './column-memory.ts';
import type { SourceBlock } from './partition.ts';
import type { Column, RowColumns } from './row-columns.ts';
import { canonicalDictionaries, reorderRows, type SortKey, sortedOrder } from './row-order.ts';
import { Utf8Texts } from './utf8-texts.ts';
import type { RunBuilder, RunResult } from './view.ts';

/** The events of a block, each a row. Code columns hold positions in `texts`. */
export interface BlockRows {
  readonly rowCount: number;
  readonly eventIds: BigInt64Array;
  readonly times: BigInt64Array;
  readonly skippedEvents: number;
}

export interface GatheredBlock<Rows extends BlockRows> {
  readonly block: SourceBlock;
  readonly rows: Rows;
  /** Of its first row in the run. */
  readonly firstRow: number;
}

/** Makes the columns of a view from the blocks of a run; rows stand in the order of blocks. */
export type ColumnAssembler<Rows extends BlockRows> = (gathered: GatheredRows<Rows>) => Column[];

/** All blocks of a run. */
export class GatheredRows<Rows extends BlockRows> {
  readonly blocks: GatheredBlock<Rows>[] = [];
  rowCount = 0;
  skippedEvents = 0;
  #zeros: Uint32Array | undefined;
  #codesOfBlocks: Uint32Array | undefined;

  add(block: SourceBlock, rows: Rows): void {
    this.blocks.push({ block, rows, firstRow: this.rowCount });
    this.rowCount += rows.rowCount;
    this.skippedEvents += rows.skippedEvents;
  }

  /** A column that each block has as it is. */
  bigints(pick: (rows: Rows) => BigInt64Array): BigInt64Array {
    const values = columnMemory.bigInt64(this.rowCount);
    for (const { rows, firstRow } of this.blocks) values.set(pick(rows), firstRow);
    return values;
  }

  integers(pick: (rows: Rows) => Int32Array): Int32Array {
    const values = columnMemory.int32(this.rowCount);
    for (const { rows, firstRow } of this.blocks) values.set(pick(rows), firstRow);
    return values;
  }

  unsigned(pick: (rows: Rows) => Uint32Array): Uint32Array {
    const values = columnMemory.uint32(this.rowCount);
    for (const { rows, firstRow } of this.blocks) values.set(pick(rows), firstRow);
    return values;
  }

  doubles(pick: (rows: Rows) => Float64Array): Float64Array {
    const values = columnMemory.float64(this.rowCount);
    for (const { rows, firstRow } of this.blocks) values.set(pick(rows), firstRow);
    return values;
  }

  /** A text column from codes into texts of each block. */
  texts(
    pick: (rows: Rows) => {
      readonly codes: Uint32Array | Uint8Array;
      readonly texts: readonly string[];
    },
  ): Column {
    const dictionary = new TextDictionary();
    const codes = columnMemory.uint32(this.rowCount);
    for (const { rows, firstRow } of this.blocks) {
      const picked = pick(rows);
      const renumbered = dictionary.codesOf(picked.texts);
      for (let row = 0; row < rows.rowCount; row++)
        codes[firstRow + row] = renumbered[picked.codes[row] ?? 0] ?? 0;
    }
    return { type: 'string', codes, dictionary: dictionary.texts };
  }

  /** A text column of a text for each row, as the blocks have it. */
  utf8Texts(pick: (rows: Rows) => Utf8Rows): Column {
    const dictionary = new Utf8Texts();
    const codes = columnMemory.uint32(this.rowCount);
    for (let row = 0; row < codes.length; row++) codes[row] = row;
    for (const { rows } of this.blocks) dictionary.add(pick(rows));
    return { type: 'string', codes, dictionary };
  }

  /** A text that all rows of a block have. */
  blockTexts(pick: (block: SourceBlock) => string): Column {
    const dictionary = this.blocks.map(({ block }) => pick(block));
    return { type: 'string', codes: this.#blockCodes(), dictionary };
  }

  /** A text that all rows have. */
  constantText(text: string): Column {
    this.#zeros ??= columnMemory.uint32(this.rowCount).fill(0);
    return { type: 'string', codes: this.#zeros, dictionary: [text] };
  }

  /** Each row's place in a list of all blocks' entries, one block's after the other. */
  joinedCodes(
    pick: (rows: Rows) => { readonly codes: Uint32Array; readonly entryCount: number },
  ): Uint32Array {
    const joined = columnMemory.uint32(this.rowCount);
    let firstEntry = 0;
    for (const { rows, firstRow } of this.blocks) {
      const { codes, entryCount } = pick(rows);
      for (let row = 0; row < rows.rowCount; row++)
        joined[firstRow + row] = firstEntry + (codes[row] ?? 0);
      firstEntry += entryCount;
    }
    return joined;
  }

  /** When each row's block came. */
  insertTimes(): Column {
    const values = columnMemory.bigInt64(this.rowCount);
    for (const { block, rows, firstRow } of this.blocks)
      values.fill(block.insertTimeUs * 1000n, firstRow, firstRow + rows.rowCount);
    return { type: 'timestamp', values };
  }

  /** The block of each row; columns share it, and so what is made of it. */
  #blockCodes(): Uint32Array {
    if (this.#codesOfBlocks !== undefined) return this.#codesOfBlocks;
    const codes = columnMemory.uint32(this.rowCount);
    for (const [index, { rows, firstRow }] of this.blocks.entries())
      codes.fill(index, firstRow, firstRow + rows.rowCount);
    this.#codesOfBlocks = codes;
    return codes;
  }

  /** The stream of each row, as its place among the streams of the run in order of their ids. */
  streamRanks(): Uint32Array {
    const ids = [...new Set(this.blocks.map(({ block }) => block.streamId))].sort();
    const rankOf = new Map(ids.map((id, rank) => [id, rank]));
    const ranks = columnMemory.uint32(this.rowCount);
    for (const { block, rows, firstRow } of this.blocks)
      ranks.fill(rankOf.get(block.streamId) ?? 0, firstRow, firstRow + rows.rowCount);
    return ranks;
  }
}

/** Builds a run of a view of one row an event, sorted by `(time, stream_id, event id)`. */
export class BlockRowsRunBuilder<Rows extends BlockRows> implements RunBuilder<Rows> {
  readonly keepsParsed = true;
  readonly #gathered = new GatheredRows<Rows>();
  readonly #assemble: ColumnAssembler<Rows>;

  constructor(assemble: ColumnAssembler<Rows>) {
    this.#assemble = assemble;
  }

  add(block: SourceBlock, rows: Rows): void {
    this.#gathered.add(block, rows);
  }

  finish(): RunResult {
    const gathered = this.#gathered;
    const { rowCount, skippedEvents } = gathered;
    const times = gathered.bigints((rows) => rows.times);
    const eventIds = gathered.bigints((rows) => rows.eventIds);
    const keys: SortKey[] = [times, gathered.streamRanks(), eventIds];
    const order = sortedOrder(keys, rowCount);
    const unsorted: RowColumns = { rowCount, columns: this.#assemble(gathered) };
    return {
      rows: canonicalDictionaries(reorderRows(unsorted, order)),
      ...eventRange(times, order),
      carryOut: undefined,
      tail: undefined,
      notes: { mismatchedEnds: 0, orphanEnds: 0, droppedSpans: 0, skippedEvents },
    };
  }
}

function eventRange(
  times: BigInt64Array,
  order: Uint32Array | undefined,
): { minEventNs: Nanoseconds | undefined; maxEventNs: Nanoseconds | undefined } {
  const first = times[order?.[0] ?? 0];
  const last = times[order?.[times.length - 1] ?? times.length - 1];
  return {
    minEventNs: first === undefined ? undefined : nanoseconds(first),
    maxEventNs: last === undefined ? undefined : nanoseconds(last),
  };
}
