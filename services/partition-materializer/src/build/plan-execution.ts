/**
 * Carries a plan out, segment by segment, each committed as it is built: while one is published and committed, which is
 * mostly waiting for disk and database, the next is folded already. Of a view that folds, a segment starts from the carry
 * of the one before, so what was to be kept is decided again here.
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
import type { EncodedRows, WrittenFile } from './partition-writer.ts';
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

interface WrittenPartition<Encoded extends EncodedRows> extends WrittenFile<Encoded> {
  readonly identity: Pick<
    NewPartition,
    'partitionId' | 'kind' | 'sourceHash' | 'carryInHash' | 'beginInsertUs' | 'endInsertUs'
  >;
}

/** A segment's run in its file, not yet committed. */
interface WrittenRun {
  readonly segment: BuildSegment;
  readonly written: WrittenPartition<FinishedRun>;
  readonly carryInHash: string | null;
  readonly rejected: readonly RejectedBlock[];
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
  /** The commit under way, of the segment before; false when another writer was first. */
  #committing: Promise<boolean> = Promise.resolve(true);
  #built = 0;
  #blocksDecoded = 0;
  #rows = 0;

  constructor(request: PlanExecutionRequest, deps: BuildDependencies) {
    this.#request = request;
    this.#deps = deps;
    if (request.merge?.predecessor !== undefined) this.#carry = carryOf(request.merge.predecessor);
  }

  async run(): Promise<PlanExecutionOutcome> {
    using _user = this.#deps.cpuTokens.enter();
    try {
      return await this.#runSegments();
    } finally {
      await Promise.allSettled([this.#ahead?.[Symbol.asyncDispose](), this.#committing]);
    }
  }

  async #runSegments(): Promise<PlanExecutionOutcome> {
    const { plan, view } = this.#request;
    let isLastBuilt = false;
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
      isLastBuilt = isLast;
    }
    if (!(await this.#committing)) return this.#outcome('conflict');
    if (isLastBuilt || (!plan.tailNeeded && plan.retires.length === 0)) {
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

  /** Builds it and begins to commit it. False when another writer was first, here or with the segment before. */
  async #buildSegment(
    segment: BuildSegment,
    next: BuildPlan['segments'][number] | undefined,
  ): Promise<boolean> {
    await using reading = this.#ahead ?? this.#read(segment);
    this.#ahead = undefined;
    const carryIn = await this.#loadCarry();
    if (carryIn === GONE) return false;
    await using run = await reading.fold(carryIn);
    if (next?.kind === 'build') this.#ahead = this.#read(next);
    const carryInHash = this.#carry.hash;
    const { rejected } = run;
    await using unclaimed = new AsyncDisposableStack();
    const written = unclaimed.use(await this.#writeRun(segment, run, carryInHash));
    // In their order, because each is checked against the carry of the one before.
    if (!(await this.#committing)) return false;
    unclaimed.move();
    const { carryOut } = written.encoded;
    const hash = carryHashOf(carryOut);
    this.#carry = { hash, bytes: carryOut, partitionId: written.identity.partitionId };
    this.#committing = this.#commitRun(
      { segment, written, carryInHash, rejected },
      next === undefined,
    );
    // Met by whoever waits for it next.
    this.#committing.catch(() => {});
    return true;
  }

  /** False when another writer was first. */
  async #commitRun(
    { segment, written, carryInHash, rejected }: WrittenRun,
    isLast: boolean,
  ): Promise<boolean> {
    await using file = written;
    const { plan } = this.#request;
    const { blocks, reason } = segment;
    const { carryOut, tail, notes } = file.encoded;
    const partition = await this.#publishRun(segment, file);
    const made: NewPartition[] = [partition];
    if (isLast && plan.tailNeeded) {
      made.push(await this.#writeTail(tail, carryHashOf(carryOut), insertRangeOf(blocks)));
    }
    const replaces = [...segment.replaces, ...(isLast ? plan.retires : [])];
    const isAccepted = this.#request.merge?.accepts(partition, rejected);
    if (isAccepted === false) {
      await this.#deps.writer.discard(made.map(objectKeyOf));
      return false;
    }
    if (!(await this.#commit({ replaces, made, carryInHash, rejected }))) return false;
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
  ): Promise<WrittenPartition<FinishedRun>> {
    const part = { kind: 'run', blocks, range: insertRangeOf(blocks), carryInHash } as const;
    return await this.#writePartition(part, (file) => run.finish(file));
  }

  async #publishRun(
    { blocks }: BuildSegment,
    written: WrittenPartition<FinishedRun>,
  ): Promise<NewPartition> {
    const { minEventNs, maxEventNs, carryOut } = written.encoded;
    return {
      ...(await this.#publish(written)),
      blockIds: blocks.map((block) => block.blockId),
      minEventNs: minEventNs ?? null,
      maxEventNs: maxEventNs ?? null,
      carryOutHash: carryHashOf(carryOut),
      carryOut,
      eventCount: blocks.reduce((count, block) => count + block.objectCount, 0),
    };
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
    const part = {
      kind: 'tail',
      blocks: [],
      range: { beginInsertUs, endInsertUs },
      carryInHash,
    } as const;
    await using written = await this.#writePartition(part, async (file) => {
      const { rowCount } = rows;
      if (rowCount === 0) return { rowCount, sizeBytes: 0 };
      return { rowCount, ...(await writeParquet({ ...file, columns, rows, signal })) };
    });
    return {
      ...(await this.#publish(written)),
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
  ): Promise<WrittenPartition<Encoded>> {
    const { view, instance, schemaHash, context, signal } = this.#request;
    const { kind, blocks, range, carryInHash } = part;
    const sourceHash = sourceHashOf({ context, blocks, carryInHash });
    const viewSet = view.name;
    const partitionId = partitionIdOf({ viewSet, instance, schemaHash, sourceHash, kind });
    const { beginInsertUs } = range;
    const request = { view, instance, schemaHash, sourceHash, partitionId, beginInsertUs, signal };
    const file = await this.#deps.writer.write(request, write);
    return { ...file, identity: { partitionId, kind, sourceHash, carryInHash, ...range } };
  }

  async #publish({ identity, encoded, publish }: WrittenPartition<EncodedRows>) {
    const { view } = this.#request;
    const { metrics } = this.#deps;
    const objectKey = await publish();
    const { rowCount, sizeBytes } = encoded;
    metrics.rowsWritten.inc({ view: view.name }, rowCount);
    metrics.bytesWritten.inc({ view: view.name }, sizeBytes);
    return { ...identity, rowCount, sizeBytes, objectKey };
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
