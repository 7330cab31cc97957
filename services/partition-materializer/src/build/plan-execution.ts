/**
 * Carries a plan out, segment by segment, each committed as it is built. Of a view that folds, a segment
 * starts from the carry of the one before, so what was to be kept is decided again here.
 */

import {
  type BuildPlan,
  type BuildSegment,
  carryHashOf,
  type InsertRange,
  insertRangeOf,
  type KeepSegment,
  mustRebuild,
  type PartitionSummary,
  partitionIdOf,
  type RowColumns,
  type RunContext,
  type RunResult,
  rebuildOf,
  type SourceBlock,
  sourceHashOf,
  type ViewSet,
} from '@tracelake/lakehouse';
import { writeParquet } from '@tracelake/parquet';
import type { CommitOutcome, NewPartition, RejectedBlock } from '@tracelake/storage';
import { MaterializerError } from '../materializer-error.ts';
import type { BuildDependencies } from './build-dependencies.ts';
import { eventRangeOf } from './event-range.ts';
import type { EncodedRows } from './partition-writer.ts';
import { type FoldedRun, RunReading } from './run-building.ts';
import type { FinishedRun, RunFile } from './run-messages.ts';

export interface PlanExecutionRequest {
  readonly view: ViewSet;
  readonly instance: string;
  readonly schemaHash: string;
  readonly context: RunContext;
  readonly plan: BuildPlan;
  /** The plan replaces runs by one that holds the same. */
  readonly merge?: MergeOrder;
  readonly signal: AbortSignal;
}

export interface MergeOrder {
  /** The run whose carry the first segment starts from. */
  readonly predecessor: PartitionSummary | undefined;
  /** Called before each commit; false gives the run up, as a conflict does. */
  readonly accepts: (run: NewPartition, rejected: readonly RejectedBlock[]) => boolean;
}

export interface PlanExecutionOutcome {
  /** `conflict`: another writer was first; what was committed before stays. */
  readonly decision: 'committed' | 'conflict';
  readonly built: number;
  readonly blocksDecoded: number;
  readonly rows: number;
  /** Of all partitions that the plan is about; empty after a conflict. */
  readonly sourceHashes: readonly string[];
}

/** Errors: whatever a build or the stores throw; what is committed by then stays and is consistent. */
export async function executePlan(
  request: PlanExecutionRequest,
  deps: BuildDependencies,
): Promise<PlanExecutionOutcome> {
  return await new PlanExecution(request, deps).run();
}

/** The state after a run: what the next one starts from. */
interface Carry {
  readonly hash: string | null;
  /** Undefined bytes of a non-null hash are still in the catalog, under `partitionId`. */
  readonly bytes: Uint8Array | undefined;
  readonly partitionId: string | undefined;
}

const NO_CARRY: Carry = { hash: null, bytes: undefined, partitionId: undefined };

/** The carry of a kept run is gone: another writer has replaced it. */
const GONE = Symbol('gone');

class PlanExecution {
  readonly #request: PlanExecutionRequest;
  readonly #deps: BuildDependencies;
  readonly #sourceHashes: string[] = [];
  #carry: Carry = NO_CARRY;
  /** The next segment's blocks, while the one before is written. */
  #ahead: RunReading | undefined;
  #built = 0;
  #blocksDecoded = 0;
  #rows = 0;

  constructor(request: PlanExecutionRequest, deps: BuildDependencies) {
    this.#request = request;
    this.#deps = deps;
    if (request.merge?.predecessor !== undefined) this.#carry = carryOf(request.merge.predecessor);
  }

  async run(): Promise<PlanExecutionOutcome> {
    try {
      return await this.#runSegments();
    } finally {
      await this.#ahead?.[Symbol.asyncDispose]();
    }
  }

  async #runSegments(): Promise<PlanExecutionOutcome> {
    const { plan, view } = this.#request;
    let isLastCommitted = false;
    for (const [index, planned] of plan.segments.entries()) {
      const isLast = index === plan.segments.length - 1;
      if (planned.kind === 'keep' && !(view.folds && mustRebuild(planned, this.#carry.hash))) {
        this.#keep(planned);
        continue;
      }
      const segment = planned.kind === 'keep' ? await this.#rebuild(planned) : planned;
      if (segment === GONE || !(await this.#buildSegment(segment, plan.segments[index + 1]))) {
        return this.#outcome('conflict');
      }
      isLastCommitted = isLast;
    }
    if (isLastCommitted || (!plan.tailNeeded && plan.retires.length === 0)) {
      return this.#outcome('committed');
    }
    return this.#outcome((await this.#finishKept()) ? 'committed' : 'conflict');
  }

  #outcome(decision: PlanExecutionOutcome['decision']): PlanExecutionOutcome {
    return {
      decision,
      built: this.#built,
      blocksDecoded: this.#blocksDecoded,
      rows: this.#rows,
      sourceHashes: decision === 'conflict' ? [] : this.#sourceHashes,
    };
  }

  #keep({ partition }: KeepSegment): void {
    this.#carry = carryOf(partition);
    this.#sourceHashes.push(partition.sourceHash);
    this.#deps.metrics.partitionsKept.inc({ view: this.#request.view.name });
  }

