/** The first statement of a look at the lake: which instances there are, and what they are known by. */
import type { BlockId, Nanoseconds, ProcessId, ProcessInfo, StreamId } from '@tracelake/domain';
import { ensureExists, ticks } from '@tracelake/domain';
import type { CalibrationEvidence, SourceStream } from '@tracelake/lakehouse';
import { inLook, type LookMoment, lookOf } from './look-moment.ts';
import type { Queryable } from './postgres/database.ts';
import { microsecondsToNs } from './postgres/microseconds.ts';
import { prepared, sql } from './postgres/sql.ts';
import { PROCESS_COLUMNS, type ProcessRow, processOf } from './process-repository.ts';
import { sourceStreamsOf } from './stream-repository.ts';

/** A stream as readers need it; its types are for those who decode. */
export type StreamFacts = Omit<SourceStream, 'dependenciesMetadata' | 'objectsMetadata'>;

/** Whose streams and blocks to look at. */
export type ContextRequest = { readonly streamTag: string } & (
  | { readonly kind: 'process'; readonly processId: ProcessId }
  | { readonly kind: 'stream'; readonly streamId: StreamId }
  | {
      readonly kind: 'global';
      /** Processes whose blocks all lie outside are left out. Inclusive at both ends, microseconds. */
      readonly blocksBetween: { readonly beginUs: bigint; readonly endUs: bigint } | undefined;
    }
);

/** What a process is known by, whichever view asks. */
export interface ProcessFacts {
  /** Undefined when it is not known; then no block of it is wanted. */
  readonly process: ProcessInfo | undefined;
  /** Those of the tag asked for that have wanted blocks (a stream's instance: the stream itself), by id. */
  readonly streams: ReadonlyMap<StreamId, StreamFacts>;
  /**
   * Blocks among which `chooseCalibrationEvidence` chooses the same one as among all of the process's wanted
   * blocks; empty when the process knows its frequency.
   */
  readonly calibrationCandidates: readonly CalibrationEvidence[];
  /** Of all blocks of the process, whatever their tag. */
  readonly lastBlockEndNs: Nanoseconds | undefined;
}

export interface FoundContext {
  /** Index of the request that it answers; a global one has any number of answers. */
  readonly request: number;
  readonly facts: ProcessFacts;
  /** Streams that came after the look that the statement was told of, so that their blocks were not wanted. */
  readonly laterStreams: readonly StreamId[];
  /** With their types; empty when they were not asked for. */
  readonly sources: readonly SourceStream[];
}

export interface ContextLook {
  readonly moment: LookMoment;
  readonly contexts: readonly FoundContext[];
}

interface ContextRow extends ProcessRow {
  seen: string;
  taken_us: bigint;
  request: number | null;
  known_process_id: ProcessId | null;
  last_end_us: bigint | null;
  longest_id: BlockId | null;
  longest_end_us: bigint | null;
  longest_ticks: bigint | null;
  first_id: BlockId | null;
  first_end_us: bigint | null;
  first_ticks: bigint | null;
  stream_id: StreamId | null;
  tags: string[];
  stream_properties: Record<string, string>;
  metadata_sha256: Uint8Array;
  dependencies_metadata: Uint8Array | null;
  objects_metadata: Uint8Array | null;
  is_later: boolean;
}

export interface ContextOptions {
  /** The first look of a series. */
  readonly since?: LookMoment | undefined;
  /** Whether streams come with their types too. */
  readonly withTypes?: boolean;
}

/** One statement, whatever the number of requests. */
export async function readContexts(
  db: Queryable,
  requests: readonly ContextRequest[],
  options: ContextOptions,
): Promise<ContextLook> {
  const rows = await db.query<ContextRow>(contextStatement(requests, options));
  const found = new Map<string, ContextRow[]>();
  for (const row of rows) {
    if (row.request === null) continue;
    const key = `${row.request} ${row.known_process_id}`;
    const group = found.get(key);
    if (group === undefined) found.set(key, [row]);
    else group.push(row);
  }
  const [first] = rows;
  return {
    moment: { seen: first?.seen ?? '', takenUs: first?.taken_us ?? 0n },
    contexts: [...found.values()].map(contextOf),
  };
}

