/**
 * Pairs the begin and end events of a process's async spans, in memory that does not grow with their number.
 *
 * Their events are merged in order of time and paired as they come, with the spans from the first
 * open one on in memory. Where those are more than may be held (a span open for long, with very many inside),
 * DuckDB does the rest out of core: it joins the files with themselves on the span's id, sorts the spans and
 * spills what exceeds its memory limit, at about twice the cost.
 *
 * Order: begin, then depth, span id and the rest of the row, all of it content and nothing of where files
 * are cut; among spans that begin together a parent comes before its child, and ids count up as spans are
 * made. A begin without an end is an open span. An id used again pairs first with first. An end before its
 * begin (two cores' clocks) closes the span at its begin.
 */

import { ensureExists } from '@tracelake/domain';
import { type EventFileLayout, findEventLayouts } from './decoding/event-file-layout.ts';
import { EventRowGroups } from './decoding/event-row-groups.ts';
import { ScopeTable } from './decoding/event-scopes.ts';
import { DuckDbEvents } from './pairing/duckdb-events.ts';
import { type EventFile, EventMerge } from './pairing/event-merge.ts';
import type { EventSource } from './pairing/event-source.ts';
import { StreamedPairing } from './pairing/streamed-pairing.ts';
import { ParquetError } from './parquet-error.ts';
import {
  type ParquetReader,
  type QueryOptions,
  sqlString,
  sqlTimestamp,
} from './parquet-reading.ts';
import { ScopeDictionary, type ScopeText } from './scope-dictionary.ts';
import { type SpanBatch, spanBatchOf } from './span-batch.ts';
import type { NsRange } from './thread-span-reading.ts';

/** Files read at once; where more overlap in time, DuckDB reads one after the other. */
const OPEN_FILES_MAX = 64;

/** Events between two looks for spans that can be handed on: a slice may be of one event where files overlap. */
const HAND_ON_ROWS = 4096;

export interface PairingRequest extends QueryOptions {
  readonly reader: ParquetReader;
  /** All files of the process's `async_events`; without them all, spans lose their ends. */
  readonly files: readonly EventFile[];
  readonly range: NsRange;
  /** The end given to spans that have none. */
  readonly openEndNs: bigint;
  /** Spans held in memory (some 45 bytes each) while one that began before them has not ended. */
  readonly heldSpansMax: number;
}

/** Returns the begin from which on spans are missing, undefined when none are. */
type StreamedSpans = AsyncGenerator<SpanBatch, bigint | undefined, void>;

/** The spans that overlap the range. */
export class PairedAsyncSpans {
  readonly #request: PairingRequest;
  #endsWithoutBegin = 0;
  #sortedFileCount = 0;

  constructor(request: PairingRequest) {
    this.#request = request;
  }

  /** End events whose begin is in none of the files; known when the batches have been read to their end. */
  get endsWithoutBegin(): number {
    return this.#endsWithoutBegin;
  }

  /** Files that had to be sorted first; known when the batches have been read to their end. */
  get sortedFileCount(): number {
    return this.#sortedFileCount;
  }

  /**
   * The spans, to be read once; a batch is valid until the next is asked for. Errors: those of
   * `ParquetReader.chunks`.
   */
  async *batches(): AsyncGenerator<SpanBatch, void, void> {
    const { files } = this.#request;
    if (files.length === 0) return;
    const events = `read_parquet([${files.map(({ path }) => sqlString(path)).join(', ')}])`;
    const layouts = await findEventLayouts(files.map(({ path }) => path));
    const restFromNs = yield* layouts === undefined
      ? this.#streamedByDuckDb(events)
      : this.#streamedFromPages(layouts);
    if (restFromNs === undefined) return;
    const dictionary = await this.#collectScopes(events);
    yield* this.#joined(events, dictionary, restFromNs);
  }

