/** The spans of one thread, on its own track where they nest and beside it where they do not. */

import { formatRfc3339, nanoseconds } from '@tracelake/domain';
import type { SpanBatch } from '@tracelake/parquet';
import {
  type InternedScope,
  ThreadLanes,
  type TraceWriter,
  type Track,
  type TrackUuids,
} from '@tracelake/perfetto';
import { ExportError } from './export-error.ts';
import { LaneTracks } from './lane-tracks.ts';
import { type OrderedRow, OrphanOrder } from './orphan-order.ts';
import type { ScopeCache } from './scope-cache.ts';
import { emptySpan, readSpan, type SpanWords, spanWordsOf } from './span-words.ts';

/** Extra tracks of a thread, shown under it. */
const EXTRA_TRACK_NAME = 'Overlapping spans';
const OVERFLOW_TRACK_NAME = 'Spans beyond the limit';

export interface ThreadTracksOptions {
  readonly writer: TraceWriter;
  readonly uuids: TrackUuids;
  readonly scopes: ScopeCache;
  readonly thread: Track;
  readonly streamId: string;
  readonly openSpansMax: number;
}

/** A row held back while its chain begins. */
interface HeldRow extends OrderedRow {
  readonly batch: SpanBatch;
  readonly row: number;
}

export class ThreadTracks {
  readonly #options: ThreadTracksOptions;
  readonly #lanes: ThreadLanes;
  readonly #tracks: LaneTracks;
  readonly #order = new OrphanOrder<HeldRow>((held) => this.#writeHeld(held));
  readonly #span = emptySpan();
  #words: SpanWords | undefined;
  #lastHigh = -0x8000_0000;
  #lastLow = 0;
  #spanCount = 0;
  #instantCount = 0;

  constructor(options: ThreadTracksOptions) {
    this.#options = options;
    const { writer, uuids, thread, streamId } = options;
    this.#tracks = new LaneTracks({
      writer,
      uuids,
      parent: thread,
      key: `${streamId}/overlapping`,
      name: EXTRA_TRACK_NAME,
      overflowKey: `${streamId}/overflow`,
      overflowName: OVERFLOW_TRACK_NAME,
      given: [thread],
    });
    this.#lanes = new ThreadLanes(
      (lane, high, low) => writer.endSlice(this.#tracks.of(lane), high, low),
      options.openSpansMax,
    );
  }

  get spanCount(): number {
    return this.#spanCount;
  }

  get instantCount(): number {
    return this.#instantCount;
  }

  openBatch(batch: SpanBatch): void {
    if (this.#words?.batch === batch) return;
    this.#words = spanWordsOf(batch, this.#options.scopes);
  }

  /**
   * Writes rows of the open batch until so many bytes are pending; returns the first that is left.
   * Errors: `trace-export.spans-out-of-order`.
   */
  writeRows(from: number, to: number, pendingBytesMax: number): number {
    const words = this.#words;
    if (words === undefined) return to;
    const { writer } = this.#options;
    let row = from;
    while (row < to && writer.pendingBytes < pendingBytesMax) this.#take(words, row++);
    return row;
  }

  /** Closes what is open. */
  finish(): void {
    this.#order.flush();
    this.#lanes.closeAll();
  }

  #take(words: SpanWords, row: number): void {
    const { batch } = words;
    if ((batch.depth[row] ?? 0) === 0) {
      this.#order.openChain(batch.begin[row] ?? 0n, batch.end[row] ?? 0n);
    } else if (this.#order.isCollecting) {
      this.#order.push(heldRow(batch, row));
    } else {
      this.#write(words, row);
    }
  }

  #writeHeld({ batch, row }: HeldRow): void {
    const words =
      this.#words?.batch === batch ? this.#words : spanWordsOf(batch, this.#options.scopes);
    this.#write(words, row);
  }

  #write(words: SpanWords, row: number): void {
    const { batch, scopes } = words;
    const span = this.#span;
    readSpan(words, row, span);
    const { beginHigh, beginLow } = span;
    if (beginHigh < this.#lastHigh || (beginHigh === this.#lastHigh && beginLow < this.#lastLow)) {
      throw this.#outOfOrder(batch, row);
    }
    this.#lastHigh = beginHigh;
    this.#lastLow = beginLow;
    const endsBefore =
      span.endHigh < beginHigh || (span.endHigh === beginHigh && span.endLow < beginLow);
    if (endsBefore) {
      span.endHigh = beginHigh;
      span.endLow = beginLow;
    }
    const lane = this.#lanes.place(span);
    const scope = scopes[batch.scope[row] ?? 0] as InternedScope;
    const open = batch.open[row] === 1;
    this.#spanCount += 1;
    const { writer } = this.#options;
    if (lane >= 0) writer.beginSlice(this.#tracks.of(lane), beginHigh, beginLow, scope, open);
    else {
      this.#instantCount += 1;
      writer.instant(this.#tracks.overflow(), beginHigh, beginLow, scope, open);
    }
  }

  #outOfOrder(batch: SpanBatch, row: number): ExportError {
    return new ExportError(
      'trace-export.spans-out-of-order',
      'a span begins before the one in front of it',
      {
        details: {
          streamId: this.#options.streamId,
          spanId: batch.id[row],
          begin: formatRfc3339(nanoseconds(batch.begin[row] ?? 0n)),
        },
      },
    );
  }
}

function heldRow(batch: SpanBatch, row: number): HeldRow {
  return {
    batch,
    row,
    id: batch.id[row] ?? 0n,
    depth: batch.depth[row] ?? 0,
    begin: batch.begin[row] ?? 0n,
    end: batch.end[row] ?? 0n,
    open: batch.open[row] === 1,
  };
}
