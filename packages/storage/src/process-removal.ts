/**
 * Takes whole processes out of a lake. A process is hidden in one transaction: from then on nobody sees it, and its
 * blocks are pending. The rows of its blocks stay until their objects are gone, so they say what is left to do after a
 * kill; the objects of its partitions are retired, so that a reader with a lease keeps them. Nothing here deletes objects.
 */
import type { BlockId, ProcessId, StreamId } from '@tracelake/domain';
import { objectKeys } from './object-keys.ts';
import type { Database, Queryable } from './postgres/database.ts';
import { fragment, sql } from './postgres/sql.ts';

export interface ProcessHoldings {
  /** Undefined when only blocks or streams of it are there. */
  readonly exe: string | undefined;
  /** When the newest of its rows came; undefined when there is none. */
  readonly newestInsertUs: bigint | undefined;
  readonly blocks: number;
  /** Of the blocks' objects. */
  readonly blockBytes: number;
  readonly partitions: number;
  readonly partitionBytes: number;
}

export interface RemovableBlock {
  readonly blockId: BlockId;
  readonly streamId: StreamId;
}

export interface HiddenProcess {
  /** Partitions that were taken out of the catalog. */
  readonly partitions: number;
  /** What its partitions are kept under: its own id, and those of its streams. */
  readonly instances: readonly string[];
}

/** Thrown inside the transaction to roll it back. */
class IsActive extends Error {}

const PAGE_PROCESSES = 500;
const PAGE_STEPS = 1000;

/** The moment that lies `ageMs` back, by the database's clock, in microseconds since the Unix epoch. */
export async function findMomentBack(
  db: Queryable,
  ageMs: number,
  signal?: AbortSignal,
): Promise<bigint> {
  const [row] = await db.query<{ us: bigint }>(
    sql`SELECT unix_us(clock_timestamp() - ${ageMs}::double precision * interval '1 millisecond') AS us`,
    signal,
  );
  return row?.us ?? 0n;
}

/**
 * Processes of which nothing seems to have come since the moment, the oldest first, then ids that only blocks or streams
 * know: what a kill left of a removal, and what never became whole. By the block that ends last, which one look at an
 * index finds; `hideProcess` looks at all.
 */
export async function* listQuietProcesses(
  db: Queryable,
  beforeUs: bigint,
  signal?: AbortSignal,
): AsyncGenerator<ProcessId, void, void> {
  yield* listQuietRows(db, beforeUs, signal);
  yield* listWithoutRow(db, 'blocks', beforeUs, signal);
  yield* listWithoutRow(db, 'streams', beforeUs, signal);
}

async function* listQuietRows(
  db: Queryable,
  beforeUs: bigint,
  signal: AbortSignal | undefined,
): AsyncGenerator<ProcessId, void, void> {
  let last = { us: -1n, id: '00000000-0000-0000-0000-000000000000' };
  for (;;) {
    const rows = await db.query<{ id: ProcessId; us: bigint; is_quiet: boolean }>(
      sql`SELECT p.process_id AS id, unix_us(p.insert_time) AS us,
          coalesce((SELECT b.insert_time FROM blocks b WHERE b.process_id = p.process_id
            ORDER BY b.end_time DESC LIMIT 1) < from_unix_us(${beforeUs}), true) AS is_quiet
        FROM processes p
        WHERE p.insert_time < from_unix_us(${beforeUs})
          AND (p.insert_time, p.process_id) > (from_unix_us(${last.us}), ${last.id}::uuid)
        ORDER BY p.insert_time, p.process_id LIMIT ${PAGE_PROCESSES}::int`,
      signal,
    );
    for (const { id, is_quiet: isQuiet } of rows) if (isQuiet) yield id;
    const end = rows.at(-1);
    if (rows.length < PAGE_PROCESSES || end === undefined) return;
    last = end;
  }
}

/** Goes from one process id of the table's index to the next. */
async function* listWithoutRow(
  db: Queryable,
  table: 'blocks' | 'streams',
  beforeUs: bigint,
  signal: AbortSignal | undefined,
): AsyncGenerator<ProcessId, void, void> {
  let last = '00000000-0000-0000-0000-000000000000';
  const from = fragment(table);
  for (;;) {
    const rows = await db.query<{ id: ProcessId; is_removable: boolean }>(
      sql`WITH RECURSIVE ids AS (
          (SELECT process_id AS id, 1 AS step FROM ${from} WHERE process_id > ${last}::uuid
            ORDER BY process_id LIMIT 1)
          UNION ALL
          SELECT next.id, ids.step + 1 FROM ids CROSS JOIN LATERAL (
            SELECT t.process_id AS id FROM ${from} t WHERE t.process_id > ids.id
            ORDER BY t.process_id LIMIT 1) AS next
          WHERE ids.step < ${PAGE_STEPS}::int)
        SELECT id, NOT EXISTS (SELECT FROM processes p WHERE p.process_id = id) AND NOT EXISTS (
            SELECT FROM ${from} t WHERE t.process_id = id AND t.insert_time >= from_unix_us(${beforeUs}))
          AS is_removable
        FROM ids ORDER BY step`,
      signal,
    );
    for (const { id, is_removable: isRemovable } of rows) if (isRemovable) yield id;
    const end = rows.at(-1);
    if (rows.length < PAGE_STEPS || end === undefined) return;
    last = end.id;
  }
}

