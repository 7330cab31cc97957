/**
 * How much the lake holds and what waits in it, for operators. Each figure costs a bounded number of pages however
 * large the lake is, so those that would need a walk over a large table are estimates.
 */
import { ensureExists } from '@tracelake/domain';
import type { Queryable } from './postgres/database.ts';
import { fragment, sql } from './postgres/sql.ts';

export interface LakeFigures {
  /** Exact while the table has at most 1024 pages (some 50,000 blocks), else an estimate. */
  readonly blocks: number;
  /** Bytes of the stored payloads; exact or an estimate as `blocks` is. */
  readonly blobBytes: number;
  /** Bytes of the Parquet files that partitions name; exact or an estimate by the same rule. */
  readonly partitionBytes: number;
  /** When the oldest block came: microseconds since the Unix epoch. Undefined without blocks. */
  readonly oldestBlockUs: bigint | undefined;
  /** Rows that the bus has not been told of: exact up to 100,000, then an estimate of at least that. */
  readonly unannouncedRows: number;
  /** How long the oldest of them waits; 0 without any. */
  readonly unannouncedOldestMs: number;
  /**
   * Blocks whose stream or process is not there: of those that came in the last hour, the latest 20,000. So a lower
   * bound, and 0 exactly when none of these waits.
   */
  readonly pendingBlocks: number;
  /** Blocks that some view could not decode, once for each view: exact up to 100,000, then an estimate. */
  readonly rejectedBlocks: number;
  /** Lanes whose lease has expired, was given back or was never taken. */
  readonly lanesWithoutOwner: number;
}

const EXACT_PAGES_MAX = 1024;
const SAMPLED_PAGES = 256;
const EXACT_ROWS_MAX = 100_000;
const PENDING_BLOCKS_MAX = 20_000;
const PENDING_WITHIN = fragment(`interval '1 hour'`);

/** `db` is one transaction, so that the figures are of one moment. Five to seven statements. */
export async function readLakeFigures(
  db: Queryable,
  { lanes }: { readonly lanes: number },
): Promise<LakeFigures> {
  const blocks = await readTotals(db, { table: 'blocks', bytes: 'payload_size' });
  const partitions = await readTotals(db, { table: 'partitions', bytes: 'size_bytes' });
  const unannouncedRows = await countBounded(db, 'unannounced');
  const rejectedBlocks = await countBounded(db, 'rejected_blocks');
  const [row] = await db.query<{
    oldest_block_us: bigint | null;
    unannounced_oldest_ms: number;
    lanes_with_owner: bigint;
    pending_blocks: bigint;
  }>(sql`
    SELECT
      (SELECT unix_us(insert_time) FROM blocks ORDER BY insert_time LIMIT 1) AS oldest_block_us,
      (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(since)) * 1000, 0)::float8
        FROM (VALUES ('process'), ('stream'), ('block')) AS kinds (kind),
          LATERAL (SELECT since FROM unannounced u WHERE u.kind = kinds.kind
            ORDER BY since LIMIT 1) AS oldest) AS unannounced_oldest_ms,
      (SELECT count(*) FROM lane_leases
        WHERE lane < ${lanes} AND expires_at > clock_timestamp()) AS lanes_with_owner,
      (SELECT count(*) FROM (
          SELECT stream_id, process_id FROM blocks
          WHERE insert_time > clock_timestamp() - ${PENDING_WITHIN}
          ORDER BY insert_time DESC LIMIT ${PENDING_BLOCKS_MAX}::bigint) AS b
        WHERE NOT EXISTS (SELECT FROM processes p WHERE p.process_id = b.process_id)
          OR NOT EXISTS (SELECT FROM streams s
            WHERE s.stream_id = b.stream_id AND s.process_id = b.process_id)) AS pending_blocks`);
  const moment = ensureExists(row, 'a statement of aggregates has a row');
  return {
    blocks: blocks.rows,
    blobBytes: blocks.bytes,
    partitionBytes: partitions.bytes,
    oldestBlockUs: moment.oldest_block_us ?? undefined,
    unannouncedRows,
    // Rows of transactions to come can be younger than this one.
    unannouncedOldestMs: Math.max(0, moment.unannounced_oldest_ms),
    pendingBlocks: Number(moment.pending_blocks),
    rejectedBlocks,
    lanesWithoutOwner: Math.max(0, lanes - Number(moment.lanes_with_owner)),
  };
}

interface MeasuredTable {
  readonly table: 'blocks' | 'partitions';
  /** The column that is added up. */
  readonly bytes: 'payload_size' | 'size_bytes';
}

interface TableTotals {
  readonly rows: number;
  readonly bytes: number;
}

/**
 * Reads a small table whole, and of a large one a sample of its pages: their mean, times the rows that Postgres counts
 * as it goes or, after it has crashed, those of its last look.
 */
async function readTotals(db: Queryable, { table, bytes }: MeasuredTable): Promise<TableTotals> {
  const [name, column] = [fragment(table), fragment(bytes)];
  const [size] = await db.query<{ pages: bigint; live_rows: number }>(sql`
    SELECT pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages,
      (CASE WHEN pg_stat_get_live_tuples(c.oid) > 0 THEN pg_stat_get_live_tuples(c.oid)
        ELSE greatest(c.reltuples, 0) END)::float8 AS live_rows
    FROM pg_class c WHERE c.oid = ${table}::regclass`);
  const { pages, live_rows: liveRows } = ensureExists(size, `the table ${table}`);
  const isSmall = Number(pages) <= EXACT_PAGES_MAX;
  // Of the same seed, so that two looks at one state have one answer.
  const part = isSmall
    ? fragment('')
    : fragment(`TABLESAMPLE SYSTEM (${(100 * SAMPLED_PAGES) / Number(pages)}) REPEATABLE (1)`);
  const [seen] = await db.query<{ rows: bigint; bytes: number }>(sql`
    SELECT count(*) AS rows, coalesce(sum(${column}), 0)::float8 AS bytes FROM ${name} ${part}`);
  const { rows, bytes: seenBytes } = ensureExists(seen, 'a statement of aggregates has a row');
  if (isSmall) return { rows: Number(rows), bytes: seenBytes };
  const mean = rows === 0n ? 0 : seenBytes / Number(rows);
  return { rows: Math.round(liveRows), bytes: Math.round(mean * liveRows) };
}

/** Of a table that is nearly empty in health. */
async function countBounded(
  db: Queryable,
  table: 'unannounced' | 'rejected_blocks',
): Promise<number> {
  const [row] = await db.query<{ counted: bigint; live_rows: bigint }>(sql`
    SELECT (SELECT count(*) FROM (SELECT FROM ${fragment(table)}
        LIMIT ${EXACT_ROWS_MAX}::bigint) AS bounded) AS counted,
      pg_stat_get_live_tuples(${table}::regclass) AS live_rows`);
  const { counted, live_rows: liveRows } = ensureExists(row, 'a statement of aggregates has a row');
  const exact = Number(counted);
  return exact < EXACT_ROWS_MAX ? exact : Math.max(exact, Number(liveRows));
}
