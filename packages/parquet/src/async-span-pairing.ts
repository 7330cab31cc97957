/**
 * Pairs the begin and end events of a process's async spans, out of core: DuckDB joins the files with
 * themselves on the span's id, sorts the spans by begin and spills what exceeds its memory limit.
 *
 * Order: begin, then depth, span id and the rest of the row, all of it content and nothing of where files
 * are cut; among spans that begin together a parent comes before its child, and ids count up as spans are
 * made. A begin without an end is an open span. An id used again pairs first with first. An end before its
 * begin (two cores' clocks) closes the span at its begin.
 */

import {
  type ParquetReader,
  type QueryOptions,
  sqlString,
  sqlTimestamp,
} from './parquet-reading.ts';
import { ScopeDictionary } from './scope-dictionary.ts';
import { type SpanBatch, spanBatchOf } from './span-batch.ts';
import type { NsRange } from './thread-span-reading.ts';

export interface PairingRequest extends QueryOptions {
  readonly reader: ParquetReader;
  /** All files of the process's `async_events`; without them all, spans lose their ends. */
  readonly paths: readonly string[];
  readonly range: NsRange;
  /** The end given to spans that have none. */
  readonly openEndNs: bigint;
}

export interface PairedAsyncSpans {
  /** End events whose begin is in none of the files. */
  readonly endsWithoutBegin: number;
  readonly batches: AsyncGenerator<SpanBatch, void, void>;
}

/** Pairs and yields the spans that overlap the range. Errors: those of `ParquetReader.chunks`. */
export async function pairAsyncSpans(request: PairingRequest): Promise<PairedAsyncSpans> {
  if (request.paths.length === 0) return { endsWithoutBegin: 0, batches: noBatches() };
  const files = `read_parquet([${request.paths.map(sqlString).join(', ')}])`;
  const [counts] = await request.reader.rows(countingSql(files), request);
  const idsAreUnique = Number(counts?.[0] ?? 0) === 0;
  return {
    endsWithoutBegin: Number(counts?.[1] ?? 0),
    batches: pairedBatches(request, files, idsAreUnique),
  };
}

async function* noBatches(): AsyncGenerator<SpanBatch, void, void> {}

async function* pairedBatches(
  request: PairingRequest,
  files: string,
  idsAreUnique: boolean,
): AsyncGenerator<SpanBatch, void, void> {
  const { reader } = request;
  const begins = `${files} WHERE event_type = 'begin' AND time <= ${sqlTimestamp(request.range.endNs)}`;
  const dictionary = await ScopeDictionary.collect(reader, begins, request);
  if (dictionary.scopes.length === 0) return;
  const sql = pairingSql(request, files, dictionary.keyColumn, idsAreUnique);
  for await (const chunk of reader.chunks(sql, request)) yield spanBatchOf(chunk, dictionary);
}

/** How many ids have more than one begin or end, and how many ends have no begin. */
function countingSql(files: string): string {
  return `SELECT count_if(begins > 1 OR ends > 1), coalesce(sum(greatest(ends - begins, 0)), 0)
    FROM (SELECT count_if(event_type = 'begin') AS begins, count_if(event_type = 'end') AS ends
      FROM ${files} GROUP BY span_id)`;
}

function pairingSql(
  request: PairingRequest,
  files: string,
  keyColumn: string,
  idsAreUnique: boolean,
): string {
  const occurrence = idsAreUnique
    ? '0'
    : `row_number() OVER (PARTITION BY span_id, event_type ORDER BY time, depth, parent_span_id, hash, ${keyColumn})`;
  const openEnd = sqlTimestamp(request.openEndNs);
  return `WITH events AS NOT MATERIALIZED (
      SELECT event_type, span_id, parent_span_id, depth, time, ${keyColumn} AS scope_key,
        ${occurrence} AS occurrence FROM ${files}),
    begins AS (SELECT * FROM events
      WHERE event_type = 'begin' AND time <= ${sqlTimestamp(request.range.endNs)}),
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
