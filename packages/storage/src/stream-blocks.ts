/** The third statement of a look at the lake: how many blocks are wanted of each stream. */
import type { BlockId, ProcessId, StreamId } from '@tracelake/domain';
import { inLook, type LookMoment, lookOf } from './look-moment.ts';
import type { Queryable } from './postgres/database.ts';
import { prepared, sql } from './postgres/sql.ts';

/** The wanted blocks of one stream. */
export interface StreamBlocks {
  readonly known: number;
  /** Those that were wanted at the first look. */
  readonly target: number;
  /** The latest that came; undefined without a block. */
  readonly lastInsertUs: bigint | undefined;
  /** Sum of hashes of the ids: changes with the set of blocks. */
  readonly fingerprint: bigint;
  /** Blocks that one of the views asked for could not decode. */
  readonly rejected: number;
  /** The first of them by id, at most `REJECTED_IDS_MAX`. */
  readonly rejectedIds: readonly BlockId[];
  /** As `fingerprint`, of (view, block) pairs. */
  readonly rejectedFingerprint: bigint;
}

export const REJECTED_IDS_MAX = 20;

export interface StreamBlocksRequest {
  readonly streams: readonly {
    readonly streamId: StreamId;
    readonly processId: ProcessId;
    /** That blocks of the stream may have been rejected by. */
    readonly viewSets: readonly string[];
  }[];
  readonly since: LookMoment | undefined;
  /** Streams whose blocks were not wanted then. */
  readonly laterStreams: readonly StreamId[];
}

interface StreamBlocksRow {
  stream_id: StreamId;
  known: bigint;
  target: bigint;
  last_insert_us: bigint | null;
  fingerprint: string | null;
  rejected: bigint | null;
  rejected_ids: BlockId[] | null;
  rejected_fingerprint: string | null;
}

/** One statement. Run it in a transaction. */
export async function countStreamBlocks(
  transaction: Queryable,
  { streams, since, laterStreams }: StreamBlocksRequest,
): Promise<Map<StreamId, StreamBlocks>> {
  if (streams.length === 0) return new Map();
  const look = lookOf(since);
  const pairs = streams.flatMap(({ streamId, viewSets }) =>
    viewSets.map((viewSet) => [streamId, viewSet] as const),
  );
  const statement = sql`
    SELECT wanted.stream_id, of_blocks.*, of_rejected.*
    FROM unnest(${streams.map((one) => one.streamId)}::uuid[], ${streams.map((one) => one.processId)}::uuid[])
      AS wanted (stream_id, process_id)
    CROSS JOIN (
      SELECT ${look.seen}::pg_snapshot AS seen, from_unix_us(${look.surelyBeforeUs}::bigint) AS surely_before,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now_xid) AS look
    CROSS JOIN LATERAL (
      SELECT count(*) AS known,
        count(*) FILTER (WHERE ${inLook('b')} AND b.stream_id <> ALL(${laterStreams}::uuid[])) AS target,
        unix_us(max(b.insert_time)) AS last_insert_us,
        sum(uuid_hash_extended(b.block_id, 0)) AS fingerprint
      FROM blocks b
      WHERE b.process_id = wanted.process_id AND b.stream_id = wanted.stream_id) of_blocks
    LEFT JOIN (
      SELECT b.stream_id AS rejected_stream, count(DISTINCT r.block_id) AS rejected,
        (array_agg(DISTINCT r.block_id))[1:${REJECTED_IDS_MAX}::int] AS rejected_ids,
        sum(hashtextextended(r.view_set || r.block_id, 0)) AS rejected_fingerprint
      FROM unnest(${pairs.map(([streamId]) => streamId)}::uuid[], ${pairs.map(([, viewSet]) => viewSet)}::text[])
        AS pair (stream_id, view_set)
      JOIN rejected_blocks r USING (view_set)
      JOIN blocks b ON b.block_id = r.block_id AND b.stream_id = pair.stream_id
      GROUP BY b.stream_id) of_rejected ON of_rejected.rejected_stream = wanted.stream_id`;
  const rows = await transaction.query<StreamBlocksRow>(prepared('stream-blocks', statement));
  return new Map(rows.map((row) => [row.stream_id, streamBlocksOf(row)]));
}

function streamBlocksOf(row: StreamBlocksRow): StreamBlocks {
  return {
    known: Number(row.known),
    target: Number(row.target),
    lastInsertUs: row.last_insert_us ?? undefined,
    fingerprint: BigInt(row.fingerprint ?? 0),
    rejected: Number(row.rejected ?? 0n),
    rejectedIds: row.rejected_ids ?? [],
    rejectedFingerprint: BigInt(row.rejected_fingerprint ?? 0),
  };
}
