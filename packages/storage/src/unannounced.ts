/** The queue of rows that are durable and not yet announced on the bus. */
import type { Queryable } from './postgres/database.ts';
import { prepared, sql } from './postgres/sql.ts';

export type AnnouncedKind = 'process' | 'stream' | 'block';

export interface UnannouncedFilter {
  /** Leaves out what was stored less than this ago: its announcement is on its way. */
  readonly olderThanMs: number;
  readonly limit: number;
}

export async function listUnannouncedIds(
  db: Queryable,
  kind: AnnouncedKind,
  { olderThanMs, limit }: UnannouncedFilter,
  signal?: AbortSignal,
): Promise<string[]> {
  const rows = await db.query<{ id: string }>(
    sql`SELECT id FROM unannounced
      WHERE kind = ${kind}
        AND since <= clock_timestamp() - ${olderThanMs}::double precision * interval '1 millisecond'
      ORDER BY since LIMIT ${limit}::bigint`,
    signal,
  );
  return rows.map((row) => row.id);
}

/** Takes rows off the queue. Announcing one twice is harmless, so a crash before this is too. */
export async function markAnnounced(
  db: Queryable,
  kind: AnnouncedKind,
  ids: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  if (ids.length === 0) return;
  // In one order, so that two relays that take the same ids do not lock each other out.
  const statement = sql`DELETE FROM unannounced u USING (
      SELECT kind, id FROM unannounced
      WHERE kind = ${kind} AND id = ANY(${ids}::uuid[]) ORDER BY id FOR UPDATE) AS done
    WHERE u.kind = done.kind AND u.id = done.id`;
  await db.query(prepared('unannounced-mark', statement), signal);
}

/**
 * Puts what was stored in the last `withinMs` back on the queue, oldest first and at most `limit` rows of each
 * kind: for when the bus has lost its messages. Resolves with the number of rows that were not on it.
 */
export async function requeueRecent(
  db: Queryable,
  { withinMs, limit }: { readonly withinMs: number; readonly limit: number },
  signal?: AbortSignal,
): Promise<number> {
  const rows = await db.query<{ queued: bigint }>(
    sql`
      WITH since AS (
        SELECT clock_timestamp() - ${withinMs}::double precision * interval '1 millisecond' AS t),
      recent AS (
        (SELECT 'process' AS kind, process_id AS id, insert_time FROM processes
          WHERE insert_time >= (SELECT t FROM since) ORDER BY insert_time LIMIT ${limit}::bigint)
        UNION ALL
        (SELECT 'stream', stream_id, insert_time FROM streams
          WHERE insert_time >= (SELECT t FROM since) ORDER BY insert_time LIMIT ${limit}::bigint)
        UNION ALL
        (SELECT 'block', block_id, insert_time FROM blocks
          WHERE insert_time >= (SELECT t FROM since) ORDER BY insert_time LIMIT ${limit}::bigint)),
      queued AS (
        INSERT INTO unannounced (kind, id, since) SELECT kind, id, insert_time FROM recent
        ON CONFLICT (kind, id) DO NOTHING RETURNING id)
      SELECT count(*) AS queued FROM queued`,
    signal,
  );
  return Number(rows[0]?.queued ?? 0n);
}
