/**
 * A catalog in an array and an executor of plans over it, as the materializer does it with Postgres and Parquet:
 * what the tests of promises need and no more.
 */

import type { BlockId } from '@tracelake/domain';
import { ensureExists } from '@tracelake/domain';
import {
  type CompactionGroup,
  carryHashOf,
  compareInsertOrder,
  compareStreamOrder,
  type InstancePlan,
  insertRangeOf,
  layoutOf,
  mustRebuild,
  type PartitionRecord,
  type PartitionSummary,
  type PlanRequest,
  partitionIdOf,
  planCompaction,
  planInstance,
  type RowColumns,
  type RunContext,
  type RunResult,
  rebuildOf,
  type SourceBlock,
  schemaHashOf,
  sourceHashOf,
  type ViewSet,
} from '@tracelake/lakehouse';

export interface MemoryLakeOptions<Parsed> {
  readonly view: ViewSet<Parsed>;
  readonly context: RunContext;
  /** Decodes a block; undefined: it cannot be decoded. */
  readonly parse: (block: SourceBlock) => Parsed | undefined;
  readonly runEventsMax?: number;
}

interface StoredPartition {
  readonly record: PartitionRecord;
  readonly rows: RowColumns;
  readonly carryOut: Uint8Array | undefined;
}

const INSTANCE = 'instance';

export class MemoryLake<Parsed> {
  context: RunContext;
  parsedCount = 0;
  stored: StoredPartition[] = [];
  readonly #options: MemoryLakeOptions<Parsed>;
  readonly #schemaHash: string;

  constructor(options: MemoryLakeOptions<Parsed>) {
    this.#options = options;
    this.context = options.context;
    this.#schemaHash = schemaHashOf(options.view);
  }

  get partitions(): PartitionRecord[] {
    return this.stored.map(({ record }) => record);
  }

