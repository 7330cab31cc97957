/** Everything that planning needs of a view instance, as of one moment. */
import type { BlockId, ProcessId, ProcessInfo, StreamId } from '@tracelake/domain';
import type { PartitionRecord, SourceBlock, SourceStream } from '@tracelake/lakehouse';
import {
  BLOCK_COLUMNS,
  BlockRepository,
  type BlockRow,
  sourceBlockOf,
  WANTED_SOURCES,
} from './block-repository.ts';
import type { SnapshotRequest } from './lake-snapshot.ts';
import {
  PARTITION_COLUMNS,
  PARTITION_ORDER,
  type PartitionRow,
  partitionOf,
} from './partition-rows.ts';
import type { Queryable } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';
import { ProcessRepository } from './process-repository.ts';
import { STREAM_COLUMNS, type StreamRow, sourceStreamsOf } from './stream-repository.ts';

/** What a process is known by, whichever view asks. */
export interface ProcessContext {
  /** Undefined when it is not known; then no block of it is wanted. */
  readonly process: ProcessInfo | undefined;
  /** Those of the tag asked for that have wanted blocks (a stream's instance: the stream itself), by id. */
  readonly streams: ReadonlyMap<StreamId, SourceStream>;
  /**
   * Blocks among which `chooseCalibrationEvidence` chooses the same one as among all of the process's wanted
   * blocks; empty when the process knows its frequency.
   */
  readonly calibrationCandidates: readonly SourceBlock[];
}

/** A view instance with every wanted block, for building. */
export interface InstanceSnapshot extends ProcessContext {
  readonly viewSet: string;
  readonly instance: string;
  readonly schemaHash: string;
  /** In stream order within each stream. */
  readonly wanted: readonly SourceBlock[];
  /** Oldest insert times first, a tail last. */
  readonly partitions: readonly PartitionRecord[];
  /** Of the wanted blocks, those that this view could not decode. */
  readonly rejectedBlockIds: ReadonlySet<BlockId>;
}

/** Run it in a REPEATABLE READ transaction. */
export async function readInstanceSnapshot(
  db: Queryable,
  { view, instance, schemaHash }: SnapshotRequest,
): Promise<InstanceSnapshot> {
  const filter =
    view.instanceRule === 'process'
      ? { streamTag: view.streamTag, processId: instance as ProcessId }
      : { streamTag: view.streamTag, streamId: instance as StreamId };
  const wanted = await new BlockRepository(db).listWanted(filter);
  const processId =
    view.instanceRule === 'process'
      ? (instance as ProcessId)
      : await findProcessOfStream(db, instance as StreamId);
  const context = await readProcessContext(db, processId, streamIdsOf(wanted));
  const [state] = await readInstanceStates(db, [
    { viewSet: view.name, instance, schemaHash, wanted },
  ]);
  return { ...context, ...(state as InstanceState) };
}

type InstanceState = Omit<InstanceSnapshot, keyof ProcessContext>;

type InstanceBlocks = Pick<InstanceState, 'viewSet' | 'instance' | 'schemaHash' | 'wanted'>;

/** Partitions and rejected blocks of all instances in two statements. */
async function readInstanceStates(
  db: Queryable,
  instances: readonly InstanceBlocks[],
): Promise<InstanceState[]> {
  if (instances.length === 0) return [];
  const rows = await db.query<PartitionRow>(sql`
    SELECT ${PARTITION_COLUMNS}
    FROM unnest(${instances.map((one) => one.viewSet)}::text[],
        ${instances.map((one) => one.instance)}::text[],
        ${instances.map((one) => one.schemaHash)}::text[]) AS wanted (view_set, instance, schema_hash)
    JOIN partitions p USING (view_set, instance, schema_hash)
    ORDER BY ${PARTITION_ORDER}`);
  const partitions = Map.groupBy(rows.map(partitionOf), instanceName);
  const rejected = await readRejected(db, instances);
  return instances.map((one) => ({
    ...one,
    partitions: partitions.get(instanceName(one)) ?? [],
    rejectedBlockIds: new Set(
      one.wanted.map((block) => block.blockId).filter((id) => rejected.get(one.viewSet)?.has(id)),
    ),
  }));
}