  /** Plans hold no block of a run that they mean to keep. */
  async #rebuild(segment: KeepSegment): Promise<BuildSegment | typeof GONE> {
    const { view, instance, schemaHash, signal } = this.#request;
    const { partitionId } = segment.partition;
    const key = { viewSet: view.name, instance, schemaHash };
    const blocks = await this.#deps.catalog.loadCoveredBlocks(key, [partitionId], signal);
    return blocks.length === segment.blockCount ? rebuildOf(segment, blocks) : GONE;
  }

  /** False when another writer was first. */
  async #buildSegment(
    segment: BuildSegment,
    next: BuildPlan['segments'][number] | undefined,
  ): Promise<boolean> {
    const { plan } = this.#request;
    const isLast = next === undefined;
    const { blocks, reason } = segment;
    await using reading = this.#ahead ?? this.#read(segment);
    this.#ahead = undefined;
    const carryIn = await this.#loadCarry();
    if (carryIn === GONE) return false;
    await using run = await reading.fold(carryIn);
    if (next?.kind === 'build') this.#ahead = this.#read(next);
    const carryInHash = this.#carry.hash;
    const { partition, finished } = await this.#writeRun(segment, run, carryInHash);
    const { carryOut, tail, notes } = finished;
    const carryOutHash = carryHashOf(carryOut);
    const made: NewPartition[] = [partition];
    if (isLast && plan.tailNeeded) {
      made.push(await this.#writeTail(tail, carryOutHash, insertRangeOf(blocks)));
    }
    const replaces = [...segment.replaces, ...(isLast ? plan.retires : [])];
    const { rejected } = run;
    const isAccepted = this.#request.merge?.accepts(partition, rejected);
    if (isAccepted === false) {
      await this.#deps.writer.discard(made.map(objectKeyOf));
      return false;
    }
    if (!(await this.#commit({ replaces, made, carryInHash, rejected }))) return false;
    this.#carry = { hash: carryOutHash, bytes: carryOut, partitionId: partition.partitionId };
    this.#blocksDecoded += blocks.length - rejected.length;
    this.#reportWritten({ made, blocks, reason, notes });
    return true;
  }

  #read({ blocks }: BuildSegment): RunReading {
    const { view, context, signal } = this.#request;
    return new RunReading({ view, context, blocks, signal }, this.#deps);
  }

  /** Every run was kept: what is left to do is the tail, and to take away what is no longer wanted. */
  async #finishKept(): Promise<boolean> {
    const { plan, view, context } = this.#request;
    const last = plan.segments.at(-1);
    const made: NewPartition[] = [];
    if (plan.tailNeeded && last?.kind === 'keep') {
      const carry = await this.#loadCarry();
      if (carry === GONE) return false;
      const { tail } = view.createRunBuilder(context, carry).finish();
      made.push(await this.#writeTail(tail, this.#carry.hash, last.partition));
    }
    const commit = { replaces: plan.retires, made, carryInHash: this.#carry.hash, rejected: [] };
    if (!(await this.#commit(commit))) return false;
    this.#reportWritten({ made, blocks: [], reason: 'tail or deleted blocks', notes: undefined });
    return true;
  }

  async #loadCarry(): Promise<Uint8Array | undefined | typeof GONE> {
    const { hash, bytes, partitionId } = this.#carry;
    if (hash === null || bytes !== undefined || partitionId === undefined) return bytes;
    const stored = await this.#deps.catalog.loadCarry(partitionId, this.#request.signal);
    return carryHashOf(stored) === hash ? stored : GONE;
  }

  async #writeRun(
    { blocks }: BuildSegment,
    run: FoldedRun,
    carryInHash: string | null,
  ): Promise<{ readonly partition: NewPartition; readonly finished: FinishedRun }> {
    const { facts, encoded: finished } = await this.#writePartition(
      { kind: 'run', blocks, range: insertRangeOf(blocks), carryInHash },
      (file) => run.finish(file),
    );
    const { minEventNs, maxEventNs, carryOut } = finished;
    const partition = {
      ...facts,
      blockIds: blocks.map((block) => block.blockId),
      minEventNs: minEventNs ?? null,
      maxEventNs: maxEventNs ?? null,
      carryOutHash: carryHashOf(carryOut),
      carryOut,
      eventCount: blocks.reduce((count, block) => count + block.objectCount, 0),
    };
    return { partition, finished };
  }

  /** A tail is written though it has no rows: it says that the chain's end was looked at. */
  async #writeTail(
    tail: RowColumns | undefined,
    carryInHash: string | null,
    { beginInsertUs, endInsertUs }: InsertRange,
  ): Promise<NewPartition> {
    const rows = tail ?? { rowCount: 0, columns: [] };
    const { view, signal } = this.#request;
    const { columns } = view;
    const { facts } = await this.#writePartition(
      { kind: 'tail', blocks: [], range: { beginInsertUs, endInsertUs }, carryInHash },
      async (file) => {
        const { rowCount } = rows;
        if (rowCount === 0) return { rowCount, sizeBytes: 0 };
        return { rowCount, ...(await writeParquet({ ...file, columns, rows, signal })) };
      },
    );
    return {
      ...facts,
      ...eventRangeOf(view, rows),
      blockIds: [],
      carryOutHash: null,
      eventCount: 0,
    };
  }

  async #writePartition<Encoded extends EncodedRows>(
    part: {
      readonly kind: 'run' | 'tail';
      /** None for a tail, which takes the insert times of the last run. */
      readonly blocks: readonly SourceBlock[];
      readonly range: InsertRange;
      readonly carryInHash: string | null;
    },
    write: (file: RunFile) => Promise<Encoded>,
  ): Promise<{
    readonly facts: Omit<
      NewPartition,
      'blockIds' | 'minEventNs' | 'maxEventNs' | 'carryOutHash' | 'eventCount'
    >;
    readonly encoded: Encoded;
  }> {
    const { view, instance, schemaHash, context, signal } = this.#request;
    const { kind, blocks, range, carryInHash } = part;
    const sourceHash = sourceHashOf({ context, blocks, carryInHash });
    const viewSet = view.name;
    const partitionId = partitionIdOf({ viewSet, instance, schemaHash, sourceHash, kind });
    const { beginInsertUs } = range;
    const identity = { view, instance, schemaHash, sourceHash, partitionId };
    const { writer, metrics } = this.#deps;
    const request = { ...identity, beginInsertUs, signal };
    const { objectKey, encoded } = await writer.publish(request, write);
    const { rowCount, sizeBytes } = encoded;
    metrics.rowsWritten.inc({ view: view.name }, rowCount);
    metrics.bytesWritten.inc({ view: view.name }, sizeBytes);
    const stored = { rowCount, sizeBytes, objectKey };
    const facts = { partitionId, kind, sourceHash, carryInHash, ...range, ...stored };
    return { facts, encoded };
  }

  async #commit(commit: {
    readonly replaces: readonly string[];
    readonly made: readonly NewPartition[];
    readonly carryInHash: string | null;
    readonly rejected: readonly RejectedBlock[];
  }): Promise<boolean> {
    const { view, instance, schemaHash, signal } = this.#request;
    const keys = commit.made.map(objectKeyOf);
    let outcome: CommitOutcome;
    try {
      signal.throwIfAborted();
      outcome = await this.#deps.catalog.commit(
        {
          viewSet: view.name,
          instance,
          schemaHash,
          replaces: commit.replaces,
          insert: commit.made,
          expectPredecessorCarryHash: commit.carryInHash ?? undefined,
          rejected: commit.rejected,
          fence: this.#deps.fence,
        },
        signal,
      );
    } catch (error) {
      // It may have been committed all the same, so the files stay: at worst they are orphans.
      this.#deps.logger.debug('commit failed', { view: view.name, instance, error });
      throw error;
    }
    if (outcome !== 'committed') await this.#deps.writer.discard(keys);
    if (outcome === 'fenced') throw laneLost(view.name, instance);
    return outcome === 'committed';
  }

  #reportWritten(report: {
    readonly made: readonly NewPartition[];
    readonly blocks: readonly SourceBlock[];
    readonly reason: string;
    readonly notes: RunResult['notes'] | undefined;
  }): void {
    const { view, instance, merge } = this.#request;
    const { metrics, logger } = this.#deps;
    // Whoever merges tells what it came to: nothing was built that was not there.
    if (merge !== undefined) return;
    for (const partition of report.made) {
      this.#sourceHashes.push(partition.sourceHash);
      this.#built += 1;
      this.#rows += partition.rowCount;
      metrics.partitionsBuilt.inc({ view: view.name });
      logger.info('partition written', writtenFacts(view, instance, partition, report));
    }
    const nowMs = Date.now();
    for (const { insertTimeUs } of report.blocks) {
      metrics.lagMs.observe({ view: view.name }, Math.max(0, nowMs - Number(insertTimeUs) / 1000));
    }
  }
}

function laneLost(viewSet: string, instance: string): MaterializerError {
  return new MaterializerError('materializer.lane-lost', 'another replica has the lane by now', {
    retryable: true,
    details: { viewSet, instance },
  });
}

function carryOf({ partitionId, carryOutHash }: PartitionSummary): Carry {
  return { hash: carryOutHash, bytes: undefined, partitionId };
}

function objectKeyOf({ objectKey }: NewPartition): string | null {
  return objectKey;
}

function writtenFacts(
  view: ViewSet,
  instance: string,
  partition: Pick<PartitionSummary, 'partitionId' | 'kind' | 'rowCount' | 'sizeBytes'>,
  report: { readonly reason: string; readonly notes: RunResult['notes'] | undefined },
): Record<string, unknown> {
  const { partitionId, kind, rowCount, sizeBytes } = partition;
  const facts = { view: view.name, instance, partitionId, kind, rowCount, sizeBytes };
  return { ...facts, reason: report.reason, notes: kind === 'run' ? report.notes : undefined };
}
