/**
 * What to build so that the partitions of a view instance are current. Plans compare sets of block ids, never
 * watermarks: a block may become visible after one that was inserted later.
 *
 * A view that folds lays its blocks out in stream order; each run is an unbroken stretch of them and is good
 * only for the carry it was built from, which is known for certain only while the plan is carried out:
 * `mustRebuild` decides that part. A view that does not fold may cut its blocks into runs anyhow.
 */

import type { BlockId } from '@tracelake/domain';
import { ensureExists } from '@tracelake/domain';
import { decideFreshness, type InsertRange } from './freshness.ts';
import type { PartitionRecord, PartitionSummary, SourceBlock } from './partition.ts';
import { type SourceContext, sourceHashOf } from './source-hash.ts';
import { type ArrivalPlace, compareInsertOrder, compareStreamOrder } from './stream-order.ts';
import type { ViewSet } from './view.ts';

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
function runWeightOf(block: SourceBlock, runEventsMax: number): number {
  return Math.max(block.objectCount, runWeightMinOf(runEventsMax));
}

/** What a block counts for at least. */
export function runWeightMinOf(runEventsMax: number): number {
  return Math.ceil(runEventsMax / RUN_BLOCKS_MAX);
}

export interface PlanRequest {
  readonly view: Pick<ViewSet, 'folds'>;
  readonly schemaHash: string;
  readonly context: SourceContext;
  /** In any order, each once. Rejected blocks too: a run covers them like any other. */
  readonly wanted: readonly SourceBlock[];
  /** Those of another schema hash are left alone. */
  readonly partitions: readonly PartitionRecord[];
  /** Default `runEventsMaxOf` the view. */
  readonly runEventsMax?: number;
}

/** A run some of whose blocks are still wanted. */
export interface JudgedRun {
  readonly partition: PartitionSummary;
  /** Undefined: as wanted. */
  readonly staleReason: string | undefined;
  /** Its first block in the order of the view. */
  readonly first: ArrivalPlace;
  /** Of its blocks that are still wanted; their weights as `runWeightOf` counts them. */
  readonly blockCount: number;
  readonly weight: number;
}

/** A block that no run covers as is wanted. */
export interface UnplacedBlock {
  readonly block: SourceBlock;
  /** Id of the stale run that covers it. */
  readonly ownerId: string | undefined;
}

/** An instance of which no kept block need be held. */
export interface LayoutRequest {
  readonly view: Pick<ViewSet, 'folds'>;
  readonly context: SourceContext;
  readonly runs: readonly JudgedRun[];
  /** Runs none of whose blocks is wanted any more. */
  readonly gone: readonly PartitionSummary[];
  readonly tails: readonly PartitionSummary[];
  /** In the order of the view. */
  readonly unplaced: readonly UnplacedBlock[];
  /** There are more blocks behind the last of `unplaced`: the plan ends there, and another one must follow. */
  readonly isPartial: boolean;
  /** Default `runEventsMaxOf` the view. */
  readonly runEventsMax?: number | undefined;
}

/** A run that stays, if it starts from the carry that it was built from. */
export interface KeepSegment {
  readonly kind: 'keep';
  readonly partition: PartitionSummary;
  readonly blockCount: number;
  readonly weight: number;
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
  /** Of a view that folds: blocks in stream order, each segment starting from the carry of the last. */
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
  /** Blocks are left behind the last segment: plan again once this is carried out. */
  readonly isPartial: boolean;
}

export type InstancePlan = { readonly decision: 'current' } | BuildPlan;

/** Plans an instance. Pure; time and space are linear in blocks, but for one sort. */
export function planInstance(request: PlanRequest): InstancePlan {
  return planLayout(layoutOf(request));
}

/** Plans an instance whose runs have been judged. Pure; time and space are linear in runs and unplaced blocks. */
export function planLayout(request: LayoutRequest): InstancePlan {
  const { view, gone, tails, isPartial } = request;
  const segments = layOutSegments(request);
  if (!isPartial && gone.length === 0 && segments.every(isKeep) && holds(request, segments))
    return { decision: 'current' };
  return {
    decision: 'build',
    segments,
    tailNeeded: view.folds && !isPartial && segments.length > 0,
    retires: isPartial ? [] : [...tails, ...gone].map((one) => one.partitionId),
    isPartial,
  };
}

/** An instance whose blocks are all at hand. */
export function layoutOf(request: PlanRequest): LayoutRequest {
  const { view, context, wanted, runEventsMax } = request;
  const ordered = wanted.toSorted(orderOf(view));
  const positionOf = new Map(ordered.map((block, position) => [block.blockId, position]));
  const runs: JudgedRun[] = [];
  const gone: PartitionSummary[] = [];
  const ownerOf = new Map<BlockId, JudgedRun>();
  for (const partition of partitionsOf(request, 'run')) {
    const positions = partition.blockIds.flatMap((id) => positionOf.get(id) ?? []);
    const blocks = positions.map((position) => ensureExists(ordered[position], 'wanted block'));
    if (blocks.length === 0) {
      gone.push(partition);
      continue;
    }
    const run = judgeRun(request, ordered, { partition, positions, blocks });
    runs.push(run);
    for (const { blockId } of blocks) ownerOf.set(blockId, run);
  }
  const unplaced = ordered.flatMap((block) => {
    const owner = ownerOf.get(block.blockId);
    if (owner !== undefined && owner.staleReason === undefined) return [];
    return [{ block, ownerId: owner?.partition.partitionId }];
  });
  const tails = partitionsOf(request, 'tail');
  return { view, context, runs, gone, tails, unplaced, isPartial: false, runEventsMax };
}

