/** The spans of one thread, on its own track where they nest and beside it where they do not. */

import { formatRfc3339, nanoseconds } from '@tracelake/domain';
import type { SpanBatch } from '@tracelake/parquet';
import {
  type InternedScope,
  type ThreadLaneSpan,
  ThreadLanes,
  type TraceWriter,
  type Track,
  type TrackUuids,
} from '@tracelake/perfetto';
import { ExportError } from './export-error.ts';
import { type OrderedRow, OrphanOrder } from './orphan-order.ts';
import type { ScopeCache } from './scope-cache.ts';
import { keyOf, wordsOf } from './span-words.ts';

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

interface BatchColumns {
  readonly batch: SpanBatch;
  readonly begin: Int32Array;
  readonly end: Int32Array;
  readonly id: Int32Array;
  readonly parent: Int32Array;
  readonly scopes: readonly InternedScope[];
}

export class ThreadTracks {
  readonly #options: ThreadTracksOptions;
  readonly #lanes: ThreadLanes;
  readonly #tracks: Track[];
  readonly #order = new OrphanOrder<HeldRow>((held) => this.#writeHeld(held));
  readonly #span: ThreadLaneSpan = {
    beginHigh: 0,
    beginLow: 0,
    endHigh: 0,
    endLow: 0,
    id: 0,
    parentId: 0,
    depth: 0,
  };
  #columns: BatchColumns | undefined;
  #overflow: Track | undefined;
  #lastHigh = -0x8000_0000;
  #lastLow = 0;
  #spanCount = 0;
  #instantCount = 0;

  constructor(options: ThreadTracksOptions) {
    this.#options = options;
    this.#tracks = [options.thread];
    const { writer } = options;
    this.#lanes = new ThreadLanes(
      (lane, high, low) => writer.endSlice(this.#track(lane), high, low),
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
    if (this.#columns?.batch === batch) return;
    this.#columns = this.#columnsOf(batch);
  }

  /** Writes a row of the open batch. Errors: `trace-export.spans-out-of-order`. */
  writeRow(row: number): void {
    const columns = this.#columns;
    if (columns === undefined) return;
    const { batch } = columns;
    if ((batch.depth[row] ?? 0) === 0) {
      this.#order.openChain(batch.begin[row] ?? 0n, batch.end[row] ?? 0n);
    } else if (this.#order.isCollecting) {
      this.#order.push(heldRow(batch, row));
    } else {
      this.#write(columns, row);
    }
  }

  /** Closes what is open. */
  finish(): void {
    this.#order.flush();
    this.#lanes.closeAll();
  }

  #writeHeld({ batch, row }: HeldRow): void {
    const columns = this.#columns?.batch === batch ? this.#columns : this.#columnsOf(batch);
    this.#write(columns, row);
  }

  #write({ batch, begin, end, id, parent, scopes }: BatchColumns, row: number): void {
    const span = this.#span;
    span.beginHigh = begin[2 * row + 1] ?? 0;
    span.beginLow = (begin[2 * row] ?? 0) >>> 0;
    span.endHigh = end[2 * row + 1] ?? 0;
    span.endLow = (end[2 * row] ?? 0) >>> 0;
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
    span.id = keyOf(batch.id, id, row);
    span.parentId = keyOf(batch.parent, parent, row);
    span.depth = batch.depth[row] ?? 0;
    const lane = this.#lanes.place(span);
    const scope = scopes[batch.scope[row] ?? 0] as InternedScope;
    const open = batch.open[row] === 1;
    this.#spanCount += 1;
    const { writer } = this.#options;
    if (lane >= 0) writer.beginSlice(this.#track(lane), beginHigh, beginLow, scope, open);
    else {
      this.#instantCount += 1;
      writer.instant(this.#overflowTrack(), beginHigh, beginLow, scope, open);
    }
  }

  #track(lane: number): Track {
    const known = this.#tracks[lane];
    if (known !== undefined) return known;
    const { writer, uuids, thread, streamId } = this.#options;
    const uuid = uuids.next(`${streamId}/overlapping/${lane}`);
    const track = writer.writeTrack({ uuid, parent: thread, name: EXTRA_TRACK_NAME });
    this.#tracks[lane] = track;
    return track;
  }

  #overflowTrack(): Track {
    const { writer, uuids, thread, streamId } = this.#options;
    this.#overflow ??= writer.writeTrack({
      uuid: uuids.next(`${streamId}/overflow`),
      parent: thread,
      name: OVERFLOW_TRACK_NAME,
    });
    return this.#overflow;
  }

  #columnsOf(batch: SpanBatch): BatchColumns {
    return {
      batch,
      begin: wordsOf(batch.begin),
      end: wordsOf(batch.end),
      id: wordsOf(batch.id),
      parent: wordsOf(batch.parent),
      scopes: this.#options.scopes.scopesOf(batch.scopes),
    };
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
