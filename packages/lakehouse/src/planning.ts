/**
 * What to build so that the partitions of a view instance are current. Plans compare sets of block ids, never
 * watermarks: a block may become visible after one that was inserted later.
 *
 * A view that folds lays its blocks out in stream order; each run is an unbroken stretch of them and is good
 * only for the carry it was built from, which is known for certain only while the plan is carried out:
 * `resolveSegment` decides that part. A view that does not fold may cut its blocks into runs anyhow.
 */

import type { BlockId } from '@tracelake/domain';
import { ensureExists } from '@tracelake/domain';
import { decideFreshness, type InsertRange } from './freshness.ts';
import type { PartitionRecord, SourceBlock } from './partition.ts';
import { sourceHashOf } from './source-hash.ts';
import { compareInsertOrder, compareStreamOrder } from './stream-order.ts';
import type { RunContext, ViewSet } from './view.ts';

/** Events of a run at most, as `runWeightOf` counts them; a bigger block stands alone. */
export const RUN_EVENTS_MAX = 2 ** 20;

/**
 * Events of a run of a view that does not fold. Its rows may each have a text of their own, which take seconds to
 * put together for a million rows, and nothing ties its runs to each other.
 */
const UNFOLDED_RUN_EVENTS_MAX = 2 ** 18;

/** The cap on the runs of a view, unless a plan is asked for with another. */
export function runEventsMaxOf({ folds }: Pick<ViewSet, 'folds'>): number {
  return folds ? RUN_EVENTS_MAX : UNFOLDED_RUN_EVENTS_MAX;
}

const RUN_BLOCKS_MAX = 4096;

/**
 * What a block counts for in a run: the events it says it has, and enough that no run has more blocks than is
 * good. Blocks may say that they are empty.
 */
export function runWeightOf(block: SourceBlock, runEventsMax: number): number {
  return Math.max(block.objectCount, Math.ceil(runEventsMax / RUN_BLOCKS_MAX));
}

export interface PlanRequest {
  readonly view: Pick<ViewSet, 'folds'>;
  readonly schemaHash: string;
  readonly context: RunContext;
  /** In any order, each once. Rejected blocks too: a run covers them like any other. */
  readonly wanted: readonly SourceBlock[];
  /** Those of another schema hash are left alone. */
  readonly partitions: readonly PartitionRecord[];
  /** Default `runEventsMaxOf` the view. */
  readonly runEventsMax?: number;
}

export interface KeepSegment {
  readonly kind: 'keep';
  readonly partition: PartitionRecord;
  /** The blocks it covers, in the order in which they were folded. */
  readonly blocks: readonly SourceBlock[];
}

export interface BuildSegment {
  readonly kind: 'build';
  /** To be folded in this order; at least one. */
  readonly blocks: readonly SourceBlock[];
  /** Ids of runs that must go when this one is committed, because blocks of theirs are in it. */
  readonly replaces: readonly string[];
  readonly reason: string;
}

export type Segment = KeepSegment | BuildSegment;

export interface BuildPlan {
  readonly decision: 'build';
  /** Of a view that folds: all of its blocks in stream order, each segment starting from the carry of the last. */
  readonly segments: readonly Segment[];
  /**
   * Whether a tail must be written once the last segment is there. It is written though it has no rows: that
   * the chain's end was looked at is what makes the instance complete.
   */
  readonly tailNeeded: boolean;
  /**
   * Ids of partitions that no segment replaces: tails that the new one takes the place of, and runs all of whose
   * blocks are gone. They go with the last commit, which may have nothing to insert.
   */
  readonly retires: readonly string[];
}

export type InstancePlan = { readonly decision: 'current' } | BuildPlan;

/** Plans an instance. Pure; time and space are linear in blocks, but for one sort. */
export function planInstance(request: PlanRequest): InstancePlan {
  const tails = partitionsOf(request, 'tail');
  const { segments, gone } = layOutInstance(request);
  if (gone.length === 0 && segments.every(isKeep) && holds(request, segments, tails))
    return { decision: 'current' };
  return {
    decision: 'build',
    segments,
    tailNeeded: request.view.folds && request.wanted.length > 0,
    retires: [...tails, ...gone].map((one) => one.partitionId),
  };
}

