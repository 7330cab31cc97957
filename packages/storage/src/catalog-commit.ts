/** The one transaction that makes built partitions visible. */
import type { BlockId } from '@tracelake/domain';
import type { LaneFence } from './lane-lease-repository.ts';
import {
  type InstanceKey,
  insertPartitionStatement,
  lockPartitions,
  type NewPartition,
} from './partition-rows.ts';
import type { Database, Queryable } from './postgres/database.ts';
import { isConflict } from './postgres/database-error.ts';
import { sql } from './postgres/sql.ts';
import { storableText } from './postgres/storable-text.ts';

export interface CommitRequest extends InstanceKey {
  /** Ids of the partitions that the new ones take the place of; all must still be there. */
  readonly replaces: readonly string[];
  readonly insert: readonly NewPartition[];
  /** The carry-out that the first new run was folded from: some other run of the instance must still have it. */
  readonly expectPredecessorCarryHash?: string | undefined;
  /**
   * Of the blocks covered by `insert`, those that could not be decoded; the others count as decoded. Left out,
   * `rejected_blocks` stays as it is.
   */
  readonly rejected?: readonly RejectedBlock[] | undefined;
  /** Of work that only the owner of a lane may commit. */
  readonly fence?: LaneFence | undefined;
}

export interface RejectedBlock {
  readonly blockId: BlockId;
  readonly reason: string;
}

export type CommitOutcome = 'committed' | 'conflict' | 'fenced';

/** Thrown inside the transaction to roll it back. */
class LostRace extends Error {}
class LostLane extends Error {}

export async function commitPartitions(
  db: Database,
  request: CommitRequest,
  signal?: AbortSignal,
): Promise<CommitOutcome> {
  try {
    await db.transaction((transaction) => replaceAndInsert(transaction, request), { signal });
    return 'committed';
  } catch (error) {
    if (error instanceof LostLane) return 'fenced';
    if (error instanceof LostRace || isConflict(error)) return 'conflict';
    throw error;
  }
}

async function replaceAndInsert(db: Queryable, request: CommitRequest): Promise<void> {
  if (request.fence !== undefined) await checkFence(db, request.fence);
  await retireReplaced(db, request);
  if (request.expectPredecessorCarryHash !== undefined) {
    await checkPredecessor(db, request, request.expectPredecessorCarryHash);
  }
  for (const partition of request.insert) {
    await db.query(insertPartitionStatement(request, partition));
  }
  if (request.rejected !== undefined) await recordRejected(db, request, request.rejected);
}

/**
 * Who stands still in the middle of a commit (a paused machine) would keep its lane from everybody: after this
 * long between two statements the server ends the transaction.
 */
const COMMIT_IDLE_MS = 5000;

/** Holds the lane until the commit: whoever takes it over waits until then, and is the only one from then on. */
async function checkFence(db: Queryable, { lane, fencingNumber }: LaneFence): Promise<void> {
  const rows = await db.query(
    sql`SELECT lane, set_config('idle_in_transaction_session_timeout', ${String(COMMIT_IDLE_MS)}, true)
      FROM lane_leases WHERE lane = ${lane} AND fencing_number = ${fencingNumber} FOR KEY SHARE`,
  );
  if (rows.length === 0) throw new LostLane();
}

async function retireReplaced(db: Queryable, request: CommitRequest): Promise<void> {
  if (request.replaces.length === 0) return;
  const rows = await lockPartitions(db, request, request.replaces);
  if (rows.length !== new Set(request.replaces).size) throw new LostRace();
  const kept = new Set(request.insert.map((partition) => partition.objectKey));
  const retired = rows.flatMap(({ object_key }) =>
    object_key === null || kept.has(object_key) ? [] : [object_key],
  );
  await db.query(
    sql`DELETE FROM partitions
      WHERE partition_key = ANY(${rows.map((row) => row.partition_key)}::bigint[])`,
  );
  if (retired.length === 0) return;
  await db.query(
    sql`INSERT INTO retired_objects (object_key) SELECT unnest(${retired}::text[])
      ON CONFLICT (object_key) DO UPDATE
        SET retired_at = clock_timestamp(), retired_by = pg_current_xact_id()`,
  );
}

/** Holds the predecessor's row until the commit, so that it cannot be replaced meanwhile. */
async function checkPredecessor(
  db: Queryable,
  { viewSet, instance, schemaHash }: InstanceKey,
  carryHash: string,
): Promise<void> {
  const rows = await db.query(sql`
    SELECT partition_key FROM partitions
    WHERE view_set = ${viewSet} AND instance = ${instance} AND schema_hash = ${schemaHash}
      AND kind = 'run' AND carry_out_hash = ${carryHash}
    ORDER BY partition_key FOR SHARE`);
  if (rows.length === 0) throw new LostRace();
}

/** Keeps `rejected_blocks` in step with what the catalog covers: a block that decodes now is no longer in it. */
async function recordRejected(
  db: Queryable,
  request: CommitRequest,
  rejected: readonly RejectedBlock[],
): Promise<void> {
  const bad = new Set(rejected.map((block) => block.blockId));
  const decoded = request.insert.flatMap((partition) =>
    partition.blockIds.filter((id) => !bad.has(id)),
  );
  await db.query(
    sql`DELETE FROM rejected_blocks
      WHERE view_set = ${request.viewSet} AND block_id = ANY(${decoded}::uuid[])`,
  );
  await insertRejected(db, request.viewSet, rejected);
}

export async function insertRejected(
  db: Queryable,
  viewSet: string,
  rejected: readonly RejectedBlock[],
  signal?: AbortSignal,
): Promise<void> {
  if (rejected.length === 0) return;
  await db.query(
    sql`
      INSERT INTO rejected_blocks (view_set, block_id, reason)
      SELECT DISTINCT ON (block_id) ${viewSet}, block_id, reason
      FROM unnest(${rejected.map((block) => block.blockId)}::uuid[],
        ${rejected.map((block) => storableText(block.reason))}::text[]) AS bad (block_id, reason)
      ORDER BY block_id
      ON CONFLICT (view_set, block_id) DO UPDATE
        SET reason = excluded.reason, rejected_at = clock_timestamp()`,
    signal,
  );
}
