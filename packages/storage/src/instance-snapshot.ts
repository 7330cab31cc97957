/**
 * One moment of a view instance, for building: three statements, and of the blocks only those that no run covers as
 * is wanted, as many as one plan takes.
 */
import type { ProcessInfo, StreamId } from '@tracelake/domain';
import {
  type CalibrationEvidence,
  type JudgedRun,
  type LayoutRequest,
  runEventsMaxOf,
  runWeightMinOf,
  type SourceContext,
  type SourceStream,
  staleReasonOf,
  type UnplacedBlock,
  type ViewSet,
} from '@tracelake/lakehouse';
import { BLOCK_COLUMNS, type BlockRow, sourceBlockOf } from './block-repository.ts';
import { type PlannedPartition, readCoveredPartitions } from './covered-partitions.ts';
import {
  questionOf,
  type SnapshotRequest,
  type SnapshotView,
  sourceContextOf,
} from './lake-snapshot.ts';
import type { Connection } from './postgres/database.ts';
import { fragment, sql } from './postgres/sql.ts';
import { type ProcessFacts, readContexts } from './snapshot-context.ts';

export interface InstanceRequest extends SnapshotRequest {
  readonly view: SnapshotView & Pick<ViewSet, 'folds'>;
  /** Blocks of a plan at most, in the order of the view. Default 32,768. */
  readonly unplacedMax?: number;
}

export interface InstanceSnapshot {
  /** Undefined when it is not known; then no block of it is wanted. */
  readonly process: ProcessInfo | undefined;
  /** Those of the view's tag that have wanted blocks (a stream's instance: the stream itself), by id. */
  readonly streams: ReadonlyMap<StreamId, SourceStream>;
  readonly calibrationCandidates: readonly CalibrationEvidence[];
  /** Oldest insert times first, a tail last. */
  readonly partitions: readonly PlannedPartition[];
  /** Undefined when the process is not known. */
  readonly layout: LayoutRequest | undefined;
}

const UNPLACED_MAX = 32_768;

/** Run it in a REPEATABLE READ transaction. */
export async function readInstanceSnapshot(
  transaction: Connection,
  request: InstanceRequest,
): Promise<InstanceSnapshot> {
  const { view, instance, schemaHash, unplacedMax = UNPLACED_MAX } = request;
  const { contexts } = await readContexts(transaction, [questionOf(request)], { withTypes: true });
  const [found] = contexts;
  const facts = found?.facts ?? NO_FACTS;
  const streams = new Map((found?.sources ?? []).map((one) => [one.streamId, one] as const));
  const { process, calibrationCandidates } = facts;
  const context = sourceContextOf(facts);
  if (context === undefined) {
    return { process, streams, calibrationCandidates, partitions: [], layout: undefined };
  }
  const key = { viewSet: view.name, instance, schemaHash };
  const [partitions = []] = await readCoveredPartitions(transaction, {
    instances: [{ ...key, context }],
    since: undefined,
    laterStreams: [],
    weights: { weightMin: runWeightMinOf(runEventsMaxOf(view)), countsBetween: view.folds },
  });
  const judged = judge(view, context, partitions);
  const unplaced = await readUnplaced(transaction, { ...request, context, judged, unplacedMax });
  const isPartial = unplaced.length > unplacedMax;
  const layout = { view, context, ...judged, unplaced: unplaced.slice(0, unplacedMax), isPartial };
  return { process, streams, calibrationCandidates, partitions, layout };
}

const NO_FACTS: ProcessFacts = {
  process: undefined,
  streams: new Map(),
  calibrationCandidates: [],
  lastBlockEndNs: undefined,
};

type Judged = Pick<LayoutRequest, 'runs' | 'gone' | 'tails'>;

function judge(
  view: Pick<ViewSet, 'folds'>,
  context: SourceContext,
  partitions: readonly PlannedPartition[],
): Judged {
  const runs: JudgedRun[] = [];
  const gone: PlannedPartition[] = [];
  const tails: PlannedPartition[] = [];
  for (const one of partitions) {
    const { partition, first, presentCount, blockCount, weight, betweenCount, isCurrent } = one;
    if (partition.kind === 'tail') tails.push(one);
    else if (first === undefined || !context.streams.has(first.streamId)) gone.push(one);
    else {
      const foreign = view.folds ? (betweenCount ?? presentCount) - presentCount : 0;
      const missing = blockCount - presentCount;
      const staleReason = staleReasonOf({ isCurrent, missing, foreign });
      runs.push({ partition, staleReason, first, blockCount: presentCount, weight });
    }
  }
  const summaryOf = ({ partition }: PlannedPartition) => partition;
  return { runs, gone: gone.map(summaryOf), tails: tails.map(summaryOf) };
}

interface UnplacedRequest extends InstanceRequest {
  readonly context: SourceContext;
  readonly judged: Judged;
  readonly unplacedMax: number;
}

const ORDERS = {
  stream: fragment('b.begin_ticks, b.end_ticks, b.object_offset, b.block_id'),
  arrival: fragment(
    'b.insert_time, b.stream_id, b.begin_ticks, b.end_ticks, b.object_offset, b.block_id',
  ),
};

/** One more than the most, where there are more. Where every block is in a run that stays, no block is looked at. */
async function readUnplaced(
  transaction: Connection,
  { view, instance, schemaHash, context, judged, unplacedMax }: UnplacedRequest,
): Promise<UnplacedBlock[]> {
  const streamIds = [...context.streams.keys()];
  const { processId } = context.process;
  const stale = judged.runs.filter(({ staleReason }) => staleReason !== undefined);
  const kept = judged.runs.filter(({ staleReason }) => staleReason === undefined);
  const keptCount = kept.reduce((sum, { blockCount }) => sum + blockCount, 0);
  const rows = await transaction.query<BlockRow & { owner_id: string | null }>(sql`
    SELECT ${BLOCK_COLUMNS}, owner.partition_id AS owner_id
    FROM blocks b
    LEFT JOIN partition_blocks pb ON pb.view_set = ${view.name} AND pb.instance = ${instance}
      AND pb.schema_hash = ${schemaHash} AND pb.block_id = b.block_id
    LEFT JOIN partitions owner ON owner.partition_key = pb.partition_key
    WHERE b.process_id = ${processId} AND b.stream_id = ANY(${streamIds}::uuid[])
      AND (pb.block_id IS NULL OR owner.partition_id = ANY(${stale.map(idOf)}::text[]))
      AND (SELECT count(*) FROM blocks b
        WHERE b.process_id = ${processId} AND b.stream_id = ANY(${streamIds}::uuid[])) > ${keptCount}::bigint
    ORDER BY ${view.folds ? ORDERS.stream : ORDERS.arrival} LIMIT ${unplacedMax + 1}::bigint`);
  return rows.map((row) => ({ block: sourceBlockOf(row), ownerId: row.owner_id ?? undefined }));
}

function idOf({ partition }: JudgedRun): string {
  return partition.partitionId;
}
