import type { Queryable } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';

/** What proves that work on a lane is its owner's: a commit that names an old number is refused. */
export interface LaneFence {
  readonly lane: number;
  /** Rises each time the lane changes hands. */
  readonly fencingNumber: bigint;
}

export interface LaneLease extends LaneFence {
  readonly owner: string;
  readonly isExpired: boolean;
}

export interface LaneLeaseRequest {
  readonly lane: number;
  readonly owner: string;
  readonly ttlMs: number;
}

export interface LaneRenewal {
  readonly owner: string;
  readonly ttlMs: number;
  readonly held: readonly LaneFence[];
}

/**
 * The tables `lane_leases` and `lane_replicas`: one owner of a lane at a time, and who could be one. Expiry is by the
 * database's clock; it lets others in and takes nothing away by itself.
 */
export class LaneLeaseRepository {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /**
   * Takes a lane that nobody holds, or that `owner` holds already, once commits under the old number are over.
   * Resolves with the fencing number, or undefined while another holds it.
   */
  async acquire(
    { lane, owner, ttlMs }: LaneLeaseRequest,
    signal?: AbortSignal,
  ): Promise<bigint | undefined> {
    const [row] = await this.#db.query<{ fencing_number: bigint }>(
      // The strong lock waits for commits, which hold the row FOR KEY SHARE; renewals need not.
      sql`
        WITH locked AS (SELECT lane FROM lane_leases WHERE lane = ${lane} FOR UPDATE)
        INSERT INTO lane_leases AS held (lane, owner, fencing_number, expires_at)
        SELECT ${lane}::integer, ${owner}, 1,
          clock_timestamp() + ${ttlMs}::double precision * interval '1 millisecond'
        FROM (SELECT count(*) FROM locked) AS waited
        ON CONFLICT (lane) DO UPDATE
          SET owner = excluded.owner, expires_at = excluded.expires_at,
            fencing_number = held.fencing_number + 1
          WHERE held.expires_at <= clock_timestamp() OR held.owner = excluded.owner
        RETURNING fencing_number`,
      signal,
    );
    return row?.fencing_number;
  }

  /**
   * Resolves with those of the lanes that have not changed hands. A lease that has expired and that nobody took is
   * still its owner's: who was paused for a while would otherwise drop work that nobody else does.
   */
  async renew(
    { owner, ttlMs, held }: LaneRenewal,
    signal?: AbortSignal,
  ): Promise<ReadonlySet<number>> {
    const lanes = held.map((fence) => fence.lane);
    const numbers = held.map((fence) => fence.fencingNumber);
    const rows = await this.#db.query<{ lane: number }>(
      sql`
        UPDATE lane_leases AS lease
        SET expires_at = clock_timestamp() + ${ttlMs}::double precision * interval '1 millisecond'
        FROM unnest(${lanes}::integer[], ${numbers}::bigint[]) AS held (lane, fencing_number)
        WHERE lease.lane = held.lane AND lease.fencing_number = held.fencing_number
          AND lease.owner = ${owner}
        RETURNING lease.lane`,
      signal,
    );
    return new Set(rows.map((row) => row.lane));
  }

  /**
   * Lets the next owner in at once, and refuses what the old one may still try to commit. The row stays: its fencing
   * number must go on rising. Harmless when the lane is another's by now.
   */
  async release(
    { lane, owner, fencingNumber }: LaneFence & { readonly owner: string },
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#db.query(
      sql`UPDATE lane_leases
        SET expires_at = '-infinity', fencing_number = fencing_number + 1
        WHERE lane = ${lane} AND owner = ${owner} AND fencing_number = ${fencingNumber}`,
      signal,
    );
  }

  async list(signal?: AbortSignal): Promise<LaneLease[]> {
    const rows = await this.#db.query<{
      lane: number;
      owner: string;
      fencing_number: bigint;
      is_expired: boolean;
    }>(
      sql`SELECT lane, owner, fencing_number, expires_at <= clock_timestamp() AS is_expired
        FROM lane_leases ORDER BY lane`,
      signal,
    );
    return rows.map((row) => ({
      lane: row.lane,
      owner: row.owner,
      fencingNumber: row.fencing_number,
      isExpired: row.is_expired,
    }));
  }

  /** Says that a replica is alive for a while, and forgets those that have long not said so. */
  async announceReplica(
    { owner, ttlMs }: Omit<LaneLeaseRequest, 'lane'>,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#db.query(
      sql`
        WITH forgotten AS (
          DELETE FROM lane_replicas WHERE owner IN (
            SELECT owner FROM lane_replicas
            WHERE expires_at < clock_timestamp() - interval '1 hour' AND owner <> ${owner}
            FOR UPDATE SKIP LOCKED))
        INSERT INTO lane_replicas (owner, expires_at)
        VALUES (${owner},
          clock_timestamp() + ${ttlMs}::double precision * interval '1 millisecond')
        ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at`,
      signal,
    );
  }

  /** The replicas that are alive. */
  async listReplicas(signal?: AbortSignal): Promise<string[]> {
    const rows = await this.#db.query<{ owner: string }>(
      sql`SELECT owner FROM lane_replicas WHERE expires_at > clock_timestamp() ORDER BY owner`,
      signal,
    );
    return rows.map((row) => row.owner);
  }

  /** The replica is gone, and the others need not wait to see it. */
  async removeReplica(owner: string, signal?: AbortSignal): Promise<void> {
    await this.#db.query(sql`DELETE FROM lane_replicas WHERE owner = ${owner}`, signal);
  }
}