/** What a process holds just now. */
export async function findProcessHoldings(
  db: Queryable,
  processId: ProcessId,
  signal?: AbortSignal,
): Promise<ProcessHoldings> {
  const instances = await listInstances(db, processId, signal);
  const [row] = await db.query<HoldingsRow>(
    sql`WITH RECURSIVE ${VIEW_SETS}
      SELECT (SELECT exe FROM processes WHERE process_id = ${processId}) AS exe, b.blocks, b.bytes,
        unix_us(greatest(b.newest, (SELECT max(insert_time) FROM streams WHERE process_id = ${processId}),
          (SELECT insert_time FROM processes WHERE process_id = ${processId}))) AS newest_us,
        f.partitions, f.partition_bytes
      FROM (SELECT count(*) AS blocks, coalesce(sum(payload_size), 0)::bigint AS bytes,
          max(insert_time) AS newest FROM blocks WHERE process_id = ${processId}) AS b,
        (SELECT count(*) AS partitions, coalesce(sum(p.size_bytes), 0)::bigint AS partition_bytes
          FROM view_sets v JOIN partitions p
            ON p.view_set = v.name AND p.instance = ANY(${instances}::text[])) AS f`,
    signal,
  );
  return {
    exe: row?.exe ?? undefined,
    newestInsertUs: row?.newest_us ?? undefined,
    blocks: Number(row?.blocks ?? 0n),
    blockBytes: Number(row?.bytes ?? 0n),
    partitions: Number(row?.partitions ?? 0n),
    partitionBytes: Number(row?.partition_bytes ?? 0n),
  };
}

/**
 * Takes a process, its streams and its partitions out of the catalog, in one transaction. Undefined, with nothing
 * changed, when something of it came at or after `beforeUs`. Harmless for a process that is hidden already.
 */
export async function hideProcess(
  db: Database,
  processId: ProcessId,
  beforeUs: bigint,
  signal?: AbortSignal,
): Promise<HiddenProcess | undefined> {
  try {
    return await db.transaction((transaction) => hide(transaction, processId, beforeUs), {
      signal,
    });
  } catch (error) {
    if (error instanceof IsActive) return undefined;
    throw error;
  }
}

async function hide(db: Queryable, processId: ProcessId, beforeUs: bigint): Promise<HiddenProcess> {
  const instances = await listInstances(db, processId);
  const partitions = await retirePartitionsOf(db, instances);
  const gone = await db.query<{ is_newer: boolean }>(sql`
    WITH gone_streams AS (
        DELETE FROM streams WHERE process_id = ${processId} RETURNING 'stream' AS kind, stream_id AS id, insert_time),
      gone AS (SELECT * FROM gone_streams UNION ALL (
        SELECT 'process', process_id, insert_time FROM processes WHERE process_id = ${processId})),
      announcements AS (
        DELETE FROM unannounced u USING gone WHERE u.kind = gone.kind AND u.id = gone.id)
    SELECT insert_time >= from_unix_us(${beforeUs}) AS is_newer FROM gone`);
  await db.query(sql`DELETE FROM processes WHERE process_id = ${processId}`);
  // Last, so that what came while this went on counts.
  const newer = await db.query(
    sql`SELECT FROM blocks
      WHERE process_id = ${processId} AND insert_time >= from_unix_us(${beforeUs}) LIMIT 1`,
  );
  if (newer.length > 0 || gone.some((row) => row.is_newer)) throw new IsActive();
  return { partitions, instances };
}

async function listInstances(
  db: Queryable,
  processId: ProcessId,
  signal?: AbortSignal,
): Promise<string[]> {
  const rows = await db.query<{ id: string }>(
    sql`SELECT stream_id AS id FROM streams WHERE process_id = ${processId}
      UNION SELECT stream_id FROM blocks WHERE process_id = ${processId}`,
    signal,
  );
  return [processId, ...rows.map((row) => row.id)];
}

/**
 * Takes the partitions of these instances out of the catalog; resolves with how many there were. A build that was under
 * way when a process was hidden may have committed since: call it once more when its blocks are gone.
 */
export async function retirePartitionsOf(
  db: Queryable,
  instances: readonly string[],
  signal?: AbortSignal,
): Promise<number> {
  const [row] = await db.query<{ count: bigint }>(
    sql`WITH RECURSIVE ${VIEW_SETS},
        gone AS (DELETE FROM partitions p USING view_sets v
          WHERE p.view_set = v.name AND p.instance = ANY(${instances}::text[])
          RETURNING p.object_key),
        ${RETIRE_GONE}
      SELECT count(*) AS count FROM gone`,
    signal,
  );
  return Number(row?.count ?? 0n);
}