/** The order in which blocks are laid out: as the stream recorded them where a view folds, else as they came. */
function orderOf({ folds }: Pick<ViewSet, 'folds'>): (a: ArrivalPlace, b: ArrivalPlace) => number {
  return folds ? compareStreamOrder : compareInsertOrder;
}

function partitionsOf(
  { partitions, schemaHash }: PlanRequest,
  kind: PartitionRecord['kind'],
): PartitionRecord[] {
  return partitions.filter((one) => one.schemaHash === schemaHash && one.kind === kind);
}

/**
 * Whether a run that was to be kept must be built again, now that the carry it would start from is known. To be
 * asked for each run of a view that folds, in order; `carryInHash` is the hash of the carry-out of the segment
 * before, null before the first.
 */
export function mustRebuild({ partition }: KeepSegment, carryInHash: string | null): boolean {
  return partition.carryInHash !== carryInHash;
}

/** What takes the place of a run that starts from another carry; `blocks` are its own, in order. */
export function rebuildOf(
  { partition }: KeepSegment,
  blocks: readonly SourceBlock[],
): BuildSegment {
  return {
    kind: 'build',
    blocks,
    replaces: [partition.partitionId],
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

interface RunInPlace {
  readonly partition: PartitionRecord;
  readonly positions: readonly number[];
  /** What of its blocks is still wanted, in its own order. */
  readonly blocks: readonly SourceBlock[];
}

function judgeRun(
  { view, schemaHash, context, runEventsMax = runEventsMaxOf(view) }: PlanRequest,
  ordered: readonly SourceBlock[],
  { partition, positions, blocks }: RunInPlace,
): JudgedRun {
  const wanted = view.folds ? stretchOf(ordered, positions) : blocks;
  const { carryInHash, blockIds, ...rest } = partition;
  const decision = decideFreshness(partition, {
    ...insertRangeOf(wanted),
    schemaHash,
    sourceHash: sourceHashOf({ context, blocks: wanted, carryInHash }),
  });
  const facts = {
    isCurrent: decision.kind === 'current',
    missing: blockIds.length - blocks.length,
    foreign: wanted.length - blocks.length,
  };
  return {
    partition: { ...rest, carryInHash },
    staleReason: staleReasonOf(facts),
    first: ensureExists(ordered[Math.min(...positions)], 'first block'),
    blockCount: blocks.length,
    weight: blocks.reduce((weight, block) => weight + runWeightOf(block, runEventsMax), 0),
  };
}

/** Why a run cannot stay: blocks of its own that are gone, or of others among its own (of a view that folds). */
export function staleReasonOf(facts: {
  readonly isCurrent: boolean;
  readonly missing: number;
  readonly foreign: number;
}): string | undefined {
  if (facts.missing > 0) return 'block deleted';
  if (facts.foreign > 0) return 'new block in range';
  return facts.isCurrent ? undefined : 'process, stream or calibration changed';
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
export function layOutSegments({
  view,
  runs,
  unplaced,
  isPartial,
  runEventsMax,
}: LayoutRequest): Segment[] {
  const compare = orderOf(view);
  const kept = runs
    .filter(({ staleReason }) => staleReason === undefined)
    .sort((a, b) => compare(a.first, b.first));
  const segments: Segment[] = [];
  const stale = new Map(
    runs.flatMap((run) =>
      run.staleReason === undefined ? [] : [[run.partition.partitionId, run] as const],
    ),
  );
  const pending = new PendingRun(stale, runEventsMax ?? runEventsMaxOf(view), segments);
  let next = 0;
  const keepBefore = (place: ArrivalPlace | undefined) => {
    for (let run = kept[next]; run !== undefined; run = kept[next]) {
      if (place !== undefined && compare(run.first, place) > 0) return;
      pending.cut();
      const { partition, blockCount, weight } = run;
      segments.push({ kind: 'keep', partition, blockCount, weight });
      next += 1;
    }
  };
  for (const { block, ownerId } of unplaced) {
    keepBefore(block);
    pending.add(block, ownerId);
  }
  // What lies behind the last block of a part may have other blocks before it.
  if (!isPartial) keepBefore(undefined);
  pending.cut();
  return segments;
}

/** Blocks gathered for the next new run. */
class PendingRun {
  readonly #stale: Map<string, JudgedRun>;
  readonly #runEventsMax: number;
  readonly #segments: Segment[];
  #blocks: SourceBlock[] = [];
  #replaces: JudgedRun[] = [];
  #weight = 0;

  constructor(stale: Map<string, JudgedRun>, runEventsMax: number, segments: Segment[]) {
    this.#stale = stale;
    this.#runEventsMax = runEventsMax;
    this.#segments = segments;
  }

  add(block: SourceBlock, ownerId: string | undefined): void {
    const weight = runWeightOf(block, this.#runEventsMax);
    if (this.#weight + weight > this.#runEventsMax) this.cut();
    this.#blocks.push(block);
    this.#weight += weight;
    if (ownerId === undefined) return;
    // A stale run goes with the first new run that has a block of it, or that block would be covered twice.
    const owner = this.#stale.get(ownerId);
    if (owner !== undefined) this.#replaces.push(owner);
    this.#stale.delete(ownerId);
  }

  cut(): void {
    if (this.#blocks.length === 0) return;
    this.#segments.push({
      kind: 'build',
      blocks: this.#blocks,
      replaces: this.#replaces.map((run) => run.partition.partitionId),
      reason: this.#replaces[0]?.staleReason ?? 'new blocks',
    });
    this.#blocks = [];
    this.#replaces = [];
    this.#weight = 0;
  }
}

/** Whether each run starts from the carry of the one before, and one tail from that of the last. */
function holds({ view, context, tails }: LayoutRequest, segments: readonly KeepSegment[]): boolean {
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
