/**
 * Read leases keep the objects of a running export or query. A lease is opened before its reader takes a snapshot
 * of the catalog, and remembers which transactions were committed then: an object whose retirement was
 * committed by then is not in the reader's snapshot and may go, any other may not. Times would not tell,
 * because a retirement is stamped before it is committed.
 */
import { ensureExists } from '@tracelake/domain';
import type { Queryable } from './postgres/database.ts';
import { prepared, sql } from './postgres/sql.ts';
import { StorageError } from './storage-error.ts';

export interface ReadLeaseOptions {
  /** Who reads, for a person who looks at the table. */
  readonly owner: string;
  /** Default 60,000. It is renewed each third of this. */
  readonly ttlMs?: number;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_TTL_MS = 60_000;

/** Holds off the removal of objects; renews itself until it is disposed of. */
export class ReadLease implements AsyncDisposable {
  readonly leaseId: string;
  readonly #db: Queryable;
  readonly #ttlMs: number;
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #renewedAtMs: number;
  #renewing: Promise<void> | undefined;

  constructor(db: Queryable, leaseId: string, ttlMs: number, openedAtMs: number) {
    this.#db = db;
    this.leaseId = leaseId;
    this.#ttlMs = ttlMs;
    this.#renewedAtMs = openedAtMs;
    this.#timer = setInterval(() => {
      this.#renewing ??= this.#renewOrGiveUp().finally(() => {
        this.#renewing = undefined;
      });
    }, ttlMs / 3);
    this.#timer.unref();
  }

  /** Fires, with a StorageError 'storage.lease-lost', once objects may vanish: the reader must stop. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Throws 'storage.lease-lost' when it has expired. */
  async renew(): Promise<void> {
    const startedAtMs = performance.now();
    const rows = await this.#db.query(
      sql`
        UPDATE read_leases
        SET expires_at = clock_timestamp() + ${this.#ttlMs}::double precision * interval '1 millisecond'
        WHERE lease_id = ${this.leaseId} AND expires_at > clock_timestamp()
        RETURNING lease_id`,
    );
    if (rows.length === 0) throw this.#lostError();
    this.#renewedAtMs = startedAtMs;
  }

  /** Lets retired objects go. An unreachable database does not matter: the lease expires. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    await this.#db
      .query(
        prepared('read-lease-close', sql`DELETE FROM read_leases WHERE lease_id = ${this.leaseId}`),
      )
      .catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** An outage shorter than the lease costs nothing. */
  async #renewOrGiveUp(): Promise<void> {
    try {
      await this.renew();
    } catch (error) {
      const isLost = error instanceof StorageError && error.code === 'storage.lease-lost';
      if (!isLost && performance.now() - this.#renewedAtMs < this.#ttlMs) return;
      clearInterval(this.#timer);
      this.#lost.abort(isLost ? error : this.#lostError(error));
    }
  }

  #lostError(cause?: unknown): StorageError {
    return new StorageError('storage.lease-lost', 'the read lease has expired', {
      cause,
      retryable: true,
      details: { leaseId: this.leaseId },
    });
  }
}

/** `on`: the connection that opens it, where the look that it is for follows at once; any other keeps it. */
export async function openReadLease(
  db: Queryable,
  options: ReadLeaseOptions,
  on: Queryable = db,
): Promise<ReadLease> {
  const ttlMs = options.ttlMs ?? DEFAULT_TTL_MS;
  const openedAtMs = performance.now();
  const statement = sql`
    INSERT INTO read_leases (owner, expires_at)
    VALUES (${options.owner},
      clock_timestamp() + ${ttlMs}::double precision * interval '1 millisecond')
    RETURNING lease_id`;
  const [row] = await on.query<{ lease_id: string }>(
    prepared('read-lease-open', statement),
    options.signal,
  );
  return new ReadLease(db, ensureExists(row, 'the lease').lease_id, ttlMs, openedAtMs);
}
