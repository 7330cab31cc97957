/** The async spans of a process, each on a track where it nests truly. */

import type { SpanBatch } from '@tracelake/parquet';
import {
  ConcurrentLanes,
  type InternedScope,
  type TraceWriter,
  type Track,
  type TrackUuids,
} from '@tracelake/perfetto';
import { LaneTracks } from './lane-tracks.ts';
import type { ScopeCache } from './scope-cache.ts';
import { emptySpan, readSpan, type SpanWords, spanWordsOf } from './span-words.ts';

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

export class AsyncTracks {
  readonly #options: AsyncTracksOptions;
  readonly #lanes: ConcurrentLanes;
  readonly #tracks: LaneTracks;
  readonly #span = emptySpan();
  #words: SpanWords | undefined;
  #spanCount = 0;
  #instantCount = 0;

  constructor(options: AsyncTracksOptions) {
    this.#options = options;
    const { writer, uuids, process, processId } = options;
    this.#tracks = new LaneTracks({
      writer,
      uuids,
      parent: process,
      key: `${processId}/async`,
      name: TRACK_NAME,
      overflowKey: `${processId}/async/overflow`,
      overflowName: OVERFLOW_TRACK_NAME,
    });
    this.#lanes = new ConcurrentLanes(
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

  get openSeenMax(): number {
    return this.#lanes.openSeenMax;
  }

  openBatch(batch: SpanBatch): void {
    this.#words = spanWordsOf(batch, this.#options.scopes);
  }

  /** Writes rows of the open batch until so many bytes are pending; returns the first that is left. */
  writeRows(from: number, to: number, pendingBytesMax: number): number {
    const words = this.#words;
    if (words === undefined) return to;
    const { writer } = this.#options;
    let row = from;
    while (row < to && writer.pendingBytes < pendingBytesMax) this.#write(words, row++);
    return row;
  }

  /** Closes what is open. */
  finish(): void {
    this.#lanes.closeAll();
  }

  #write(words: SpanWords, row: number): void {
    const { batch, scopes } = words;
    const span = this.#span;
    readSpan(words, row, span);
    const lane = this.#lanes.place(span);
    const scope = scopes[batch.scope[row] ?? 0] as InternedScope;
    const open = batch.open[row] === 1;
    this.#spanCount += 1;
    const { writer } = this.#options;
    if (lane >= 0)
      writer.beginSlice(this.#tracks.of(lane), span.beginHigh, span.beginLow, scope, open);
    else {
      this.#instantCount += 1;
      writer.instant(this.#tracks.overflow(), span.beginHigh, span.beginLow, scope, open);
    }
  }
}
