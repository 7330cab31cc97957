/**
 * The second statement of a look at the lake: every partition of some instances beside the blocks it covers as they
 * are now. The blocks of one partition at a time come as bytes to be hashed; none is held.
 */
import type { BlockId, StreamId } from '@tracelake/domain';
import { ticks } from '@tracelake/domain';
import {
  type ArrivalPlace,
  type CoveredPartition,
  type InsertRange,
  isContentCurrent,
  type SourceContext,
  type StreamPosition,
} from '@tracelake/lakehouse';
import { inLook, type LookMoment, lookOf } from './look-moment.ts';
import { type InstanceKey, SUMMARY_COLUMNS, type SummaryRow, summaryOf } from './partition-rows.ts';
import type { Connection } from './postgres/database.ts';
import { fragment, prepared, sql } from './postgres/sql.ts';

/** A partition as readers need it. */
export interface PartitionState extends CoveredPartition {
  /** Blocks it was built from, how many are still there, and how many of these were wanted at the first look. */
  readonly blockCount: number;
  readonly presentCount: number;
  readonly targetCount: number;
}

/** A partition as planning needs it. */
export interface PlannedPartition extends PartitionState {
  readonly first: ArrivalPlace | undefined;
  /** Of its blocks, as runs are cut by it. */
  readonly weight: number;
  /** Wanted blocks from its first to its last in stream order; undefined when it was not asked for. */
  readonly betweenCount: number | undefined;
}

export interface CoveredInstance extends InstanceKey {
  readonly context: SourceContext | undefined;
}

export interface CoveredRequest {
  readonly instances: readonly CoveredInstance[];
  readonly since: LookMoment | undefined;
  /** Streams whose blocks were not wanted then. */
  readonly laterStreams: readonly StreamId[];
  /** Gets the lines of every covered block, once for each instance that covers it. */
  readonly onLines?: ((instance: number, lines: Uint8Array) => void) | undefined;
  /** For planning: the least that a block weighs, and whether to count the blocks between. */
  readonly weights?: { readonly weightMin: number; readonly countsBetween: boolean };
}

interface CoveredRow extends SummaryRow {
  instance_number: bigint;
  block_count: bigint;
  present_count: bigint;
  target_count: bigint;
  stream_ids: StreamId[] | null;
  lines: Uint8Array | null;
  first_insert_us: bigint | null;
  last_insert_us: bigint | null;
  weight: bigint | null;
  between_count: bigint | null;
  first_stream: StreamId;
  first_arrival_us: bigint;
  first_id: BlockId | null;
  first_begin: bigint;
  first_end: bigint;
  first_offset: bigint;
  last_id: BlockId | null;
  last_begin: bigint;
  last_end: bigint;
  last_offset: bigint;
}

/** The partitions of each instance, oldest insert times first, a tail last. One statement. Run it in a transaction. */
export async function readCoveredPartitions(
  transaction: Connection,
  request: CoveredRequest,
): Promise<PlannedPartition[][]> {
  const { instances, onLines } = request;
  const states: PlannedPartition[][] = instances.map(() => []);
  if (instances.length === 0) return states;
  await transaction.forEachRow<CoveredRow>(coveredStatement(request), (row) => {
    const index = Number(row.instance_number) - 1;
    if (row.lines !== null) onLines?.(index, row.lines);
    const context = instances[index]?.context;
    if (context !== undefined) states[index]?.push(stateOf(row, context));
  });
  for (const ofInstance of states) ofInstance.sort(compareStates);
  return states;
}

const EDGE_COLUMNS = fragment(`
  b.block_id, b.stream_id, b.process_id, b.begin_ticks, b.end_ticks, b.object_offset, b.insert_time
  FROM partition_blocks pb JOIN blocks b ON b.block_id = pb.block_id
  WHERE pb.partition_key = p.partition_key`);

