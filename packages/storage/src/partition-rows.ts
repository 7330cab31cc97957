/** Rows of `partitions` and what planning sees of them. */
import type { BlockId } from '@tracelake/domain';
import type { PartitionRecord, PartitionSummary } from '@tracelake/lakehouse';
import type { Queryable } from './postgres/database.ts';
import { fragment, type SqlStatement, sql } from './postgres/sql.ts';

/** Names the partitions of one view instance in one version of its schema. */
export interface InstanceKey {
  readonly viewSet: string;
  readonly instance: string;
  readonly schemaHash: string;
}

export type NewPartition = Omit<PartitionRecord, keyof InstanceKey> & {
  /** State after the last block, for the next run; undefined for views that do not fold, and for tails. */
  readonly carryOut?: Uint8Array | undefined;
};

/** Row of `SUMMARY_COLUMNS`. */
export interface SummaryRow {
  partition_id: string;
  view_set: string;
  instance: string;
  schema_hash: string;
  kind: 'run' | 'tail';
  source_hash: string;
  begin_us: bigint;
  end_us: bigint;
  min_event_ns: bigint | null;
  max_event_ns: bigint | null;
  carry_in_hash: string | null;
  carry_out_hash: string | null;
  object_key: string | null;
  row_count: bigint;
  event_count: bigint;
  size_bytes: bigint;
}

export interface PartitionRow extends SummaryRow {
  block_ids: string[];
}

const SUMMARY = `
  p.partition_id, p.view_set, p.instance, p.schema_hash, p.kind, p.source_hash,
  unix_us(p.begin_insert_time) AS begin_us, unix_us(p.end_insert_time) AS end_us,
  p.min_event_ns, p.max_event_ns, p.carry_in_hash, p.carry_out_hash, p.object_key, p.row_count,
  p.event_count, p.size_bytes`;

/** Of partitions `p`, without their blocks. */
export const SUMMARY_COLUMNS = fragment(SUMMARY);

export const PARTITION_COLUMNS = fragment(`${SUMMARY},
  ARRAY(SELECT pb.block_id FROM partition_blocks pb
    WHERE pb.partition_key = p.partition_key ORDER BY pb.position) AS block_ids`);

/** Oldest insert times first, tails last. */
export const PARTITION_ORDER = fragment(
  `p.kind = 'tail', p.begin_insert_time, p.end_insert_time, p.partition_id`,
);

export function partitionOf(row: PartitionRow): PartitionRecord {
  return { ...summaryOf(row), blockIds: row.block_ids as BlockId[] };
}

export function summaryOf(row: SummaryRow): PartitionSummary {
  return {
    partitionId: row.partition_id,
    viewSet: row.view_set,
    instance: row.instance,
    schemaHash: row.schema_hash,
    kind: row.kind,
    sourceHash: row.source_hash,
    beginInsertUs: row.begin_us,
    endInsertUs: row.end_us,
    minEventNs: row.min_event_ns,
    maxEventNs: row.max_event_ns,
    carryInHash: row.carry_in_hash,
    carryOutHash: row.carry_out_hash,
    objectKey: row.object_key,
    rowCount: Number(row.row_count),
    eventCount: Number(row.event_count),
    sizeBytes: Number(row.size_bytes),
  };
}

/** One statement for the row, its blocks in order, and its carry. */
export function insertPartitionStatement(key: InstanceKey, partition: NewPartition): SqlStatement {
  const p = partition;
  return sql`
    WITH new AS (
      INSERT INTO partitions (partition_id, view_set, instance, schema_hash, kind, source_hash,
        begin_insert_time, end_insert_time, min_event_ns, max_event_ns, carry_in_hash,
        carry_out_hash, object_key, row_count, event_count, size_bytes)
      VALUES (${p.partitionId}, ${key.viewSet}, ${key.instance}, ${key.schemaHash}, ${p.kind},
        ${p.sourceHash}, from_unix_us(${p.beginInsertUs}::bigint),
        from_unix_us(${p.endInsertUs}::bigint), ${p.minEventNs}, ${p.maxEventNs}, ${p.carryInHash},
        ${p.carryOutHash}, ${p.objectKey}, ${p.rowCount}, ${p.eventCount}, ${p.sizeBytes})
      RETURNING partition_key),
    carry AS (
      INSERT INTO carries (partition_key, carry_out)
      SELECT partition_key, ${p.carryOut ?? null}::bytea FROM new WHERE ${p.carryOut !== undefined})
    INSERT INTO partition_blocks (view_set, instance, schema_hash, block_id, partition_key, position)
    SELECT ${key.viewSet}, ${key.instance}, ${key.schemaHash}, block_id, partition_key, position
    FROM new, unnest(${p.blockIds}::uuid[]) WITH ORDINALITY AS covered (block_id, position)`;
}

/** Locks the rows that a commit replaces, in one order for all writers. */
export async function lockPartitions(
  db: Queryable,
  key: InstanceKey,
  partitionIds: readonly string[],
): Promise<{ partition_key: bigint; object_key: string | null }[]> {
  return db.query(sql`
    SELECT partition_key, object_key FROM partitions
    WHERE view_set = ${key.viewSet} AND instance = ${key.instance}
      AND schema_hash = ${key.schemaHash} AND partition_id = ANY(${partitionIds}::text[])
    ORDER BY partition_key FOR UPDATE`);
}
