/** What EXPLAIN shows: the partitions a statement would read and build, with their bytes and why. */

import { isInstanceComplete } from '@tracelake/lake-reading';
import type { BuildSegment, InstancePlan, PartitionSummary, ViewSet } from '@tracelake/lakehouse';
import type { SqlColumn } from '@tracelake/sql';
import type { LakeInstance } from '@tracelake/storage';
import { mayHoldRows } from './partition-choice.ts';
import {
  type CatalogSource,
  type QueryRange,
  readsInstance,
  type SourceSelection,
} from './source-selection.ts';

export const EXPLANATION_COLUMNS: readonly SqlColumn[] = [
  { name: 'view_set', type: 'VARCHAR' },
  { name: 'instance', type: 'VARCHAR' },
  { name: 'action', type: 'VARCHAR' },
  { name: 'partition_id', type: 'VARCHAR' },
  { name: 'blocks', type: 'BIGINT' },
  { name: 'rows', type: 'BIGINT' },
  { name: 'bytes', type: 'BIGINT' },
  { name: 'reason', type: 'VARCHAR' },
];

/** `bytes` are those of the file to read, or of the block payloads to decode. Null is unknown yet. */
export interface ExplanationRow {
  readonly view_set: string;
  readonly instance: string;
  readonly action: 'read' | 'build' | 'skip';
  readonly partition_id: string | null;
  readonly blocks: number | null;
  readonly rows: number | null;
  readonly bytes: number | null;
  readonly reason: string;
}

/** Plans an instance that is not current; undefined when nothing is wanted of it. */
export type PlanOf = (view: ViewSet, instance: string) => Promise<InstancePlan | undefined>;

export async function* explain(
  selection: SourceSelection,
  instances: readonly LakeInstance[],
  range: QueryRange,
  planOf: PlanOf,
): AsyncGenerator<ExplanationRow, void, void> {
  yield* selection.catalog.map(catalogRow);
  const told = new Set<LakeInstance>();
  for (const source of selection.views) {
    const read = instances.filter((one) => readsInstance(source, one) && !told.has(one));
    for (const one of read.sort((a, b) => (a.instance < b.instance ? -1 : 1))) {
      told.add(one);
      const plan = isInstanceComplete(source.view, one)
        ? undefined
        : await planOf(source.view, one.instance);
      yield* instanceRows(one, plan, range);
    }
  }
}

function instanceRows(
  instance: LakeInstance,
  plan: InstancePlan | undefined,
  range: QueryRange,
): ExplanationRow[] {
  if (plan === undefined || plan.decision === 'current') {
    return instance.partitions.map(({ partition, blockCount }) =>
      readRow(partition, blockCount, range, 'current'),
    );
  }
  const key = { view_set: instance.viewSet, instance: instance.instance };
  const rows = plan.segments.map((segment) =>
    segment.kind === 'keep'
      ? readRow(
          segment.partition,
          segment.blockCount,
          range,
          'kept, unless an earlier build changes what it starts from',
        )
      : { ...key, ...buildFacts(segment) },
  );
  if (plan.isPartial) {
    const reason = 'more blocks, which are planned once these are built';
    return [...rows, { ...key, ...NOTHING_KNOWN, action: 'build', reason }];
  }
  if (!plan.tailNeeded) return rows;
  const reason = 'spans still open at the end of the last block';
  return [...rows, { ...key, ...NOTHING_KNOWN, action: 'build', reason }];
}

const NOTHING_KNOWN = { partition_id: null, blocks: null, rows: null, bytes: null };

function buildFacts({
  blocks,
  reason,
}: BuildSegment): Omit<ExplanationRow, 'view_set' | 'instance'> {
  const bytes = blocks.reduce((sum, block) => sum + block.payloadBytes, 0);
  return { ...NOTHING_KNOWN, action: 'build', blocks: blocks.length, bytes, reason };
}

function readRow(
  partition: PartitionSummary,
  blocks: number,
  range: QueryRange,
  reason: string,
): ExplanationRow {
  const isRead = mayHoldRows(partition, range);
  const skipped = partition.objectKey === null ? 'it has no rows' : 'outside the range';
  return {
    view_set: partition.viewSet,
    instance: partition.instance,
    action: isRead ? 'read' : 'skip',
    partition_id: partition.partitionId,
    blocks,
    rows: partition.rowCount,
    bytes: partition.sizeBytes,
    reason: isRead ? reason : skipped,
  };
}

function catalogRow({ name }: CatalogSource): ExplanationRow {
  return {
    view_set: name,
    instance: 'global',
    action: 'read',
    ...NOTHING_KNOWN,
    reason: 'read from the catalog at each query',
  };
}
