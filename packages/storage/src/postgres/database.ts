/**
 * The connection pool. Values cross exactly: `bigint` for int8, raw text for timestamptz (statements convert
 * with `unix_us`), copies of their own for bytea. What is asked of one connection goes out at once and is answered in that
 * order: whoever does not wait between two statements saves a trip to the server.
 */
import { assert } from '@tracelake/domain';
import pg from 'pg';
import { StorageError } from '../storage-error.ts';
import { toStorageError } from './database-error.ts';
import { fragment, type SqlStatement, sql } from './sql.ts';

export interface DatabaseOptions {
  /** Connections held at most. Default 10. */
  readonly poolSize?: number;
  /** After which the server cuts a statement. Default 60,000. */
  readonly statementTimeoutMs?: number;
  /** For a connection, new or from the pool. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Shown in pg_stat_activity. Default `tracelake`. */
  readonly applicationName?: string;
}

export interface TransactionOptions {
  /** Default read committed. */
  readonly isolation?: 'read committed' | 'repeatable read';
  readonly readOnly?: boolean;
  /**
   * Statements made by `prepared` keep their plan whatever their parameters, where planning takes longer than they
   * run and the parameters tell the planner nothing.
   */
  readonly keepsPlans?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Runs statements; a transaction and the pool look the same to the repositories. */
export interface Queryable {
  /**
   * Resolves with the rows. A signal that fires drops the connection and throws the signal's reason. Throws
   * StorageError ('storage.database-unavailable', '-timeout', '-overloaded', 'storage.conflict': retryable).
   */
  query<Row = Record<string, unknown>>(
    statement: SqlStatement,
    signal?: AbortSignal,
  ): Promise<Row[]>;
}

/** One connection, held for a while. */
export interface Connection extends Queryable {
  /** As `query`, a row at a time as they come, so that a result of any length is never held. */
  forEachRow<Row>(statement: SqlStatement, onRow: (row: Row) => void): Promise<void>;
  /** Runs `work` in one transaction: commits when it resolves, rolls back when it throws. */
  transaction<T>(
    work: (transaction: Connection) => Promise<T>,
    options?: Omit<TransactionOptions, 'signal'>,
  ): Promise<T>;
}

/** How many callers may wait for one connection of the pool, each. */
const WAITERS_PER_CONNECTION_MAX = 100;

/** A bounded pool of connections to Postgres; disposing of it waits for running statements. */
export class Database implements Queryable, AsyncDisposable {
  readonly #pool: pg.Pool;
  readonly #poolSize: number;
  #closed: Promise<void> | undefined;

  constructor(pool: pg.Pool, poolSize: number) {
    this.#pool = pool;
    this.#poolSize = poolSize;
    // An idle connection that breaks is dropped by the pool; the next statement opens another.
    pool.on('error', () => {});
  }

  async query<Row>(statement: SqlStatement, signal?: AbortSignal): Promise<Row[]> {
    return this.#withClient(signal, (client) => runStatement<Row>(client, statement));
  }

  /** Runs `work` in one transaction: commits when it resolves, rolls back when it throws. */
  async transaction<T>(
    work: (transaction: Connection) => Promise<T>,
    { signal, ...options }: TransactionOptions = {},
  ): Promise<T> {
    return this.connection((connection) => connection.transaction(work, options), signal);
  }

  /** Runs `work` on one connection. `work` ends after all that it asked for. */
  async connection<T>(
    work: (connection: Connection) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    return this.#withClient(signal, (client) => work(connectionOf(client)));
  }

  /**
   * Runs `work` on one connection without a transaction, for what belongs to a session (advisory locks). The
   * connection is closed afterwards, which ends the session.
   */
  async session<T>(work: (session: Connection) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#withClient(signal, (client) => work(connectionOf(client)), {
      dropAfterwards: true,
    });
  }

  /** Answers whether the database does: one round trip. */
  async checkReady(signal?: AbortSignal): Promise<void> {
    await this.query(sql`SELECT 1`, signal);
  }

  /** Connections in use and callers waiting for one, for metrics. */
  get usage(): { readonly inUse: number; readonly waiting: number; readonly max: number } {
    return {
      inUse: this.#pool.totalCount - this.#pool.idleCount,
      waiting: this.#pool.waitingCount,
      max: this.#poolSize,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#pool.end();
    await this.#closed;
  }

  async #withClient<T>(
    signal: AbortSignal | undefined,
    work: (client: pg.PoolClient) => Promise<T>,
    { dropAfterwards = false } = {},
  ): Promise<T> {
    const client = await this.#connect(signal);
    // Without a listener a connection that breaks between two statements would end the process.
    const ignoreError = () => {};
    client.on('error', ignoreError);
    let released = false;
    const release = (drop: boolean) => {
      if (released) return;
      released = true;
      client.removeListener('error', ignoreError);
      client.release(drop);
    };
    const onAbort = () => {
      // Rejects the statements under way, for whose end the pool would wait.
      client.connection.stream.destroy();
      release(true);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const result = await work(client);
      release(dropAfterwards);
      return result;
    } catch (error) {
      release(dropAfterwards);
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async #connect(signal: AbortSignal | undefined): Promise<pg.PoolClient> {
    signal?.throwIfAborted();
    if (this.#pool.waitingCount >= this.#poolSize * WAITERS_PER_CONNECTION_MAX) {
      throw new StorageError(
        'storage.database-overloaded',
        'too many callers wait for a database connection',
        { retryable: true, details: { waiting: this.#pool.waitingCount } },
      );
    }
    const connecting = this.#pool.connect();
    try {
      return await (signal === undefined ? connecting : abortable(connecting, signal));
    } catch (error) {
      signal?.throwIfAborted();
      throw toStorageError(error);
    }
  }
}

/** Opens a pool; connections are made when first needed. Throws `storage.bad-database-url`. */
export function openDatabase(url: string, options: DatabaseOptions = {}): Database {
  const protocol = URL.parse(url)?.protocol;
  if (protocol !== 'postgres:' && protocol !== 'postgresql:') {
    // The URL may hold a password, so it is not repeated.
    throw new StorageError(
      'storage.bad-database-url',
      'the database URL must look like postgres://user:password@host:port/database',
    );
  }
  const poolSize = options.poolSize ?? 10;
  assert(Number.isInteger(poolSize) && poolSize > 0, 'poolSize is a positive integer');
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 10_000,
    idleTimeoutMillis: 30_000,
    allowExitOnIdle: true,
    keepAlive: true,
    pipeline: true,
    application_name: options.applicationName ?? 'tracelake',
    statement_timeout: options.statementTimeoutMs ?? 60_000,
    idle_in_transaction_session_timeout: 60_000,
    types: { getTypeParser: getTypeParser as typeof pg.types.getTypeParser },
  });
  return new Database(pool, poolSize);
}

