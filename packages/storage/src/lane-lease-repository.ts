import type { Queryable } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';

export interface LaneLease {
  readonly lane: number;
  readonly owner: string;
  /** Rises with each change of owner. */
  readonly fencingNumber: bigint;
  readonly isExpired: boolean;
}

export interface LaneLeaseRequest {
  readonly lane: number;
  readonly owner: string;
  readonly ttlMs: number;
}

/** The `lane_leases` table: one owner of a lane at a time. Expiry is by the database's clock. */
export class LaneLeaseRepository {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /**
   * Takes a lane that nobody holds, or that `owner` holds already. Resolves with the fencing number, or undefined
   * while another holds it.
   */
  async acquire(
    { lane, owner, ttlMs }: LaneLeaseRequest,
    signal?: AbortSignal,
  ): Promise<bigint | undefined> {
    const [row] = await this.#db.query<{ fencing_number: bigint }>(
      sql`
        INSERT INTO lane_leases AS held (lane, owner, fencing_number, expires_at)
        VALUES (${lane}, ${owner}, 1,
          clock_timestamp() + ${ttlMs}::double precision * interval '1 millisecond')
        ON CONFLICT (lane) DO UPDATE
          SET owner = excluded.owner, expires_at = excluded.expires_at,
            fencing_number = held.fencing_number + 1
          WHERE held.expires_at <= clock_timestamp() OR held.owner = excluded.owner
        RETURNING fencing_number`,
      signal,
    );
    return row?.fencing_number;
  }

  /** False when the lease has passed to another owner, or has expired and could. */
  async renew(
    { lane, owner, ttlMs, fencingNumber }: LaneLeaseRequest & { readonly fencingNumber: bigint },
    signal?: AbortSignal,
  ): Promise<boolean> {
    const rows = await this.#db.query(
      sql`
        UPDATE lane_leases
        SET expires_at = clock_timestamp() + ${ttlMs}::double precision * interval '1 millisecond'
        WHERE lane = ${lane} AND owner = ${owner} AND fencing_number = ${fencingNumber}
          AND expires_at > clock_timestamp()
        RETURNING lane`,
      signal,
    );
    return rows.length === 1;
  }

  /** Lets the next owner in at once. The row stays: its fencing number must go on rising. */
  async release(
    { lane, owner }: Omit<LaneLeaseRequest, 'ttlMs'>,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#db.query(
      sql`UPDATE lane_leases SET expires_at = '-infinity' WHERE lane = ${lane} AND owner = ${owner}`,
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
}
