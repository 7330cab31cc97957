import type { BlockId, StreamId } from '@tracelake/domain';
import type { PartitionRecord, SourceBlock } from '@tracelake/lakehouse';
import { BLOCK_COLUMNS, type BlockRow, sourceBlockOf } from './block-repository.ts';
import {
  type CommitOutcome,
  type CommitRequest,
  commitPartitions,
  insertRejected,
  type RejectedBlock,
} from './catalog-commit.ts';
import { type ClaimKey, releaseClaim, renewClaim, tryClaim } from './claims.ts';
import {
  type InstanceRequest,
  type InstanceSnapshot,
  readInstanceSnapshot,
} from './instance-snapshot.ts';
import { type BehindFilter, type InstanceBehind, listInstancesBehind } from './instances-behind.ts';
import {
  type LakeSnapshot,
  type LakeSnapshotRequest,
  type ProcessSnapshot,
  type ProcessSnapshotRequest,
  readLakeSnapshot,
  readProcessSnapshot,
} from './lake-snapshot.ts';
import type { LookMoment } from './look-moment.ts';
import { forgetRetired, listRetirable } from './object-sweeping.ts';
import {
  type InstanceKey,
  PARTITION_COLUMNS,
  PARTITION_ORDER,
  type PartitionRow,
  partitionOf,
} from './partition-rows.ts';
import type { Database } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';
import { openReadLease, type ReadLease, type ReadLeaseOptions } from './read-lease.ts';

/** Statements over lists of instances, of which a planner learns nothing. */
const LOOK = { isolation: 'repeatable read', readOnly: true, keepsPlans: true } as const;

export interface ListedRejection extends RejectedBlock {
  readonly viewSet: string;
  readonly rejectedAtUs: bigint;
}

interface LeasedLook {
  /** For whoever closes it. */
  readonly lease: ReadLease;
  readonly snapshot: LakeSnapshot;
}