  plan(wanted: readonly SourceBlock[]): InstancePlan {
    return planInstance(this.#request(wanted));
  }

  /** Plans and builds; the ids of the partitions it built. */
  materialize(wanted: readonly SourceBlock[]): PartitionRecord[] {
    const plan = this.plan(wanted);
    if (plan.decision === 'current') return [];
    const built: PartitionRecord[] = [];
    let carry: Uint8Array | undefined;
    for (const segment of plan.segments) {
      const { folds } = this.#options.view;
      if (segment.kind === 'keep' && !(folds && mustRebuild(segment, carryHashOf(carry)))) {
        carry = this.#storedAs(segment.partition.partitionId).carryOut;
        continue;
      }
      const resolved =
        segment.kind === 'keep'
          ? rebuildOf(segment, this.#blocksOf([segment.partition], wanted))
          : segment;
      const { result, record } = this.#build('run', resolved.blocks, carry);
      this.#commit(resolved.replaces, { record, rows: result.rows, carryOut: result.carryOut });
      built.push(record);
      carry = result.carryOut;
    }
    this.#commit(plan.retires);
    if (plan.tailNeeded) built.push(this.#writeTail(carry));
    return built;
  }

  /** Merges runs as planned; the groups it merged. */
  compact(wanted: readonly SourceBlock[]): CompactionGroup[] {
    const groups = planCompaction(layoutOf(this.#request(wanted)));
    // A group may start from the carry of the last run of the one before.
    for (const { partitions, carryInHash, predecessor } of groups.toReversed()) {
      const blocks = this.#blocksOf(partitions, wanted);
      const carryIn = predecessor && this.#storedAs(predecessor.partitionId).carryOut;
      const { result, record } = this.#build('run', blocks, carryIn);
      if (record.carryInHash !== carryInHash) throw new Error('the predecessor has another carry');
      const replaces = partitions.map(({ partitionId }) => partitionId);
      this.#commit(replaces, { record, rows: result.rows, carryOut: result.carryOut });
    }
    return groups;
  }

  /** The rows of one build over all blocks, with its tail. */
  buildAtOnce(blocks: readonly SourceBlock[]): RowColumns[] {
    const { result } = this.#build('run', blocks, undefined);
    return result.tail === undefined ? [result.rows] : [result.rows, result.tail];
  }

  rows(): RowColumns[] {
    return this.stored.map(({ rows }) => rows);
  }

  run(blocks: readonly SourceBlock[], carryIn: Uint8Array | undefined): RunResult {
    const { view, parse } = this.#options;
    const builder = view.createRunBuilder(this.context, carryIn);
    for (const block of blocks) {
      this.parsedCount++;
      const parsed = parse(block);
      if (parsed !== undefined) builder.add(block, parsed);
    }
    return builder.finish();
  }

  /** The blocks of partitions, as they are to be folded. */
  #blocksOf(
    partitions: readonly PartitionSummary[],
    wanted: readonly SourceBlock[],
  ): SourceBlock[] {
    const ids = new Set(
      partitions.flatMap(({ partitionId }) => this.#storedAs(partitionId).record.blockIds),
    );
    const order = this.#options.view.folds ? compareStreamOrder : compareInsertOrder;
    return wanted.filter(({ blockId }) => ids.has(blockId)).sort(order);
  }

  #request(wanted: readonly SourceBlock[]): PlanRequest {
    const { view, runEventsMax } = this.#options;
    return {
      view,
      schemaHash: this.#schemaHash,
      context: this.context,
      wanted,
      partitions: this.partitions,
      ...(runEventsMax === undefined ? {} : { runEventsMax }),
    };
  }

  #writeTail(carry: Uint8Array | undefined): PartitionRecord {
    const { result, record } = this.#build('tail', [], carry);
    const rows = result.tail ?? result.rows;
    this.#commit([], { record: { ...record, rowCount: rows.rowCount }, rows, carryOut: undefined });
    return record;
  }

  #build(
    kind: 'run' | 'tail',
    blocks: readonly SourceBlock[],
    carryIn: Uint8Array | undefined,
  ): { result: RunResult; record: PartitionRecord } {
    const result = this.run(blocks, carryIn);
    const { view } = this.#options;
    const carryInHash = carryHashOf(carryIn);
    const sourceHash = sourceHashOf({ context: this.context, blocks, carryInHash });
    const identity = {
      ...{ viewSet: view.name, instance: INSTANCE, schemaHash: this.#schemaHash },
      ...{ sourceHash, kind },
    };
    const range =
      blocks.length === 0 ? { beginInsertUs: 0n, endInsertUs: 0n } : insertRangeOf(blocks);
    const record: PartitionRecord = {
      ...identity,
      ...range,
      partitionId: partitionIdOf(identity),
      minEventNs: result.minEventNs ?? null,
      maxEventNs: result.maxEventNs ?? null,
      blockIds: blocks.map(({ blockId }) => blockId),
      carryInHash,
      carryOutHash: kind === 'run' ? carryHashOf(result.carryOut) : null,
      objectKey: null,
      rowCount: result.rows.rowCount,
      eventCount: 0,
      sizeBytes: 0,
    };
    return { result, record };
  }

  /** What must never happen is checked as the database does: a block is covered once, what goes was there. */
  #commit(replaces: readonly string[], inserted?: StoredPartition): void {
    for (const partitionId of replaces) {
      const kept = this.stored.filter(({ record }) => record.partitionId !== partitionId);
      if (kept.length !== this.stored.length - 1) throw new Error(`no partition ${partitionId}`);
      this.stored = kept;
    }
    if (inserted === undefined) return;
    const covered = new Set<BlockId>(this.partitions.flatMap(({ blockIds }) => blockIds));
    for (const blockId of inserted.record.blockIds)
      if (covered.has(blockId)) throw new Error(`block ${blockId} is covered twice`);
    this.stored.push(inserted);
  }

  #storedAs(partitionId: string): StoredPartition {
    return ensureExists(
      this.stored.find(({ record }) => record.partitionId === partitionId),
      `partition ${partitionId}`,
    );
  }
}
