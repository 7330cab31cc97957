/** What a sweeper may delete from the object store. Nothing here deletes. */

import { PARTITION_PREFIX } from './object-keys.ts';
import type { ObjectEntry, ObjectStore } from './object-store/object-store.ts';
import type { Queryable } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';

/**
 * Retired objects that no reader can hold, oldest first. After deleting one call `forgetRetired`; deleting twice is
 * harmless.
 */
export async function listRetirable(
  db: Queryable,
  { limit }: { readonly limit: number },
  signal?: AbortSignal,
): Promise<string[]> {
  const rows = await db.query<{ object_key: string }>(
    sql`
      SELECT r.object_key FROM retired_objects r
      WHERE NOT EXISTS (
        SELECT FROM read_leases l
        WHERE l.expires_at > clock_timestamp()
          AND NOT pg_visible_in_snapshot(r.retired_by, l.opened_snapshot))
      ORDER BY r.retired_at LIMIT ${limit}::bigint`,
    signal,
  );
  return rows.map((row) => row.object_key);
}

/** Takes deleted objects off the list of the retired. */
export async function forgetRetired(
  db: Queryable,
  keys: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  await db.query(sql`DELETE FROM retired_objects WHERE object_key = ANY(${keys}::text[])`, signal);
}

/** Names the partitions of one view that are of another version of its schema. */
export interface SupersededFilter {
  readonly viewSet: string;
  readonly schemaHash: string;
  /** Age of a partition at least: replicas of two versions at work side by side must not undo each other's work. */
  readonly olderThanMs: number;
  readonly limit: number;
}

/**
 * Takes partitions of other schema versions out of the catalog where partitions of `schemaHash` cover every block of
 * theirs that is still there; their objects are retired, so that a reader with a lease keeps them. Resolves with how
 * many partitions went; at most `limit`.
 */
export async function retireSuperseded(
  db: Queryable,
  { viewSet, schemaHash, olderThanMs, limit }: SupersededFilter,
  signal?: AbortSignal,
): Promise<number> {
  const [row] = await db.query<{ count: bigint }>(
    sql`
      WITH superseded AS (
        SELECT p.partition_key FROM partitions p
        WHERE p.view_set = ${viewSet} AND p.schema_hash <> ${schemaHash}
          AND p.written_at < clock_timestamp() - ${olderThanMs}::double precision * interval '1 millisecond'
          AND EXISTS (SELECT FROM partitions n
            WHERE n.view_set = p.view_set AND n.instance = p.instance AND n.schema_hash = ${schemaHash})
          AND NOT EXISTS (
            SELECT FROM partition_blocks pb JOIN blocks b ON b.block_id = pb.block_id
            WHERE pb.partition_key = p.partition_key AND NOT EXISTS (
              SELECT FROM partition_blocks covered
              WHERE covered.view_set = p.view_set AND covered.instance = p.instance
                AND covered.schema_hash = ${schemaHash} AND covered.block_id = pb.block_id))
        ORDER BY p.partition_key LIMIT ${limit}::bigint FOR UPDATE SKIP LOCKED),
      gone AS (
        DELETE FROM partitions WHERE partition_key IN (SELECT partition_key FROM superseded)
        RETURNING object_key),
      retired AS (
        INSERT INTO retired_objects (object_key) SELECT object_key FROM gone WHERE object_key IS NOT NULL
        ON CONFLICT (object_key) DO UPDATE
          SET retired_at = clock_timestamp(), retired_by = pg_current_xact_id())
      SELECT count(*) AS count FROM gone`,
    signal,
  );
  return Number(row?.count ?? 0n);
}

/** Leases whose reader is gone. Resolves with how many there were. */
export async function deleteExpiredLeases(db: Queryable, signal?: AbortSignal): Promise<number> {
  const rows = await db.query(
    sql`DELETE FROM read_leases WHERE expires_at <= clock_timestamp() RETURNING lease_id`,
    signal,
  );
  return rows.length;
}

export interface OrphanOptions {
  /** Age from which an object that no row names counts: far more than a build takes to commit. */
  readonly olderThanMs: number;
  readonly signal?: AbortSignal | undefined;
}

const LOOKUP_BATCH = 500;

/**
 * Partition files that no row names: their writer crashed or lost a race. Raw blocks are never listed: one without
 * a row may be about to get it, and its client may have been told that it is durable.
 */
export async function* listOrphans(
  db: Queryable,
  store: ObjectStore,
  { olderThanMs, signal }: OrphanOptions,
): AsyncGenerator<ObjectEntry> {
  const newestMs = Date.now() - olderThanMs;
  let batch: ObjectEntry[] = [];
  for await (const entry of store.list(PARTITION_PREFIX, signal)) {
    if (entry.modifiedMs > newestMs) continue;
    batch.push(entry);
    if (batch.length < LOOKUP_BATCH) continue;
    yield* await withoutRow(db, batch, signal);
    batch = [];
  }
  yield* await withoutRow(db, batch, signal);
}

async function withoutRow(
  db: Queryable,
  entries: readonly ObjectEntry[],
  signal: AbortSignal | undefined,
): Promise<ObjectEntry[]> {
  if (entries.length === 0) return [];
  const keys = entries.map((entry) => entry.key);
  const named = await db.query<{ object_key: string }>(
    sql`SELECT object_key FROM partitions WHERE object_key = ANY(${keys}::text[])
      UNION ALL SELECT object_key FROM retired_objects WHERE object_key = ANY(${keys}::text[])`,
    signal,
  );
  const known = new Set(named.map((row) => row.object_key));
  return entries.filter((entry) => !known.has(entry.key));
}