  #streamedFromPages(layouts: ReadonlyMap<string, EventFileLayout>): StreamedSpans {
    const table = new ScopeTable();
    return this.#streamed(table.scopes, async ({ path }) => {
      return new EventRowGroups(path, ensureExists(layouts.get(path), 'layout'), table);
    });
  }

  async *#streamedByDuckDb(events: string): StreamedSpans {
    const { reader } = this.#request;
    const dictionary = await this.#collectScopes(events);
    return yield* this.#streamed(dictionary.scopes, ({ path }) =>
      DuckDbEvents.open(reader, path, dictionary, this.#request),
    );
  }

  #collectScopes(events: string): Promise<ScopeDictionary> {
    return ScopeDictionary.collect(this.#request.reader, events, this.#request);
  }

  async *#streamed(
    scopes: readonly ScopeText[],
    openSource: (file: EventFile) => Promise<EventSource>,
  ): StreamedSpans {
    const { files, range, openEndNs, heldSpansMax: heldMax } = this.#request;
    const pairing = new StreamedPairing({ scopes, range, openEndNs, heldMax });
    await using merge = new EventMerge(files, openSource);
    while (await merge.refill()) {
      throwIfAborted(this.#request);
      this.#sortedFileCount = merge.sortedFileCount;
      if (merge.isRefused || merge.openFileCount > OPEN_FILES_MAX) return pairing.restFromNs;
      for (let rows = 0; merge.isReady; ) {
        const events = merge.take();
        if (!pairing.consume(events)) return pairing.restFromNs;
        rows += events.to - events.from;
        if (rows < HAND_ON_ROWS) continue;
        rows = 0;
        yield* pairing.settled();
      }
      yield* pairing.settled();
    }
    if (!pairing.finish()) return pairing.restFromNs;
    yield* pairing.settled();
    this.#endsWithoutBegin = pairing.endsWithoutBegin;
    return undefined;
  }

  async *#joined(
    events: string,
    dictionary: ScopeDictionary,
    fromNs: bigint,
  ): AsyncGenerator<SpanBatch, void, void> {
    const request = this.#request;
    const [counts] = await request.reader.rows(countingSql(events), request);
    this.#endsWithoutBegin = Number(counts?.[1] ?? 0);
    if (dictionary.scopes.length === 0) return;
    const idsAreUnique = Number(counts?.[0] ?? 0) === 0;
    const sql = pairingSql({
      request,
      events,
      fromNs,
      keyColumn: dictionary.keyColumn,
      idsAreUnique,
    });
    for await (const chunk of request.reader.chunks(sql, request)) {
      yield spanBatchOf(chunk, dictionary);
    }
  }
}

function throwIfAborted({ signal }: QueryOptions): void {
  if (signal?.aborted !== true) return;
  throw new ParquetError('parquet.aborted', 'pairing async spans was given up', {
    cause: signal.reason,
  });
}

/** How many ids have more than one begin or end, and how many ends have no begin. */
function countingSql(events: string): string {
  return `SELECT count_if(begins > 1 OR ends > 1), coalesce(sum(greatest(ends - begins, 0)), 0)
    FROM (SELECT count_if(event_type = 'begin') AS begins, count_if(event_type = 'end') AS ends
      FROM ${events} GROUP BY span_id)`;
}

interface JoinedPairing {
  readonly request: PairingRequest;
  /** An SQL relation. */
  readonly events: string;
  /** The least begin. */
  readonly fromNs: bigint;
  readonly keyColumn: string;
  readonly idsAreUnique: boolean;
}

function pairingSql({ request, events, fromNs, keyColumn, idsAreUnique }: JoinedPairing): string {
  const occurrence = idsAreUnique
    ? '0'
    : `row_number() OVER (PARTITION BY span_id, event_type ORDER BY time, depth, parent_span_id, hash, ${keyColumn})`;
  const openEnd = sqlTimestamp(request.openEndNs);
  return `WITH events AS NOT MATERIALIZED (
      SELECT event_type, span_id, parent_span_id, depth, time, ${keyColumn} AS scope_key,
        ${occurrence} AS occurrence FROM ${events}),
    begins AS (SELECT * FROM events
      WHERE event_type = 'begin' AND time <= ${sqlTimestamp(request.range.endNs)}
        AND time >= ${sqlTimestamp(fromNs)}),
    ends AS (SELECT span_id, occurrence, time FROM events WHERE event_type = 'end'),
    spans AS (
      SELECT begins.span_id, parent_span_id, depth, begins.time AS begin_time,
        greatest(begins.time, coalesce(ends.time, ${openEnd})) AS end_time,
        scope_key, ends.time IS NULL AS is_open
      FROM begins LEFT JOIN ends
        ON begins.span_id = ends.span_id AND begins.occurrence = ends.occurrence)
    SELECT * FROM spans WHERE end_time >= ${sqlTimestamp(request.range.beginNs)}
    ORDER BY begin_time, depth, span_id, end_time, parent_span_id, scope_key`;
}
