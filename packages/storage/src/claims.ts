/** Claims: who builds a (view, instance) now, so that it is built once however many ask. */
import type { Queryable } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';

export interface ClaimKey {
  readonly viewSet: string;
  readonly instance: string;
  /** Different for each attempt: a claim is not shared by two tasks of one process. */
  readonly owner: string;
}

export async function tryClaim(
  db: Queryable,
  { viewSet, instance, owner, ttlMs }: ClaimKey & { readonly ttlMs: number },
  signal?: AbortSignal,
): Promise<boolean> {
  const rows = await db.query(
    sql`
      INSERT INTO claims AS held (view_set, instance, owner, expires_at)
      VALUES (${viewSet}, ${instance}, ${owner},
        clock_timestamp() + ${ttlMs}::double precision * interval '1 millisecond')
      ON CONFLICT (view_set, instance) DO UPDATE
        SET owner = excluded.owner, expires_at = excluded.expires_at
        WHERE held.expires_at <= clock_timestamp()
      RETURNING owner`,
    signal,
  );
  return rows.length === 1;
}

/**
 * False when the claim has passed to another owner. One that has expired and that nobody took is still its owner's:
 * who was too busy to renew in time would otherwise do all the work again, and be as busy.
 */
export async function renewClaim(
  db: Queryable,
  { viewSet, instance, owner, ttlMs }: ClaimKey & { readonly ttlMs: number },
  signal?: AbortSignal,
): Promise<boolean> {
  const rows = await db.query(
    sql`
      UPDATE claims
      SET expires_at = clock_timestamp() + ${ttlMs}::double precision * interval '1 millisecond'
      WHERE view_set = ${viewSet} AND instance = ${instance} AND owner = ${owner}
      RETURNING owner`,
    signal,
  );
  return rows.length === 1;
}

/** Harmless when the claim is another's by now. */
export async function releaseClaim(
  db: Queryable,
  { viewSet, instance, owner }: ClaimKey,
  signal?: AbortSignal,
): Promise<void> {
  await db.query(
    sql`DELETE FROM claims
      WHERE view_set = ${viewSet} AND instance = ${instance} AND owner = ${owner}`,
    signal,
  );
}
