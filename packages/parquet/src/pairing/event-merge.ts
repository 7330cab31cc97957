/**
 * The events of a process in order of time, from files of which each is in that order. A file is opened when the merge
 * reaches its first event. In what order events of one time come is left open.
 */

import { ensureExists, keepCompiled } from '@tracelake/domain';
import { type EventRows, type EventSource, emptyEventRows, type Refusal } from './event-source.ts';

/** At most so many rows are taken at once, so that what is done with them stays in the processor's caches. */
const SLICE_ROWS_MAX = 4096;

/** A file of events, on the local disk. */
export interface EventFile {
  readonly path: string;
  /** No event of the file is earlier. */
  readonly minTimeNs: bigint;
}

/** Rows `from` up to but not including `to`. */
export class EventSlice implements EventRows {
  readonly rowCount: number;
  readonly times: BigInt64Array;
  readonly time: Int32Array;
  readonly isEnd: Uint8Array;
  readonly id: Int32Array;
  readonly parent: Int32Array;
  readonly depth: Uint32Array;
  readonly scope: Uint32Array;
  readonly retained: unknown;
  from = 0;
  to = 0;

  constructor(rows: EventRows) {
    this.rowCount = rows.rowCount;
    this.times = rows.times;
    this.time = rows.time;
    this.isEnd = rows.isEnd;
    this.id = rows.id;
    this.parent = rows.parent;
    this.depth = rows.depth;
    this.scope = rows.scope;
    this.retained = rows.retained;
  }
}

export class EventMerge implements AsyncDisposable {
  readonly #openSource: (file: EventFile) => Promise<EventSource>;
  /** The earliest last. */
  readonly #waiting: EventFile[];
  readonly #open: EventCursor[] = [];
  /** Of the next row of each in `#open`, side by side: each slice looks at all of them. */
  #times = new BigInt64Array(8);
  #sortedFileCount = 0;
  #isRefused = false;
  /** True where rows of an open file are used up. */
  #isEmpty = false;

  constructor(files: readonly EventFile[], openSource: (file: EventFile) => Promise<EventSource>) {
    this.#openSource = openSource;
    this.#waiting = files.toSorted((a, b) => compare(b.minTimeNs, a.minTimeNs));
  }

  get openFileCount(): number {
    return this.#open.length;
  }

  /** True once a source has rows that it cannot give; nothing more can be taken. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /** Files opened so far that were not in order of time. */
  get sortedFileCount(): number {
    return this.#sortedFileCount;
  }

  /**
   * Brings in what the next slice is taken from, unless it `isRefused`; false at the end of all files. To be awaited
   * where a slice has been taken and `isReady` is false.
   */
  async refill(): Promise<boolean> {
    for (const cursor of this.#open.filter((one) => one.isEmpty)) {
      if (!(await this.#refillOrClose(cursor))) return true;
    }
    this.#isEmpty = false;
    for (;;) {
      this.#noteTimes();
      const next = this.#waiting.at(-1);
      if (next === undefined || !this.#reaches(next)) return this.#open.length > 0;
      this.#waiting.pop();
      const source = await this.#openSource(next);
      if (source.isSorted) this.#sortedFileCount += 1;
      const cursor = new EventCursor(source);
      this.#open.push(cursor);
      if (!(await this.#refillOrClose(cursor))) return true;
    }
  }

  /** True while a slice can be taken without waiting. */
  get isReady(): boolean {
    if (this.#isRefused || this.#isEmpty) return false;
    const next = this.#waiting.at(-1);
    return next === undefined ? this.#open.length > 0 : !this.#reaches(next);
  }

  /** The next rows; at least one. Valid until the next call of this class. */
  take(): EventSlice {
    const lead = this.#lead();
    const cursor = ensureExists(this.#open[lead], 'cursor');
    const times = this.#times;
    let limit = this.#waiting.at(-1)?.minTimeNs;
    for (let other = 0; other < this.#open.length; other += 1) {
      const time = times[other] ?? 0n;
      if (other !== lead && (limit === undefined || time < limit)) limit = time;
    }
    const slice = cursor.takeUpTo(limit);
    this.#isEmpty = cursor.isEmpty;
    if (!this.#isEmpty) times[lead] = cursor.time;
    return slice;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cursor of this.#open) await cursor.close();
  }

  /** False when the rows are there and are refused. */
  async #refillOrClose(cursor: EventCursor): Promise<boolean> {
    const outcome = await cursor.refill();
    if (outcome === 'rows') return true;
    if (outcome === 'end') {
      this.#open.splice(this.#open.indexOf(cursor), 1);
      await cursor.close();
      return true;
    }
    if (outcome === 'unordered') this.#sortedFileCount += 1;
    this.#isRefused = true;
    return false;
  }

  #noteTimes(): void {
    const open = this.#open;
    if (this.#times.length < open.length) this.#times = new BigInt64Array(open.length * 2);
    for (const [place, cursor] of open.entries()) this.#times[place] = cursor.time;
  }

  /** The place of the one whose next row is the earliest; -1 when none is open. */
  #lead(): number {
    const times = this.#times;
    let lead = -1;
    let earliest = 0n;
    for (let place = 0; place < this.#open.length; place += 1) {
      const time = times[place] ?? 0n;
      if (lead >= 0 && time >= earliest) continue;
      lead = place;
      earliest = time;
    }
    return lead;
  }

  #reaches(file: EventFile): boolean {
    const lead = this.#lead();
    return lead < 0 || file.minTimeNs <= (this.#times[lead] ?? 0n);
  }
}

class EventCursor {
  readonly #source: EventSource;
  #slice: EventSlice | undefined;
  #row = 0;

  constructor(source: EventSource) {
    this.#source = source;
  }

  get isEmpty(): boolean {
    return this.#row >= (this.#slice?.rowCount ?? 0);
  }

  /** Of the next row. */
  get time(): bigint {
    return ensureExists(this.#slice?.times[this.#row], 'time of the next row');
  }

  async refill(): Promise<'rows' | 'end' | Refusal> {
    const rows = await this.#source.read();
    if (rows === undefined) return 'end';
    if (typeof rows === 'string') return rows;
    this.#row = 0;
    this.#slice = new EventSlice(rows);
    return 'rows';
  }

  takeUpTo(limit: bigint | undefined): EventSlice {
    const slice = ensureExists(this.#slice, 'rows');
    const end = Math.min(this.#row + SLICE_ROWS_MAX, slice.rowCount);
    slice.from = this.#row;
    slice.to = limit === undefined ? end : this.#firstAfter(slice.times, end, limit);
    this.#row = slice.to;
    return slice;
  }

  async close(): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }

  /** At least one row is taken, or nothing would ever advance. */
  #firstAfter(times: BigInt64Array, end: number, limit: bigint): number {
    if ((times[end - 1] ?? 0n) <= limit) return end;
    let low = this.#row + 1;
    let high = end;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((times[middle] ?? 0n) <= limit) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

keepCompiled(new EventSlice(emptyEventRows(0)));
keepCompiled(new EventMerge([], () => Promise.reject(new Error('no files'))));

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