const INT8 = 20;
const INT8_ARRAY = 1016;
const BYTEA = 17;
const TIMESTAMPTZ = 1184;
const UUID_ARRAY = 2951;

const parseTextByDefault = pg.types.getTypeParser(25);

function getTypeParser(oid: number, format?: 'text'): (text: string) => unknown {
  switch (oid) {
    case INT8:
      return BigInt;
    case INT8_ARRAY:
      return (text: string) => splitPlainArray(text).map(BigInt);
    case UUID_ARRAY:
      return splitPlainArray;
    case BYTEA:
      return parseBytea;
    case TIMESTAMPTZ:
      return parseTextByDefault;
    default:
      return pg.types.getTypeParser(oid, format);
  }
}

/** For arrays of one dimension whose elements never need quotes and are never null. */
function splitPlainArray(text: string): string[] {
  return text.length <= 2 ? [] : text.slice(1, -1).split(',');
}

/** A copy of its own: a view on Node's shared pool would drag that along when sent to a worker. */
function parseBytea(text: string): Uint8Array {
  return Uint8Array.fromHex(text.slice(2));
}

function connectionOf(client: pg.PoolClient): Connection {
  return {
    query: (statement) => runStatement(client, statement),
    forEachRow: (statement, onRow) => streamStatement(client, statement, onRow),
    transaction: (work, options) => runTransaction(client, work, options),
  };
}

async function runTransaction<T>(
  client: pg.PoolClient,
  work: (transaction: Connection) => Promise<T>,
  options: Omit<TransactionOptions, 'signal'> = {},
): Promise<T> {
  const begun = runStatement(client, beginStatement(options));
  // What would be written without the transaction must not be sent before it is there; reading does no harm.
  if (options.readOnly !== true) await begun;
  // Met below, or by the work's own statements.
  begun.catch(() => {});
  try {
    const result = await work(connectionOf(client));
    await begun;
    const committed = runStatement(client, sql`COMMIT`);
    // The end of a look changes nothing for whoever looked; the connection's next statement comes after it.
    if (options.readOnly === true) committed.catch(() => {});
    else await committed;
    return result;
  } catch (error) {
    // The first error counts; the pool drops a connection that is broken.
    await runStatement(client, sql`ROLLBACK`).catch(() => {});
    throw error;
  }
}

function beginStatement(options: Omit<TransactionOptions, 'signal'>): SqlStatement {
  const { isolation = 'read committed', readOnly = false, keepsPlans = false } = options;
  const mode = readOnly ? 'READ ONLY' : 'READ WRITE';
  const settings = keepsPlans ? KEPT_PLANS : '';
  return sql`BEGIN ISOLATION LEVEL ${fragment(isolation)} ${fragment(mode)}${fragment(settings)}`;
}

/** A plan that is kept sees tables grow, so it goes through their indexes however small they were. */
const KEPT_PLANS = `
  ; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off`;

async function runStatement<Row>(client: pg.PoolClient, statement: SqlStatement): Promise<Row[]> {
  try {
    const result = await client.query<pg.QueryResultRow>(queryConfigOf(statement));
    return result.rows as Row[];
  } catch (error) {
    throw toStorageError(error);
  }
}

async function streamStatement<Row>(
  client: pg.PoolClient,
  statement: SqlStatement,
  onRow: (row: Row) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const query = new pg.Query(queryConfigOf(statement));
  let failure: { readonly error: unknown } | undefined;
  query.on('row', (row) => {
    if (failure !== undefined) return;
    try {
      onRow(row as Row);
    } catch (error) {
      // Thrown here it would end the process.
      failure = { error };
    }
  });
  query.on('error', (error) => reject(toStorageError(error)));
  query.on('end', () => resolve());
  client.query(query);
  await promise;
  if (failure !== undefined) throw failure.error;
}

function queryConfigOf({ text, values, name }: SqlStatement): pg.QueryConfig {
  return { text, values: [...values], ...(name === undefined ? {} : { name }) };
}

/** Gives up waiting for a connection; the one that comes later goes back to the pool. */
async function abortable(
  connecting: Promise<pg.PoolClient>,
  signal: AbortSignal,
): Promise<pg.PoolClient> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([connecting, aborted.promise]);
  } catch (error) {
    if (signal.aborted) connecting.then((client) => client.release()).catch(() => {});
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