/**
 * All wanted blocks in the order of the view, as kept runs and those to be built. What is kept may yet turn out to
 * start from another carry.
 */
export function planSegments(request: PlanRequest): Segment[] {
  return layOutInstance(request).segments;
}

/** Also tells which runs have no wanted block any more. */
function layOutInstance(request: PlanRequest): { segments: Segment[]; gone: PartitionRecord[] } {
  const { view, wanted, runEventsMax = runEventsMaxOf(request.view) } = request;
  const ordered = wanted.toSorted(view.folds ? compareStreamOrder : compareInsertOrder);
  const runs = partitionsOf(request, 'run');
  const judged = judgeRuns(request, ordered, runs);
  const segments = layOut(ordered, judged, runEventsMax);
  return { segments, gone: runs.filter((run) => !judged.covers(run)) };
}

function partitionsOf(
  { partitions, schemaHash }: PlanRequest,
  kind: PartitionRecord['kind'],
): PartitionRecord[] {
  return partitions.filter((one) => one.schemaHash === schemaHash && one.kind === kind);
}

/**
 * Decides a segment once the carry it starts from is known: a run that was built from another carry is built
 * again. Call it for each segment of a view that folds, in order; `carryInHash` is the hash of the carry-out of
 * the segment before, null before the first.
 */
export function resolveSegment(segment: Segment, carryInHash: string | null): Segment {
  if (segment.kind === 'build' || segment.partition.carryInHash === carryInHash) return segment;
  return {
    kind: 'build',
    blocks: segment.blocks,
    replaces: [segment.partition.partitionId],
    reason: 'carry-in changed',
  };
}

/** Whether the partitions give exactly the rows of the wanted blocks: then they can be read as they are. */
export function isConsistent(request: PlanRequest): 'complete' | 'incomplete' {
  return planInstance(request).decision === 'current' ? 'complete' : 'incomplete';
}

/** The insert times of blocks, of which there is at least one; inclusive at both ends. */
export function insertRangeOf(blocks: readonly SourceBlock[]): InsertRange {
  const first = ensureExists(blocks[0], 'block of a run');
  let beginInsertUs = first.insertTimeUs;
  let endInsertUs = first.insertTimeUs;
  for (const { insertTimeUs } of blocks) {
    if (insertTimeUs < beginInsertUs) beginInsertUs = insertTimeUs;
    if (insertTimeUs > endInsertUs) endInsertUs = insertTimeUs;
  }
  return { beginInsertUs, endInsertUs };
}

interface JudgedRun {
  readonly partition: PartitionRecord;
  /** Undefined: as wanted. */
  readonly staleReason: string | undefined;
  /** What of its blocks is still wanted, in its own order. */
  readonly blocks: readonly SourceBlock[];
}

class JudgedRuns {
  readonly ownerOf = new Map<BlockId, JudgedRun>();

  add(run: JudgedRun): void {
    for (const block of run.blocks) this.ownerOf.set(block.blockId, run);
  }

  /** Whether any block of the run is still wanted. */
  covers(run: PartitionRecord): boolean {
    return run.blockIds.some((id) => this.ownerOf.has(id));
  }
}

function judgeRuns(
  request: PlanRequest,
  ordered: readonly SourceBlock[],
  runs: readonly PartitionRecord[],
): JudgedRuns {
  const positionOf = new Map(ordered.map((block, position) => [block.blockId, position]));
  const judged = new JudgedRuns();
  for (const partition of runs) {
    const positions = partition.blockIds.flatMap((id) => positionOf.get(id) ?? []);
    const blocks = positions.map((position) => ensureExists(ordered[position], 'wanted block'));
    if (blocks.length === 0) continue;
    const staleReason = judgeRun(request, ordered, { partition, positions, blocks });
    judged.add({ partition, staleReason, blocks });
  }
  return judged;
}

interface RunInPlace {
  readonly partition: PartitionRecord;
  readonly positions: readonly number[];
  readonly blocks: readonly SourceBlock[];
}

