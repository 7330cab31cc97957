/** A catalog with nothing but what planning looks at: for instances of very many blocks, without their rows. */
import type { BlockId } from '@tracelake/domain';
import { planCompaction } from '../src/compaction.ts';
import type { PartitionRecord, SourceBlock } from '../src/partition.ts';
import { layoutOf, type PlanRequest, planInstance, RUN_EVENTS_MAX } from '../src/planning.ts';
import { partitionIdOf, sourceHashOf } from '../src/source-hash.ts';
import { compareInsertOrder, compareStreamOrder } from '../src/stream-order.ts';
import { makeContext } from './synthetic-stream.ts';

const context = makeContext();
const schemaHash = 'schema';

/** What one merge was of. */
interface MergedRuns {
  readonly partitions: readonly PartitionRecord[];
  readonly blocks: readonly SourceBlock[];
}

/** Arrival and compaction of one instance, counting what is written again. */
export class PartitionLedger {
  readonly wanted: SourceBlock[] = [];
  readonly rewrites = new Map<BlockId, number>();
  partitions: PartitionRecord[] = [];
  runsMax = 0;
  readonly #folds: boolean;
  readonly #runEventsMax: number;

  constructor({ folds = false, runEventsMax = RUN_EVENTS_MAX } = {}) {
    this.#folds = folds;
    this.#runEventsMax = runEventsMax;
  }

  request(): PlanRequest {
    const { wanted, partitions } = this;
    const view = { folds: this.#folds };
    return { view, schemaHash, context, wanted, partitions, runEventsMax: this.#runEventsMax };
  }

  arrive(blocks: readonly SourceBlock[]): void {
    this.wanted.push(...blocks);
    const plan = planInstance(this.request());
    if (plan.decision === 'current') return;
    for (const segment of plan.segments)
      if (segment.kind === 'build') this.#replace(segment.replaces, segment.blocks);
    if (plan.tailNeeded) this.#replace(plan.retires, []);
  }

  compact(): MergedRuns[] {
    const groups = planCompaction(layoutOf(this.request()));
    const merged = groups.map((group) => {
      const ids = new Set(group.partitions.map(({ partitionId }) => partitionId));
      const partitions = this.partitions.filter(({ partitionId }) => ids.has(partitionId));
      return { partitions, blocks: this.#blocksOf(partitions) };
    });
    for (const { partitions, blocks } of merged) {
      this.#replace(
        partitions.map(({ partitionId }) => partitionId),
        blocks,
      );
      for (const { blockId } of blocks)
        this.rewrites.set(blockId, (this.rewrites.get(blockId) ?? 0) + 1);
    }
    this.runsMax = Math.max(this.runsMax, this.partitions.length);
    return merged;
  }

  /** The blocks of partitions, as they are to be folded. */
  #blocksOf(partitions: readonly PartitionRecord[]): SourceBlock[] {
    const ids = new Set(partitions.flatMap(({ blockIds }) => blockIds));
    const order = this.#folds ? compareStreamOrder : compareInsertOrder;
    return this.wanted.filter(({ blockId }) => ids.has(blockId)).sort(order);
  }

  #replace(replaces: readonly string[], blocks: readonly SourceBlock[]): void {
    const gone = new Set(replaces);
    this.partitions = this.partitions.filter(({ partitionId }) => !gone.has(partitionId));
    const kind = blocks.length === 0 ? 'tail' : 'run';
    const sourceHash = sourceHashOf({ context, blocks, carryInHash: null });
    const identity = { viewSet: 'v', instance: 'i', schemaHash, sourceHash, kind } as const;
    const times = blocks.map(({ insertTimeUs }) => insertTimeUs).sort();
    this.partitions.push({
      ...{ ...identity, partitionId: partitionIdOf(identity) },
      ...{ beginInsertUs: times[0] ?? 0n, endInsertUs: times.at(-1) ?? 0n },
      ...{ minEventNs: null, maxEventNs: null, carryInHash: null, carryOutHash: null },
      ...{ blockIds: blocks.map(({ blockId }) => blockId), objectKey: null },
      ...{ rowCount: 0, eventCount: 0, sizeBytes: 0 },
    });
  }
}