function instanceName(key: { viewSet: string; instance: string; schemaHash: string }): string {
  return `${key.viewSet}/${key.instance}/${key.schemaHash}`;
}

/** Rejected blocks are few: found through their process, not by asking for each wanted block. */
async function readRejected(
  db: Queryable,
  instances: readonly InstanceBlocks[],
): Promise<Map<string, Set<string>>> {
  const viewSets = [...new Set(instances.map((one) => one.viewSet))];
  const processIds = [...new Set(instances.flatMap((one) => one.wanted[0]?.processId ?? []))];
  const rows = await db.query<{ view_set: string; block_id: string }>(sql`
    SELECT r.view_set, r.block_id FROM rejected_blocks r JOIN blocks b USING (block_id)
    WHERE r.view_set = ANY(${viewSets}::text[]) AND b.process_id = ANY(${processIds}::uuid[])`);
  const byView = new Map<string, Set<string>>();
  for (const row of rows) {
    const ids = byView.get(row.view_set) ?? new Set();
    byView.set(row.view_set, ids.add(row.block_id));
  }
  return byView;
}

async function readProcessContext(
  db: Queryable,
  processId: ProcessId | undefined,
  streamIds: readonly StreamId[],
): Promise<ProcessContext> {
  const process =
    processId === undefined ? undefined : await new ProcessRepository(db).find(processId);
  const rows = await db.query<StreamRow>(
    sql`SELECT ${STREAM_COLUMNS} FROM streams s
      WHERE s.stream_id = ANY(${streamIds}::uuid[]) ORDER BY s.stream_id`,
  );
  const streams = sourceStreamsOf(rows).map((stream) => [stream.streamId, stream] as const);
  return {
    process,
    streams: new Map(streams),
    calibrationCandidates:
      process !== undefined && process.tscFrequencyHz <= 0n
        ? await readCalibrationCandidates(db, process)
        : [],
  };
}

/**
 * The evidence is, among blocks that lasted at least 2^k ms since the process's start, the first by
 * (end_ticks, block_id), where k comes from the longest. The longest and that first one give the same choice
 * as all blocks.
 */
async function readCalibrationCandidates(
  db: Queryable,
  process: ProcessInfo,
): Promise<SourceBlock[]> {
  const [longest] = await db.query<BlockRow>(sql`
    SELECT ${BLOCK_COLUMNS} FROM ${WANTED_SOURCES}
    WHERE b.process_id = ${process.processId}
    ORDER BY b.end_time DESC, b.block_id LIMIT 1`);
  if (longest === undefined) return [];
  const startUs = process.startNs / 1000n;
  const atLeastUs = startUs + thresholdUs(longest.end_us - startUs);
  const [first] = await db.query<BlockRow>(sql`
    SELECT ${BLOCK_COLUMNS} FROM ${WANTED_SOURCES}
    WHERE b.process_id = ${process.processId} AND b.end_time >= from_unix_us(${atLeastUs}::bigint)
    ORDER BY b.end_ticks, b.block_id LIMIT 1`);
  return [longest, ...(first === undefined ? [] : [first])].map(sourceBlockOf);
}

/** The largest 2^k ms that `elapsedUs` reaches, in whole microseconds rounded up; k may be negative. */
function thresholdUs(elapsedUs: bigint): bigint {
  if (elapsedUs <= 0n) return elapsedUs;
  let threshold = 1000;
  while (BigInt(threshold) * 2n <= elapsedUs) threshold *= 2;
  while (threshold > Number(elapsedUs)) threshold /= 2;
  return BigInt(Math.ceil(threshold));
}

async function findProcessOfStream(
  db: Queryable,
  streamId: StreamId,
): Promise<ProcessId | undefined> {
  const [row] = await db.query<{ process_id: ProcessId }>(
    sql`SELECT process_id FROM streams WHERE stream_id = ${streamId}`,
  );
  return row?.process_id;
}

function streamIdsOf(blocks: readonly SourceBlock[]): StreamId[] {
  return [...new Set(blocks.map((block) => block.streamId))];
}