function coveredStatement({ instances, since, laterStreams, weights }: CoveredRequest) {
  const look = lookOf(since);
  const statement = sql`
    SELECT wanted.instance_number, ${SUMMARY_COLUMNS}, covered.*,
      first.block_id AS first_id, first.begin_ticks AS first_begin, first.end_ticks AS first_end,
      first.object_offset AS first_offset, first.stream_id AS first_stream,
      unix_us(first.insert_time) AS first_arrival_us,
      last.block_id AS last_id, last.begin_ticks AS last_begin, last.end_ticks AS last_end,
      last.object_offset AS last_offset,
      CASE WHEN ${weights?.countsBetween ?? false}::boolean THEN (
        SELECT count(*) FROM blocks b
        WHERE b.process_id = first.process_id AND b.stream_id = first.stream_id
          AND (b.begin_ticks, b.end_ticks, b.object_offset, b.block_id)
            >= (first.begin_ticks, first.end_ticks, first.object_offset, first.block_id)
          AND (b.begin_ticks, b.end_ticks, b.object_offset, b.block_id)
            <= (last.begin_ticks, last.end_ticks, last.object_offset, last.block_id)) END AS between_count
    FROM unnest(${instances.map((one) => one.viewSet)}::text[],
        ${instances.map((one) => one.instance)}::text[],
        ${instances.map((one) => one.schemaHash)}::text[])
      WITH ORDINALITY AS wanted (view_set, instance, schema_hash, instance_number)
    JOIN partitions p USING (view_set, instance, schema_hash)
    CROSS JOIN (
      SELECT ${look.seen}::pg_snapshot AS seen, from_unix_us(${look.surelyBeforeUs}::bigint) AS surely_before,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now_xid) AS look
    CROSS JOIN LATERAL (
      SELECT count(*) AS block_count, count(b.block_id) AS present_count,
        count(b.block_id) FILTER (
          WHERE ${inLook('b')} AND b.stream_id <> ALL(${laterStreams}::uuid[])) AS target_count,
        sum(greatest(b.nb_objects, ${weights?.weightMin ?? 0}::bigint))::bigint AS weight,
        array_agg(DISTINCT b.stream_id) FILTER (WHERE b.block_id IS NOT NULL) AS stream_ids,
        string_agg(convert_to(E'\\nblock ' || b.block_id || ' ', 'UTF8') || b.content_sha256, ''::bytea
          ORDER BY b.position) AS lines,
        unix_us(min(b.insert_time)) AS first_insert_us, unix_us(max(b.insert_time)) AS last_insert_us
      FROM (
        SELECT pb.position, own.*, own.xmin AS xmin
        FROM partition_blocks pb LEFT JOIN blocks own ON own.block_id = pb.block_id
        WHERE pb.partition_key = p.partition_key) b) covered
    LEFT JOIN LATERAL (SELECT ${EDGE_COLUMNS} ORDER BY pb.position LIMIT 1) first ON true
    LEFT JOIN LATERAL (SELECT ${EDGE_COLUMNS} ORDER BY pb.position DESC LIMIT 1) last ON true`;
  return prepared('covered-partitions', statement);
}

function stateOf(row: CoveredRow, context: SourceContext): PlannedPartition {
  const partition = summaryOf(row);
  const blockCount = Number(row.block_count);
  const presentCount = Number(row.present_count);
  const content = {
    blockCount,
    presentCount,
    streamIds: row.stream_ids ?? [],
    blockLines: row.lines ?? NO_LINES,
    insertRange: insertRangeOf(row),
  };
  return {
    partition,
    isCurrent: isContentCurrent(partition, content, context),
    first: firstOf(row),
    last: positionOf(row.last_id, row.last_begin, row.last_end, row.last_offset),
    blockCount,
    presentCount,
    targetCount: Number(row.target_count),
    weight: Number(row.weight ?? 0n),
    betweenCount: row.between_count === null ? undefined : Number(row.between_count),
  };
}

function firstOf(row: CoveredRow): ArrivalPlace | undefined {
  const position = positionOf(row.first_id, row.first_begin, row.first_end, row.first_offset);
  const { first_stream: streamId, first_arrival_us: insertTimeUs } = row;
  return position && { ...position, streamId, insertTimeUs };
}

const NO_LINES = new Uint8Array(0);

function insertRangeOf({ first_insert_us, last_insert_us }: CoveredRow): InsertRange | undefined {
  if (first_insert_us === null || last_insert_us === null) return undefined;
  return { beginInsertUs: first_insert_us, endInsertUs: last_insert_us };
}

function positionOf(
  blockId: BlockId | null,
  beginTicks: bigint,
  endTicks: bigint,
  objectOffset: bigint,
): StreamPosition | undefined {
  if (blockId === null) return undefined;
  return { blockId, beginTicks: ticks(beginTicks), endTicks: ticks(endTicks), objectOffset };
}

function compareStates({ partition: a }: PartitionState, { partition: b }: PartitionState): number {
  const keys = [
    [a.kind === 'tail', b.kind === 'tail'],
    [a.beginInsertUs, b.beginInsertUs],
    [a.endInsertUs, b.endInsertUs],
    [a.partitionId, b.partitionId],
  ] as const;
  for (const [left, right] of keys) if (left !== right) return left < right ? -1 : 1;
  return 0;
}
