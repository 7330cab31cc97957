/** What Postgres says is in the object store, for whoever moves or checks a store. */
import type { BlockId, ProcessId, StreamId } from '@tracelake/domain';
import { objectKeys } from './object-keys.ts';
import type { Queryable } from './postgres/database.ts';
import { fragment, sql } from './postgres/sql.ts';

export interface NamedObject {
  readonly key: string;
  readonly sizeBytes: number;
}

const PAGE_ROWS = 5000;

interface BlockRow {
  process_id: ProcessId;
  stream_id: StreamId;
  begin_ticks: bigint;
  end_ticks: bigint;
  object_offset: bigint;
  block_id: BlockId;
  payload_size: bigint;
}

const BLOCK_ORDER = fragment(
  'process_id, stream_id, begin_ticks, end_ticks, object_offset, block_id',
);

/**
 * The objects of all blocks, those of a stream one after the other, then those of all partitions, one view instance
 * after the other. Page by page and not in one moment: what comes meanwhile may be among them. Throws StorageError.
 */
export async function* listNamedObjects(
  db: Queryable,
  signal?: AbortSignal,
): AsyncGenerator<NamedObject> {
  yield* listBlockObjects(db, signal);
  yield* listPartitionObjects(db, signal);
}

/** Those of the keys that a row names now; a partition may have been replaced since it was listed. */
export async function findNamed(
  db: Queryable,
  keys: readonly string[],
  signal?: AbortSignal,
): Promise<Set<string>> {
  const blockIds = keys.map(blockIdOf).filter((id) => id !== undefined);
  const rows = await db.query<{ object_key: string }>(
    sql`SELECT object_key FROM partitions WHERE object_key = ANY(${keys}::text[])
      UNION ALL
      SELECT 'blobs/' || process_id || '/' || stream_id || '/' || block_id FROM blocks
      WHERE block_id = ANY(${blockIds}::uuid[])`,
    signal,
  );
  return new Set(rows.map((row) => row.object_key));
}

function blockIdOf(key: string): string | undefined {
  return /^blobs\/.*\/([0-9a-f-]{36})$/.exec(key)?.[1];
}

async function* listBlockObjects(
  db: Queryable,
  signal: AbortSignal | undefined,
): AsyncGenerator<NamedObject> {
  const columns = fragment(
    'process_id, stream_id, begin_ticks, end_ticks, object_offset, block_id, payload_size',
  );
  let last: BlockRow | undefined;
  for (;;) {
    const rows: BlockRow[] = await db.query<BlockRow>(
      last === undefined
        ? sql`SELECT ${columns} FROM blocks ORDER BY ${BLOCK_ORDER} LIMIT ${PAGE_ROWS}::int`
        : sql`SELECT ${columns} FROM blocks
            WHERE (${BLOCK_ORDER}) > (${last.process_id}::uuid, ${last.stream_id}::uuid,
              ${last.begin_ticks}::bigint, ${last.end_ticks}::bigint, ${last.object_offset}::bigint,
              ${last.block_id}::uuid)
            ORDER BY ${BLOCK_ORDER} LIMIT ${PAGE_ROWS}::int`,
      signal,
    );
    for (const row of rows) {
      const key = objectKeys.block(row.process_id, row.stream_id, row.block_id);
      yield { key, sizeBytes: Number(row.payload_size) };
    }
    last = rows.at(-1);
    if (rows.length < PAGE_ROWS || last === undefined) return;
  }
}

interface PartitionRow {
  view_set: string;
  instance: string;
  schema_hash: string;
  partition_id: string;
  object_key: string | null;
  size_bytes: bigint;
}

async function* listPartitionObjects(
  db: Queryable,
  signal: AbortSignal | undefined,
): AsyncGenerator<NamedObject> {
  const order = fragment('view_set, instance, schema_hash, partition_id');
  let last: PartitionRow | undefined;
  for (;;) {
    const rows: PartitionRow[] = await db.query<PartitionRow>(
      sql`SELECT view_set, instance, schema_hash, partition_id, object_key, size_bytes
        FROM partitions
        WHERE ${last === undefined}::boolean OR (${order}) > (${last?.view_set ?? ''}::text,
          ${last?.instance ?? ''}::text, ${last?.schema_hash ?? ''}::text, ${last?.partition_id ?? ''}::text)
        ORDER BY ${order} LIMIT ${PAGE_ROWS}::int`,
      signal,
    );
    for (const { object_key: key, size_bytes: sizeBytes } of rows) {
      if (key !== null) yield { key, sizeBytes: Number(sizeBytes) };
    }
    last = rows.at(-1);
    if (rows.length < PAGE_ROWS || last === undefined) return;
  }
}
