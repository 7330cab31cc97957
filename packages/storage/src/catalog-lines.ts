/**
 * The lake's own tables as lines of JSON, page by page in one moment, for an engine that reads JSON. Times are
 * microseconds since the Unix epoch, bytes are hexadecimal after `\x`, properties are JSON text with sorted keys.
 */
import type { Database, Queryable } from './postgres/database.ts';
import { fragment, type SqlStatement, sql } from './postgres/sql.ts';

export type CatalogTable = 'processes' | 'streams' | 'blocks' | 'rejected_blocks' | 'partitions';

export interface CatalogLinesRequest {
  readonly tables: readonly CatalogTable[];
  /** Only blocks with begin_time <= `endUs` and insert_time >= `beginUs`. Other tables come whole. */
  readonly blocksBetween?: { readonly beginUs: bigint; readonly endUs: bigint } | undefined;
  /** Takes a page of lines before the next one is asked for. */
  readonly onLines: (table: CatalogTable, lines: readonly string[]) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

const PAGE_ROWS = 5000;

interface LineRow {
  line: string;
  key: string;
}

/** Reads the tables in one REPEATABLE READ transaction. Errors: StorageError, and those of `onLines`. */
export async function readCatalogLines(db: Database, request: CatalogLinesRequest): Promise<void> {
  await db.transaction(
    async (transaction) => {
      for (const table of request.tables) await readTable(transaction, table, request);
    },
    { isolation: 'repeatable read', readOnly: true, signal: request.signal },
  );
}

async function readTable(
  db: Queryable,
  table: CatalogTable,
  request: CatalogLinesRequest,
): Promise<void> {
  let after: string | null = null;
  for (;;) {
    request.signal?.throwIfAborted();
    const rows: LineRow[] = await db.query<LineRow>(pageOf(table, after, request));
    if (rows.length > 0) {
      await request.onLines(
        table,
        rows.map((row) => row.line),
      );
    }
    if (rows.length < PAGE_ROWS) return;
    after = rows.at(-1)?.key ?? null;
  }
}

const SORTED_PROPERTIES = fragment(`
  '{' || coalesce((SELECT string_agg(to_json(key)::text || ':' || to_json(value)::text, ',' ORDER BY key COLLATE "C")
    FROM jsonb_each_text(properties)), '') || '}' AS properties`);

function pageOf(
  table: CatalogTable,
  after: string | null,
  request: CatalogLinesRequest,
): SqlStatement {
  switch (table) {
    case 'processes':
      return sql`SELECT row_to_json(t)::text AS line, t.process_id AS key FROM (
        SELECT process_id, exe, username, realname, computer, distro, cpu_brand, tsc_frequency,
          unix_us(start_time) AS start_time, start_ticks, unix_us(insert_time) AS insert_time,
          coalesce(parent_process_id::text, '') AS parent_process_id, ${SORTED_PROPERTIES},
          last.*
        FROM processes p CROSS JOIN LATERAL (
          SELECT coalesce(unix_us(max(b.insert_time)), unix_us(p.insert_time)) AS last_update_time,
            max(b.end_ticks) AS last_block_end_ticks, unix_us(max(b.end_time)) AS last_block_end_time
          FROM blocks b WHERE b.process_id = p.process_id) last
        WHERE ${after}::uuid IS NULL OR process_id > ${after}::uuid
        ORDER BY process_id LIMIT ${PAGE_ROWS}::int) t`;
    case 'streams':
      return sql`SELECT row_to_json(t)::text AS line, t.stream_id AS key FROM (
        SELECT stream_id, process_id, dependencies_metadata, objects_metadata, tags,
          ${SORTED_PROPERTIES}, unix_us(insert_time) AS insert_time, format, last.*
        FROM streams s CROSS JOIN LATERAL (
          SELECT coalesce(unix_us(max(b.insert_time)), unix_us(s.insert_time)) AS last_update_time
          FROM blocks b
          WHERE b.process_id = s.process_id AND b.stream_id = s.stream_id) last
        WHERE ${after}::uuid IS NULL OR stream_id > ${after}::uuid
        ORDER BY stream_id LIMIT ${PAGE_ROWS}::int) t`;
    case 'blocks':
      return blocksPage(after, request);
    case 'rejected_blocks':
      return sql`SELECT row_to_json(t)::text AS line, t.block_id || '/' || t.view_set AS key FROM (
        SELECT r.block_id, b.stream_id, b.process_id, r.view_set, r.reason
        FROM rejected_blocks r LEFT JOIN blocks b USING (block_id)
        WHERE ${after}::text IS NULL OR r.block_id || '/' || r.view_set > ${after}::text COLLATE "C"
        ORDER BY r.block_id || '/' || r.view_set COLLATE "C" LIMIT ${PAGE_ROWS}::int) t`;
    case 'partitions':
      return sql`SELECT row_to_json(t)::text AS line, t.partition_key::text AS key FROM (
        SELECT partition_key, view_set, instance, unix_us(begin_insert_time) AS begin_insert_time,
          unix_us(end_insert_time) AS end_insert_time, min_event_ns, max_event_ns,
          unix_us(written_at) AS written_at, object_key, size_bytes, schema_hash, source_hash,
          row_count
        FROM partitions WHERE ${after}::bigint IS NULL OR partition_key > ${after}::bigint
        ORDER BY partition_key LIMIT ${PAGE_ROWS}::int) t`;
  }
}

/** Blocks whose stream and process are known, with columns of their own only. */
function blocksPage(after: string | null, { blocksBetween }: CatalogLinesRequest): SqlStatement {
  const beginUs = blocksBetween?.beginUs ?? null;
  const endUs = blocksBetween?.endUs ?? null;
  return sql`SELECT row_to_json(t)::text AS line, t.block_id AS key FROM (
    SELECT b.block_id, b.stream_id, b.process_id, unix_us(b.begin_time) AS begin_time,
      b.begin_ticks, unix_us(b.end_time) AS end_time, b.end_ticks, b.nb_objects, b.object_offset,
      b.payload_size, unix_us(b.insert_time) AS insert_time
    FROM blocks b
    JOIN streams s ON s.stream_id = b.stream_id AND s.process_id = b.process_id
    JOIN processes p ON p.process_id = b.process_id
    WHERE (${after}::uuid IS NULL OR b.block_id > ${after}::uuid)
      AND (${endUs}::bigint IS NULL OR b.begin_time <= from_unix_us(${endUs}::bigint))
      AND (${beginUs}::bigint IS NULL OR b.insert_time >= from_unix_us(${beginUs}::bigint))
    ORDER BY b.block_id LIMIT ${PAGE_ROWS}::int) t`;
}
