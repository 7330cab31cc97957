/** The async spans of a process, each on a track where it nests truly. */

import type { AsyncSpanBatch } from '@tracelake/parquet';
import {
  ConcurrentLanes,
  type InternedScope,
  type LaneSpan,
  type TraceWriter,
  type Track,
  type TrackUuids,
} from '@tracelake/perfetto';
import type { ScopeCache } from './scope-cache.ts';
import { keyOf, wordsOf } from './span-words.ts';

/** All lanes have one name: the UI shows them as one track of several rows. */
const TRACK_NAME = 'Async Operations';
const OVERFLOW_TRACK_NAME = 'Async Operations beyond the limit';

export interface AsyncTracksOptions {
  readonly writer: TraceWriter;
  readonly uuids: TrackUuids;
  readonly scopes: ScopeCache;
  readonly process: Track;
  readonly processId: string;
  readonly openSpansMax: number;
}

interface BatchColumns {
  readonly batch: AsyncSpanBatch;
  readonly begin: Int32Array;
  readonly end: Int32Array;
  readonly id: Int32Array;
  readonly parent: Int32Array;
  readonly scopes: readonly InternedScope[];
}

export class AsyncTracks {
  readonly #options: AsyncTracksOptions;
  readonly #lanes: ConcurrentLanes;
  readonly #tracks: Track[] = [];
  readonly #span: LaneSpan = {
    beginHigh: 0,
    beginLow: 0,
    endHigh: 0,
    endLow: 0,
    id: 0,
    parentId: 0,
  };
  #columns: BatchColumns | undefined;
  #overflow: Track | undefined;
  #spanCount = 0;
  #instantCount = 0;

  constructor(options: AsyncTracksOptions) {
    this.#options = options;
    const { writer } = options;
    this.#lanes = new ConcurrentLanes(
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

  get openSeenMax(): number {
    return this.#lanes.openSeenMax;
  }

  openBatch(batch: AsyncSpanBatch): void {
    this.#columns = {
      batch,
      begin: wordsOf(batch.begin),
      end: wordsOf(batch.end),
      id: wordsOf(batch.spanId),
      parent: wordsOf(batch.parentSpanId),
      scopes: this.#options.scopes.scopesOf(batch.scopes),
    };
  }

  /** Writes a row of the open batch. */
  writeRow(row: number): void {
    const columns = this.#columns;
    if (columns === undefined) return;
    const { batch, begin, end, id, parent, scopes } = columns;
    const span = this.#span;
    span.beginHigh = begin[2 * row + 1] ?? 0;
    span.beginLow = (begin[2 * row] ?? 0) >>> 0;
    span.endHigh = end[2 * row + 1] ?? 0;
    span.endLow = (end[2 * row] ?? 0) >>> 0;
    span.id = keyOf(batch.spanId, id, row);
    span.parentId = keyOf(batch.parentSpanId, parent, row);
    const lane = this.#lanes.place(span);
    const scope = scopes[batch.scope[row] ?? 0] as InternedScope;
    const open = batch.open[row] === 1;
    this.#spanCount += 1;
    const { writer } = this.#options;
    if (lane >= 0) writer.beginSlice(this.#track(lane), span.beginHigh, span.beginLow, scope, open);
    else {
      this.#instantCount += 1;
      writer.instant(this.#overflowTrack(), span.beginHigh, span.beginLow, scope, open);
    }
  }

  /** Closes what is open. */
  finish(): void {
    this.#lanes.closeAll();
  }

  #track(lane: number): Track {
    const known = this.#tracks[lane];
    if (known !== undefined) return known;
    const { writer, uuids, process, processId } = this.#options;
    const uuid = uuids.next(`${processId}/async/${lane}`);
    const track = writer.writeTrack({ uuid, parent: process, name: TRACK_NAME });
    this.#tracks[lane] = track;
    return track;
  }

  #overflowTrack(): Track {
    const { writer, uuids, process, processId } = this.#options;
    this.#overflow ??= writer.writeTrack({
      uuid: uuids.next(`${processId}/async/overflow`),
      parent: process,
      name: OVERFLOW_TRACK_NAME,
    });
    return this.#overflow;
  }
}
