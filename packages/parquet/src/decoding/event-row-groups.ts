/**
 * Async events of a file of our own encoder, row group by row group into arrays that are used again: a third of what
 * DuckDB costs, and no chunk that has to be collected. Each length is checked; a row group comes whole or not at all.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { errorMessage, keepCompiled } from '@tracelake/domain';
import { ENCODING_RLE_DICTIONARY } from '../encoding/parquet-format.ts';
import { countRowsRead } from '../native-memory.ts';
import {
  type EventRows,
  type EventSource,
  emptyEventRows,
  type Refusal,
} from '../pairing/event-source.ts';
import { ParquetError } from '../parquet-error.ts';
import { DamagedBytes } from './byte-source.ts';
import { DeltaUnpacker } from './delta-unpacking.ts';
import { type ColumnKind, haveSamePlaces, NUMBERS, TEXTS } from './dictionary-columns.ts';
import type { EventColumn, EventFileLayout, RowGroupPlace } from './event-file-layout.ts';
import { ScopeTable, valuesByHash } from './event-scopes.ts';
import { type ColumnPages, readColumnPages, useRawPage } from './page-reading.ts';

export class EventRowGroups implements EventSource {
  readonly isSorted = false;
  readonly #path: string;
  readonly #layout: EventFileLayout;
  readonly #scopes: ScopeTable;
  readonly #deltas = new DeltaUnpacker();
  #file: FileHandle | undefined;
  #nextGroup = 0;
  /** What is being decoded, for messages. */
  #column: EventColumn = 'time';
  #stored = Buffer.alloc(0);
  #arrays = emptyEventRows(0);
  /** Of the dictionary column at hand. */
  #places = new Uint32Array(0);

  constructor(path: string, layout: EventFileLayout, scopes: ScopeTable) {
    this.#path = path;
    this.#layout = layout;
    this.#scopes = scopes;
  }

  /**
   * The next row group, valid until the one after it; undefined behind the last. Errors: `parquet.read-failed`, also
   * for a file that is damaged.
   */
  async read(): Promise<EventRows | Refusal | undefined> {
    const group = this.#layout.rowGroups[this.#nextGroup];
    if (group === undefined) return undefined;
    this.#nextGroup += 1;
    countRowsRead(group.rowCount);
    try {
      await this.#fetch(group);
      return this.#decode(group);
    } catch (cause) {
      const isDamaged = cause instanceof DamagedBytes;
      const where = `row group ${this.#nextGroup - 1}${isDamaged ? `, column ${this.#column}` : ''}`;
      throw new ParquetError(
        'parquet.read-failed',
        `cannot read async events: ${where} ${errorMessage(cause)}`,
        { cause, retryable: !isDamaged, details: { path: this.#path } },
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async #fetch({ offset, storedBytes }: RowGroupPlace): Promise<void> {
    this.#file ??= await open(this.#path);
    if (this.#stored.length < storedBytes) this.#stored = Buffer.allocUnsafeSlow(storedBytes);
    const { bytesRead } = await this.#file.read(this.#stored, 0, storedBytes, offset);
    if (bytesRead !== storedBytes) throw new DamagedBytes('ends with its file');
  }

  #decode(group: RowGroupPlace): EventRows | Refusal {
    const { rowCount } = group;
    this.#makeRoom(rowCount);
    const arrays = this.#arrays;
    const places = this.#places;
    const { isEnd, depth, scope } = arrays;
    this.#decodeDeltas(group, 'parent_span_id', arrays.parent);
    this.#decodeDeltas(group, 'span_id', arrays.id);
    const types = TEXTS.rows(this.#pages(group, 'event_type'), places, rowCount);
    markRows(isEnd, places, rowCount, types.indexOf('end'));
    mapRows(depth, rowCount, NUMBERS.rows(this.#pages(group, 'depth'), depth, rowCount));
    const codes = this.#scopeCodes(group);
    if (codes === undefined) return 'scopes-share-hash';
    mapRows(scope, rowCount, codes);
    this.#decodeDeltas(group, 'time', arrays.time);
    if (!isInOrder(arrays.time, rowCount)) return this.#refuseUnordered(group);
    checkTimes(group, arrays.times[0], arrays.times[rowCount - 1]);
    return { ...arrays, rowCount };
  }

  #makeRoom(rowCount: number): void {
    if (this.#places.length >= rowCount) return;
    this.#arrays = emptyEventRows(rowCount);
    this.#places = new Uint32Array(rowCount);
  }

  #decodeDeltas(group: RowGroupPlace, column: EventColumn, halves: Int32Array): void {
    const { data } = this.#pages(group, column);
    useRawPage(data, (raw) => this.#deltas.decode(raw, halves, group.rowCount));
  }

  /** Of each hash by its place, which rows have in `scope` then; undefined where two scopes share a hash. */
  #scopeCodes(group: RowGroupPlace): number[] | undefined {
    const hashes = this.#pages(group, 'hash');
    const hashValues = NUMBERS.rows(hashes, this.#arrays.scope, group.rowCount);
    const valuesOf = <T>(column: EventColumn, kind: ColumnKind<T>) =>
      this.#valuesOfHashes(group, column, kind, { pages: hashes, count: hashValues.length });
    const names = valuesOf('name', TEXTS);
    const targets = valuesOf('target', TEXTS);
    const filenames = valuesOf('filename', TEXTS);
    const lines = valuesOf('line', NUMBERS);
    if (!names || !targets || !filenames || !lines) return undefined;
    const codes: number[] = [];
    for (const [place, hash] of hashValues.entries()) {
      const code = this.#scopes.codeOf(hash, {
        name: names[place] ?? '',
        target: targets[place] ?? '',
        filename: filenames[place] ?? '',
        line: lines[place] ?? 0,
      });
      if (code === undefined) return undefined;
      codes.push(code);
    }
    return codes;
  }

  /** The value of a column for each hash by its place; undefined where rows of one hash have two. */
  #valuesOfHashes<T>(
    group: RowGroupPlace,
    column: EventColumn,
    kind: ColumnKind<T>,
    hashes: { readonly pages: ColumnPages; readonly count: number },
  ): T[] | undefined {
    const pages = this.#pages(group, column);
    if (haveSamePlaces(pages, hashes.pages)) return kind.dictionary(pages);
    const { scope } = this.#arrays;
    const places = this.#places;
    const values = kind.rows(pages, places, group.rowCount);
    const ofHash = valuesByHash(scope, places, group.rowCount, hashes.count);
    return ofHash === undefined ? undefined : Array.from(ofHash, (place) => values[place] as T);
  }

  #pages(group: RowGroupPlace, column: EventColumn): ColumnPages {
    this.#column = column;
    const { encoding, offset, storedBytes, rawBytes } = group.columns[column];
    const start = offset - group.offset;
    return readColumnPages(this.#stored.subarray(start, start + storedBytes), {
      rowCount: group.rowCount,
      encoding,
      hasDictionary: encoding === ENCODING_RLE_DICTIONARY,
      rawBytes,
    });
  }

  #refuseUnordered(group: RowGroupPlace): Refusal {
    const times = this.#arrays.times.slice(0, group.rowCount).sort();
    checkTimes(group, times[0], times.at(-1));
    return 'unordered';
  }
}

keepCompiled(new EventRowGroups('', { rowGroups: [] }, new ScopeTable()));

/** What has been read of other row groups counts on these two. */
function checkTimes(group: RowGroupPlace, least?: bigint, greatest?: bigint): void {
  if (least === group.leastNs && greatest === group.greatestNs) return;
  throw new DamagedBytes('has other times than its file says');
}

function isInOrder(time: Int32Array, rowCount: number): boolean {
  let lastLow = (time[0] ?? 0) >>> 0;
  let lastHigh = time[1] ?? 0;
  for (let row = 1; row < rowCount; row++) {
    const low = (time[2 * row] ?? 0) >>> 0;
    const high = time[2 * row + 1] ?? 0;
    if (high < lastHigh || (high === lastHigh && low < lastLow)) return false;
    lastLow = low;
    lastHigh = high;
  }
  return true;
}

/** Marks the rows that have this place, of which there may be none. */
function markRows(marks: Uint8Array, places: Uint32Array, rowCount: number, place: number): void {
  for (let row = 0; row < rowCount; row++) marks[row] = places[row] === place ? 1 : 0;
}

/** Puts in place of each number what stands for it. */
function mapRows(rows: Uint32Array, rowCount: number, values: readonly number[]): void {
  const mapped = Uint32Array.from(values);
  for (let row = 0; row < rowCount; row++) rows[row] = mapped[rows[row] ?? 0] ?? 0;
}