/**
 * The evidence of a calibration is, among blocks that lasted at least 2^k ms since the process's start, the first
 * by (end_ticks, block_id), where k comes from the longest. The longest and that first one give the same choice
 * as all blocks. The threshold is counted in 1/1024 us, so that all powers are whole.
 */
function contextStatement(
  requests: readonly ContextRequest[],
  { since, withTypes = false }: ContextOptions,
) {
  const look = lookOf(since);
  const statement = sql`
    WITH look AS MATERIALIZED (
      SELECT ${look.seen}::pg_snapshot AS seen, from_unix_us(${look.surelyBeforeUs}::bigint) AS surely_before,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now_xid),
    request AS (
      SELECT * FROM unnest(
        ${requests.map(({ kind }) => kind)}::text[], ${requests.map(idOf)}::uuid[],
        ${requests.map(({ streamTag }) => streamTag)}::text[],
        ${requests.map((one) => rangeOf(one)?.beginUs ?? null)}::bigint[],
        ${requests.map((one) => rangeOf(one)?.endUs ?? null)}::bigint[])
        WITH ORDINALITY AS request (kind, id, tag, begin_us, end_us, number)),
    chosen AS MATERIALIZED (
      SELECT number, tag, id AS process_id, NULL::uuid AS only_stream FROM request WHERE kind = 'process'
      UNION ALL
      SELECT number, tag, s.process_id, id FROM request LEFT JOIN streams s ON s.stream_id = id
        WHERE kind = 'stream'
      UNION ALL
      SELECT DISTINCT number, tag, p.process_id, NULL::uuid
      FROM request JOIN streams s ON s.tags @> ARRAY[tag] JOIN processes p ON p.process_id = s.process_id
      WHERE kind = 'global' AND EXISTS (
        SELECT FROM blocks b WHERE b.stream_id = s.stream_id AND b.process_id = s.process_id
          AND (end_us IS NULL OR b.begin_time <= from_unix_us(end_us))
          AND (begin_us IS NULL OR b.end_time >= from_unix_us(begin_us)))),
    known AS MATERIALIZED (
      SELECT p.process_id, last.end_time AS last_end,
        longest.block_id AS longest_id, longest.end_time AS longest_end, longest.end_ticks AS longest_ticks,
        first.block_id AS first_id, first.end_time AS first_end, first.end_ticks AS first_ticks
      FROM processes p
      LEFT JOIN LATERAL (
        SELECT max(b.end_time) AS end_time FROM blocks b WHERE b.process_id = p.process_id) last ON true
      LEFT JOIN LATERAL (
        SELECT b.block_id, b.end_time, b.end_ticks, unix_us(b.end_time) - unix_us(p.start_time) AS elapsed_us
        FROM blocks b JOIN streams s ON s.stream_id = b.stream_id AND s.process_id = b.process_id
        WHERE b.process_id = p.process_id AND p.tsc_frequency <= 0 ORDER BY b.end_time DESC, b.block_id LIMIT 1) longest ON true
      LEFT JOIN LATERAL (
        SELECT b.block_id, b.end_time, b.end_ticks
        FROM blocks b JOIN streams s ON s.stream_id = b.stream_id AND s.process_id = b.process_id
        WHERE b.process_id = p.process_id AND p.tsc_frequency <= 0 AND longest.elapsed_us > 0 AND b.end_time >= (
          SELECT from_unix_us(unix_us(p.start_time) + ceil(max(1000 * 2::numeric ^ k) / 1024)::bigint)
          FROM generate_series(0, 63) k WHERE 1000 * 2::numeric ^ k <= longest.elapsed_us::numeric * 1024)
        ORDER BY b.end_ticks, b.block_id LIMIT 1) first ON true
      WHERE p.process_id IN (SELECT process_id FROM chosen))
    SELECT pg_current_snapshot()::text AS seen, unix_us(clock_timestamp()) AS taken_us,
      (c.number - 1)::int AS request, k.process_id AS known_process_id, ${PROCESS_COLUMNS},
      unix_us(k.last_end) AS last_end_us,
      k.longest_id, unix_us(k.longest_end) AS longest_end_us, k.longest_ticks,
      k.first_id, unix_us(k.first_end) AS first_end_us, k.first_ticks,
      s.stream_id, s.tags, s.properties AS stream_properties, s.metadata_sha256,
      s.dependencies_metadata, s.objects_metadata,
      NOT (s.is_target AND ${inLook('p')}) AS is_later
    FROM look LEFT JOIN chosen c ON true
    LEFT JOIN known k ON k.process_id = c.process_id
    LEFT JOIN processes p ON p.process_id = k.process_id
    LEFT JOIN LATERAL (
      SELECT s.stream_id, s.tags, s.properties, s.metadata_sha256, ${inLook('s')} AS is_target,
        CASE WHEN ${withTypes}::boolean THEN s.dependencies_metadata END AS dependencies_metadata,
        CASE WHEN ${withTypes}::boolean THEN s.objects_metadata END AS objects_metadata
      FROM streams s
      WHERE s.process_id = p.process_id AND (c.only_stream IS NULL OR s.stream_id = c.only_stream)
        AND s.tags @> ARRAY[c.tag] AND EXISTS (
          SELECT FROM blocks b WHERE b.process_id = s.process_id AND b.stream_id = s.stream_id)) s ON true
    ORDER BY c.number, k.process_id, s.stream_id`;
  return prepared('snapshot-context', statement);
}