/** The catalog of partitions: what is built, what is wanted, who builds, who reads. Methods throw StorageError. */
export class PartitionCatalog {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** One moment of one view instance, for planning: three statements. */
  async loadSnapshot(request: InstanceRequest, signal?: AbortSignal): Promise<InstanceSnapshot> {
    return this.#db.transaction((transaction) => readInstanceSnapshot(transaction, request), {
      ...LOOK,
      signal,
    });
  }

  /**
   * One moment of every instance that a process has in `views`, for an export: three statements. `since`: the moment
   * of the first of several looks, whose blocks are the target.
   */
  async loadProcessSnapshot(
    request: ProcessSnapshotRequest,
    signal?: AbortSignal,
    since?: LookMoment,
  ): Promise<ProcessSnapshot> {
    return this.#db.transaction((transaction) => readProcessSnapshot(transaction, request, since), {
      ...LOOK,
      signal,
    });
  }

  /** One moment of any set of view instances, for a query: three statements. */
  async loadLakeSnapshot(
    request: LakeSnapshotRequest,
    signal?: AbortSignal,
  ): Promise<LakeSnapshot> {
    return this.#db.transaction((transaction) => readLakeSnapshot(transaction, request), {
      ...LOOK,
      signal,
    });
  }

  /** The blocks that partitions of an instance cover, in the order in which the runs have them. */
  async loadCoveredBlocks(
    { viewSet, instance, schemaHash }: InstanceKey,
    partitionIds: readonly string[],
    signal?: AbortSignal,
  ): Promise<SourceBlock[]> {
    const rows = await this.#db.query<BlockRow>(
      sql`SELECT ${BLOCK_COLUMNS}
        FROM unnest(${partitionIds}::text[]) WITH ORDINALITY AS run (partition_id, number)
        JOIN partitions p ON p.view_set = ${viewSet} AND p.instance = ${instance}
          AND p.schema_hash = ${schemaHash} AND p.partition_id = run.partition_id
        JOIN partition_blocks pb ON pb.partition_key = p.partition_key
        JOIN blocks b ON b.block_id = pb.block_id
        ORDER BY run.number, pb.position`,
      signal,
    );
    return rows.map(sourceBlockOf);
  }

  /** Of some blocks, those that a view could not decode, and why. */
  async findRejected(
    viewSet: string,
    blockIds: readonly BlockId[],
    signal?: AbortSignal,
  ): Promise<RejectedBlock[]> {
    if (blockIds.length === 0) return [];
    const rows = await this.#db.query<{ block_id: BlockId; reason: string }>(
      sql`SELECT block_id, reason FROM rejected_blocks
        WHERE view_set = ${viewSet} AND block_id = ANY(${blockIds}::uuid[])`,
      signal,
    );
    return rows.map((row) => ({ blockId: row.block_id, reason: row.reason }));
  }

  /** What a view could not decode of some streams of a process, at most `limit`, the latest first. */
  async listRejectedOf(
    of: {
      readonly viewSet: string;
      readonly streamIds: readonly StreamId[];
      readonly limit: number;
    },
    signal?: AbortSignal,
  ): Promise<RejectedBlock[]> {
    const rows = await this.#db.query<{ block_id: BlockId; reason: string }>(
      sql`SELECT r.block_id, r.reason FROM rejected_blocks r JOIN blocks b USING (block_id)
        WHERE r.view_set = ${of.viewSet} AND b.stream_id = ANY(${of.streamIds}::uuid[])
        ORDER BY r.rejected_at DESC, r.block_id LIMIT ${of.limit}::bigint`,
      signal,
    );
    return rows.map((row) => ({ blockId: row.block_id, reason: row.reason }));
  }

  /** The carry-out of a partition; undefined when it has none or is no longer there. */
  async loadCarry(partitionId: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const [row] = await this.#db.query<{ carry_out: Uint8Array }>(
      sql`SELECT c.carry_out FROM carries c JOIN partitions p USING (partition_key)
        WHERE p.partition_id = ${partitionId} LIMIT 1`,
      signal,
    );
    return row?.carry_out;
  }

  /**
   * Replaces and inserts partitions in one transaction. 'conflict' when another writer was first: a replaced
   * partition is gone, a block is covered already, or the predecessor has changed. Then nothing is written: drop
   * the work, delete the objects it made, and plan again. 'fenced' when the lane of `request.fence` has changed hands:
   * nothing is written, and what is left is the new owner's to do.
   */
  async commit(request: CommitRequest, signal?: AbortSignal): Promise<CommitOutcome> {
    return commitPartitions(this.#db, request, signal);
  }

  async listPartitions(
    viewSet: string,
    instance: string,
    signal?: AbortSignal,
  ): Promise<PartitionRecord[]> {
    const rows = await this.#db.query<PartitionRow>(
      sql`SELECT ${PARTITION_COLUMNS} FROM partitions p
        WHERE p.view_set = ${viewSet} AND p.instance = ${instance}
        ORDER BY p.schema_hash, ${PARTITION_ORDER}`,
      signal,
    );
    return rows.map(partitionOf);
  }

  /** View instances that have wanted blocks which no partition covers, for catching up. */
  async listInstancesBehind(filter: BehindFilter, signal?: AbortSignal): Promise<InstanceBehind[]> {
    return listInstancesBehind(this.#db, filter, signal);
  }

  /** Records that a view cannot decode a block. `commit` does it in its own transaction when told. */
  async rejectBlock(
    { viewSet, blockId, reason }: RejectedBlock & { readonly viewSet: string },
    signal?: AbortSignal,
  ): Promise<void> {
    await insertRejected(this.#db, viewSet, [{ blockId, reason }], signal);
  }

  async listRejected(
    filter: { readonly viewSet?: string; readonly limit: number },
    signal?: AbortSignal,
  ): Promise<ListedRejection[]> {
    const viewSet = filter.viewSet ?? null;
    const rows = await this.#db.query<{
      view_set: string;
      block_id: BlockId;
      reason: string;
      rejected_us: bigint;
    }>(
      sql`SELECT view_set, block_id, reason, unix_us(rejected_at) AS rejected_us
        FROM rejected_blocks WHERE ${viewSet}::text IS NULL OR view_set = ${viewSet}::text
        ORDER BY rejected_at DESC, view_set, block_id LIMIT ${filter.limit}::bigint`,
      signal,
    );
    return rows.map((row) => ({
      viewSet: row.view_set,
      blockId: row.block_id,
      reason: row.reason,
      rejectedAtUs: row.rejected_us,
    }));
  }

  /** True when nobody else holds the claim, or its holder has let it expire. */
  async tryClaim(
    claim: ClaimKey & { readonly ttlMs: number },
    signal?: AbortSignal,
  ): Promise<boolean> {
    return tryClaim(this.#db, claim, signal);
  }

  /** False when the claim is lost. */
  async renewClaim(
    claim: ClaimKey & { readonly ttlMs: number },
    signal?: AbortSignal,
  ): Promise<boolean> {
    return renewClaim(this.#db, claim, signal);
  }

  async releaseClaim(claim: ClaimKey, signal?: AbortSignal): Promise<void> {
    await releaseClaim(this.#db, claim, signal);
  }

  /** Open it before the snapshot whose objects it must keep. */
  async openReadLease(options: ReadLeaseOptions): Promise<ReadLease> {
    return openReadLease(this.#db, options);
  }

  /** A lease and the look whose objects it keeps, taken after it and asked for together. */
  async openLeaseWithLook(
    options: ReadLeaseOptions,
    request: LakeSnapshotRequest,
  ): Promise<LeasedLook> {
    return this.#db.connection(async (connection) => {
      const opening = openReadLease(this.#db, options, connection);
      const looking = connection.transaction(
        (transaction) => readLakeSnapshot(transaction, request),
        LOOK,
      );
      const [opened, looked] = await Promise.allSettled([opening, looking]);
      if (opened.status === 'rejected') throw opened.reason;
      if (looked.status === 'fulfilled') return { lease: opened.value, snapshot: looked.value };
      await opened.value.close();
      throw looked.reason;
    }, options.signal);
  }

  /** Keys of retired objects that no reader can hold, oldest first. */
  async listRetirable(
    options: { readonly limit: number },
    signal?: AbortSignal,
  ): Promise<string[]> {
    return listRetirable(this.#db, options, signal);
  }

  /** To be called once the objects are deleted. */
  async forgetRetired(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    await forgetRetired(this.#db, keys, signal);
  }
}