/** Objects that a store of this lake has: of the blocks that came last and belong to a process that is there. */
export async function listNewestBlockKeys(
  db: Queryable,
  limit: number,
  signal?: AbortSignal,
): Promise<string[]> {
  const rows = await db.query<{ process_id: ProcessId; stream_id: StreamId; block_id: BlockId }>(
    sql`SELECT b.process_id, b.stream_id, b.block_id
      FROM blocks b JOIN processes p ON p.process_id = b.process_id
      ORDER BY b.insert_time DESC LIMIT ${limit}::int`,
    signal,
  );
  return rows.map((row) => objectKeys.block(row.process_id, row.stream_id, row.block_id));
}

/** Some of the blocks of a process that came before the moment, those of a stream one after the other. */
export async function listRemovableBlocks(
  db: Queryable,
  { processId, beforeUs, limit }: BlockPageRequest,
  signal?: AbortSignal,
): Promise<RemovableBlock[]> {
  const rows = await db.query<{ block_id: BlockId; stream_id: StreamId }>(
    sql`SELECT block_id, stream_id FROM blocks
      WHERE process_id = ${processId} AND insert_time < from_unix_us(${beforeUs})
      ORDER BY process_id, stream_id, begin_ticks, end_ticks, object_offset, block_id
      LIMIT ${limit}::int`,
    signal,
  );
  return rows.map((row) => ({ blockId: row.block_id, streamId: row.stream_id }));
}

export interface BlockPageRequest {
  readonly processId: ProcessId;
  readonly beforeUs: bigint;
  readonly limit: number;
}

/** Deletes the rows of blocks whose objects are gone; resolves with how many there were. */
export async function forgetBlocks(
  db: Queryable,
  ids: readonly BlockId[],
  signal?: AbortSignal,
): Promise<{ readonly blocks: number; readonly bytes: number }> {
  const [row] = await db.query<{ blocks: bigint; bytes: bigint }>(
    sql`WITH gone AS (
          DELETE FROM blocks WHERE block_id = ANY(${ids}::uuid[]) RETURNING payload_size),
        rejections AS (DELETE FROM rejected_blocks WHERE block_id = ANY(${ids}::uuid[])),
        announcements AS (
          DELETE FROM unannounced WHERE kind = 'block' AND id = ANY(${ids}::uuid[]))
      SELECT count(*) AS blocks, coalesce(sum(payload_size), 0)::bigint AS bytes FROM gone`,
    signal,
  );
  return { blocks: Number(row?.blocks ?? 0n), bytes: Number(row?.bytes ?? 0n) };
}

/**
 * Takes partitions out of the catalog whose process or stream nobody knows: of builds that committed after the
 * process was removed. Resolves with how many; at most `limit`.
 */
export async function retireUnowned(
  db: Queryable,
  { olderThanMs, limit }: { readonly olderThanMs: number; readonly limit: number },
  signal?: AbortSignal,
): Promise<number> {
  const [row] = await db.query<{ count: bigint }>(
    sql`WITH unowned AS (
          SELECT p.partition_key FROM partitions p
          WHERE p.instance ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
            AND p.written_at < clock_timestamp() - ${olderThanMs}::double precision * interval '1 millisecond'
            AND NOT EXISTS (SELECT FROM processes WHERE process_id::text = p.instance)
            AND NOT EXISTS (SELECT FROM streams WHERE stream_id::text = p.instance)
          LIMIT ${limit}::int FOR UPDATE SKIP LOCKED),
        gone AS (DELETE FROM partitions WHERE partition_key IN (SELECT partition_key FROM unowned)
          RETURNING object_key),
        ${RETIRE_GONE}
      SELECT count(*) AS count FROM gone`,
    signal,
  );
  return Number(row?.count ?? 0n);
}

interface HoldingsRow {
  exe: string | null;
  newest_us: bigint | null;
  blocks: bigint;
  bytes: bigint;
  partitions: bigint;
  partition_bytes: bigint;
}

/** The few views that have partitions, without a look at each: the index begins with the view. */
const VIEW_SETS = fragment(`
  names AS (
    SELECT min(view_set) AS name FROM partitions
    UNION ALL
    SELECT (SELECT min(p.view_set) FROM partitions p WHERE p.view_set > names.name)
    FROM names WHERE names.name IS NOT NULL),
  view_sets AS (SELECT name FROM names WHERE name IS NOT NULL)`);

const RETIRE_GONE = fragment(`
  retired AS (
    INSERT INTO retired_objects (object_key) SELECT object_key FROM gone WHERE object_key IS NOT NULL
    ON CONFLICT (object_key) DO UPDATE
      SET retired_at = clock_timestamp(), retired_by = pg_current_xact_id())`);