function idOf(request: ContextRequest): string | null {
  if (request.kind === 'process') return request.processId;
  return request.kind === 'stream' ? request.streamId : null;
}

function rangeOf(request: ContextRequest) {
  return request.kind === 'global' ? request.blocksBetween : undefined;
}

function contextOf(rows: readonly ContextRow[]): FoundContext {
  const row = ensureExists(rows[0], 'row of a context');
  const streams = new Map<StreamId, StreamFacts>();
  const laterStreams: StreamId[] = [];
  for (const one of rows) {
    if (one.stream_id === null) continue;
    const {
      stream_id: streamId,
      process_id: processId,
      tags,
      metadata_sha256: metadataSha256,
    } = one;
    const properties = one.stream_properties;
    streams.set(streamId, { streamId, processId, tags, properties, metadataSha256 });
    if (one.is_later) laterStreams.push(streamId);
  }
  const facts = {
    process: row.known_process_id === null ? undefined : processOf(row),
    streams,
    calibrationCandidates: candidatesOf(row),
    lastBlockEndNs: row.last_end_us === null ? undefined : microsecondsToNs(row.last_end_us),
  };
  return { request: row.request ?? 0, facts, laterStreams, sources: sourcesOf(rows) };
}

function sourcesOf(rows: readonly ContextRow[]): SourceStream[] {
  return sourceStreamsOf(
    rows.flatMap((row) => {
      const { stream_id, dependencies_metadata, objects_metadata } = row;
      if (stream_id === null || dependencies_metadata === null || objects_metadata === null) {
        return [];
      }
      const { stream_properties: properties, process_id, tags, metadata_sha256 } = row;
      const types = { dependencies_metadata, objects_metadata, metadata_sha256 };
      return [{ stream_id, process_id, tags, properties, ...types }];
    }),
  );
}

function candidatesOf(row: ContextRow): CalibrationEvidence[] {
  const candidates = [
    [row.longest_id, row.longest_end_us, row.longest_ticks],
    [row.first_id, row.first_end_us, row.first_ticks],
  ] as const;
  return candidates.flatMap(([blockId, endUs, endTicks]) =>
    blockId === null || endUs === null || endTicks === null
      ? []
      : [{ blockId, endNs: microsecondsToNs(endUs), endTicks: ticks(endTicks) }],
  );
}
