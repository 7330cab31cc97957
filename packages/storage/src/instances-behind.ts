import type { ViewSet } from '@tracelake/lakehouse';
import type { Queryable } from './postgres/database.ts';
import { fragment, type SqlFragment, sql } from './postgres/sql.ts';

export interface BehindFilter {
  readonly viewSets: readonly {
    readonly view: Pick<ViewSet, 'name' | 'streamTag' | 'instanceRule'>;
    readonly schemaHash: string;
  }[];
  /**
   * Looks only at blocks that became wanted in the last `withinMs` (their own row, or their stream's or process's,
   * is that new). Left out, at all blocks of the lake, which takes time in proportion.
   */
  readonly withinMs?: number;
  readonly limit: number;
}

export interface InstanceBehind {
  readonly viewSet: string;
  readonly schemaHash: string;
  readonly instance: string;
  /** Whose lane the work belongs to. */
  readonly processId: string;
  readonly blockCount: number;
  /** When the oldest of these blocks came. */
  readonly oldestInsertUs: bigint;
}

/** At most `limit` instances of each view, those that have waited longest first. One round trip a view. */
export async function listInstancesBehind(
  db: Queryable,
  { viewSets, withinMs, limit }: BehindFilter,
  signal?: AbortSignal,
): Promise<InstanceBehind[]> {
  const found: InstanceBehind[] = [];
  for (const { view, schemaHash } of viewSets) {
    const instance = fragment(view.instanceRule === 'process' ? 'b.process_id' : 'b.stream_id');
    const rows = await db.query<{
      instance: string;
      process_id: string;
      block_count: bigint;
      oldest_us: bigint;
    }>(
      sql`
        SELECT ${instance}::text AS instance, min(b.process_id::text) AS process_id,
          count(*) AS block_count, unix_us(min(b.insert_time)) AS oldest_us
        FROM ${candidateBlocks(withinMs)} AS b
        JOIN streams s ON s.stream_id = b.stream_id AND s.process_id = b.process_id
        JOIN processes p ON p.process_id = b.process_id
        WHERE s.tags @> ARRAY[${view.streamTag}::text]
          AND NOT EXISTS (
            SELECT FROM partition_blocks pb
            WHERE pb.view_set = ${view.name} AND pb.schema_hash = ${schemaHash}
              AND pb.instance = ${instance}::text AND pb.block_id = b.block_id)
        GROUP BY ${instance}
        ORDER BY oldest_us, instance LIMIT ${limit}::bigint`,
      signal,
    );
    for (const row of rows) {
      found.push({
        viewSet: view.name,
        schemaHash,
        instance: row.instance,
        processId: row.process_id,
        blockCount: Number(row.block_count),
        oldestInsertUs: row.oldest_us,
      });
    }
  }
  return found;
}

/** A block becomes wanted when the last of three rows comes, so each of them can be the new one. */
function candidateBlocks(withinMs: number | undefined): SqlFragment {
  if (withinMs === undefined) return fragment('blocks');
  const isNew = `insert_time >= clock_timestamp() - interval '${Math.ceil(withinMs)} milliseconds'`;
  return fragment(`(
    SELECT * FROM blocks WHERE ${isNew}
    UNION SELECT ob.* FROM blocks ob
      WHERE (ob.process_id, ob.stream_id) IN (SELECT process_id, stream_id FROM streams WHERE ${isNew})
    UNION SELECT ob.* FROM blocks ob
      WHERE ob.process_id IN (SELECT process_id FROM processes WHERE ${isNew}))`);
}
