/** Days of sparse blocks of many streams, put straight into the tables, with partitions that are current. */
import type { ProcessId, StreamId } from '@tracelake/domain';
import {
  calibrate,
  type SourceContext,
  sourceHashOf,
  sourceHashOfContent,
} from '@tracelake/lakehouse';
import type { Database } from '../src/postgres/database.ts';
import { sql } from '../src/postgres/sql.ts';
import { ProcessRepository } from '../src/process-repository.ts';
import { StreamRepository } from '../src/stream-repository.ts';
import { makeProcess, makeStream } from './catalog-fixture.ts';

export interface LongRange {
  readonly streamCount: number;
  /** Spread evenly over the days. */
  readonly blocksPerStream: number;
  readonly days: number;
  readonly blocksPerRun: number;
  readonly schemaHash: string;
  /** The view that has the partitions; one that folds. */
  readonly viewSet: string;
}

export interface StoredLongRange {
  readonly processId: ProcessId;
  readonly streamIds: readonly StreamId[];
}

/** A process whose streams are covered by runs and a tail each, all current. */
export async function storeLongRange(db: Database, range: LongRange): Promise<StoredLongRange> {
  const process = makeProcess();
  const { processId } = process;
  await new ProcessRepository(db).insertIfAbsent(process);
  const streams = Array.from({ length: range.streamCount }, () => makeStream({ processId }));
  const repository = new StreamRepository(db);
  for (const stream of streams) await repository.insertIfAbsent(stream);
  const streamIds = streams.map(({ streamId }) => streamId);
  await insertBlocks(db, { processId, streamIds }, range);
  await insertPartitions(db, processId, range);
  const context: SourceContext = {
    process,
    streams: await loadStreamFacts(db, streamIds),
    calibration: calibrate(process, undefined),
  };
  await makeCurrent(db, context, range);
  // As autovacuum does in time.
  for (const table of ['blocks', 'partition_blocks', 'partitions', 'streams']) {
    await db.query({ text: `VACUUM ANALYZE ${table}`, values: [] });
  }
  return { processId, streamIds };
}

async function insertBlocks(
  db: Database,
  { processId, streamIds }: StoredLongRange,
  { blocksPerStream, days }: LongRange,
): Promise<void> {
  const stepMs = (days * 86_400_000) / blocksPerStream;
  for (const streamId of streamIds) {
    await db.query(sql`
      INSERT INTO blocks (block_id, stream_id, process_id, begin_time, begin_ticks, end_time, end_ticks,
        nb_objects, object_offset, payload_size, content_sha256, insert_time)
      SELECT gen_random_uuid(), ${streamId}, ${processId}, at, number * 10, at, number * 10 + 9, 1000,
        number * 1000, 4500, sha256(int8send(number)), at
      FROM (SELECT number, timestamptz '2026-10-01' + number * ${stepMs}::float8 * interval '1 millisecond' AS at
        FROM generate_series(0::bigint, ${blocksPerStream - 1}::bigint) number) sparse`);
  }
}

async function insertPartitions(
  db: Database,
  processId: ProcessId,
  { blocksPerRun, schemaHash, viewSet }: LongRange,
): Promise<void> {
  await db.query(sql`
    WITH placed AS (
      SELECT b.*, row_number() OVER (PARTITION BY stream_id ORDER BY begin_ticks) - 1 AS place
      FROM blocks b WHERE process_id = ${processId}),
    cut AS (
      SELECT stream_id, place / ${blocksPerRun}::bigint AS run, min(insert_time) AS first, max(insert_time) AS last
      FROM placed GROUP BY 1, 2),
    runs AS (
      INSERT INTO partitions (partition_id, view_set, instance, schema_hash, kind, source_hash,
        begin_insert_time, end_insert_time, min_event_ns, max_event_ns, carry_in_hash, carry_out_hash,
        object_key, row_count, event_count, size_bytes)
      SELECT 'run ' || run, ${viewSet}, stream_id::text, ${schemaHash}, 'run', '', first, last,
        unix_us(first) * 1000, unix_us(last) * 1000, CASE WHEN run > 0 THEN 'carry ' || (run - 1) END,
        'carry ' || run, stream_id || '/' || run, 1000, 1000, 1000 FROM cut
      RETURNING partition_key, instance, partition_id),
    tails AS (
      INSERT INTO partitions (partition_id, view_set, instance, schema_hash, kind, source_hash,
        begin_insert_time, end_insert_time, carry_in_hash, row_count, event_count, size_bytes)
      SELECT 'tail', ${viewSet}, stream_id::text, ${schemaHash}, 'tail', '', max(first), max(last),
        'carry ' || max(run), 0, 0, 0 FROM cut GROUP BY stream_id)
    INSERT INTO partition_blocks (view_set, instance, schema_hash, block_id, partition_key, position)
    SELECT ${viewSet}, stream_id::text, ${schemaHash}, block_id, partition_key,
      1 + place % ${blocksPerRun}::bigint
    FROM placed JOIN runs ON instance = stream_id::text
      AND partition_id = 'run ' || (place / ${blocksPerRun}::bigint)`);
}

async function loadStreamFacts(
  db: Database,
  streamIds: readonly StreamId[],
): Promise<SourceContext['streams']> {
  const repository = new StreamRepository(db);
  const facts = new Map<StreamId, Awaited<ReturnType<StreamRepository['find']>> & object>();
  for (const streamId of streamIds) {
    const stream = await repository.find(streamId);
    if (stream !== undefined) facts.set(streamId, stream);
  }
  return facts;
}

/** Gives each partition the hash that a build would have given it. */
async function makeCurrent(
  db: Database,
  context: SourceContext,
  { viewSet }: LongRange,
): Promise<void> {
  const partitions = await db.query<{ partition_key: bigint; instance: string; carry: string }>(sql`
    SELECT partition_key, instance, carry_in_hash AS carry FROM partitions
    WHERE view_set = ${viewSet} AND source_hash = ''`);
  for (const { partition_key: key, instance, carry: carryInHash } of partitions) {
    const [row] = await db.query<{ lines: Uint8Array | null }>(sql`
      SELECT string_agg(convert_to(E'\\nblock ' || b.block_id || ' ', 'UTF8') || b.content_sha256, ''::bytea
        ORDER BY position) AS lines
      FROM partition_blocks JOIN blocks b USING (block_id) WHERE partition_key = ${key}`);
    const blockLines = row?.lines ?? undefined;
    const streamIds = [instance as StreamId];
    const sourceHash =
      blockLines === undefined
        ? sourceHashOf({ context, blocks: [], carryInHash })
        : sourceHashOfContent({ context, streamIds, blockLines, carryInHash });
    await db.query(
      sql`UPDATE partitions SET source_hash = ${sourceHash} WHERE partition_key = ${key}`,
    );
  }
}