function judgeRun(
  { view, schemaHash, context }: PlanRequest,
  ordered: readonly SourceBlock[],
  { partition, positions, blocks }: RunInPlace,
): string | undefined {
  const wanted = view.folds ? stretchOf(ordered, positions) : blocks;
  const { carryInHash } = partition;
  const decision = decideFreshness(partition, {
    ...insertRangeOf(wanted),
    schemaHash,
    sourceHash: sourceHashOf({ context, blocks: wanted, carryInHash }),
  });
  if (decision.kind === 'current') return undefined;
  if (blocks.length < partition.blockIds.length) return 'block deleted';
  if (wanted.length > blocks.length) return 'new block in range';
  return 'process, stream or calibration changed';
}

/** Every wanted block from the first to the last of `positions`. */
function stretchOf(ordered: readonly SourceBlock[], positions: readonly number[]): SourceBlock[] {
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (const position of positions) {
    first = Math.min(first, position);
    last = Math.max(last, position);
  }
  return ordered.slice(first, last + 1);
}

/** Keeps what can be kept where it stands and cuts the blocks between into new runs. */
function layOut(
  ordered: readonly SourceBlock[],
  judged: JudgedRuns,
  runEventsMax: number,
): Segment[] {
  const segments: Segment[] = [];
  const placed = new Set<JudgedRun>();
  const pending = new PendingRun(judged, placed, runEventsMax, segments);
  for (const block of ordered) {
    const owner = judged.ownerOf.get(block.blockId);
    if (owner === undefined || owner.staleReason !== undefined) {
      pending.add(block);
    } else if (!placed.has(owner)) {
      placed.add(owner);
      pending.cut();
      segments.push({ kind: 'keep', partition: owner.partition, blocks: owner.blocks });
    }
  }
  pending.cut();
  return segments;
}

/** Blocks gathered for the next new run. */
class PendingRun {
  readonly #judged: JudgedRuns;
  readonly #placed: Set<JudgedRun>;
  readonly #runEventsMax: number;
  readonly #segments: Segment[];
  #blocks: SourceBlock[] = [];
  #eventCount = 0;

  constructor(
    judged: JudgedRuns,
    placed: Set<JudgedRun>,
    runEventsMax: number,
    segments: Segment[],
  ) {
    this.#judged = judged;
    this.#placed = placed;
    this.#runEventsMax = runEventsMax;
    this.#segments = segments;
  }

  add(block: SourceBlock): void {
    const weight = runWeightOf(block, this.#runEventsMax);
    if (this.#eventCount + weight > this.#runEventsMax) this.cut();
    this.#blocks.push(block);
    this.#eventCount += weight;
  }

  cut(): void {
    if (this.#blocks.length === 0) return;
    const stale = this.#takeStaleOwners();
    const [firstStale] = stale;
    this.#segments.push({
      kind: 'build',
      blocks: this.#blocks,
      replaces: stale.map((run) => run.partition.partitionId),
      reason: firstStale?.staleReason ?? 'new blocks',
    });
    this.#blocks = [];
    this.#eventCount = 0;
  }

  /** A stale run goes with the first new run that has a block of it, or that block would be covered twice. */
  #takeStaleOwners(): JudgedRun[] {
    const stale: JudgedRun[] = [];
    for (const block of this.#blocks) {
      const owner = this.#judged.ownerOf.get(block.blockId);
      if (owner === undefined || this.#placed.has(owner)) continue;
      this.#placed.add(owner);
      stale.push(owner);
    }
    return stale;
  }
}

/** Whether each run starts from the carry of the one before, and one tail from that of the last. */
function holds(
  { view, context }: PlanRequest,
  segments: readonly KeepSegment[],
  tails: readonly PartitionRecord[],
): boolean {
  if (!view.folds || segments.length === 0) return tails.length === 0;
  let carryHash: string | null = null;
  for (const { partition } of segments) {
    if (partition.carryInHash !== carryHash) return false;
    carryHash = partition.carryOutHash;
  }
  const [tail] = tails;
  return (
    tails.length === 1 &&
    tail?.sourceHash === sourceHashOf({ context, blocks: [], carryInHash: carryHash })
  );
}

function isKeep(segment: Segment): segment is KeepSegment {
  return segment.kind === 'keep';
}
