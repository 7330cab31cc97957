/**
 * Which small runs to merge, so that an instance that grows bit by bit does not end as thousands of files.
 *
 * Runs are weighed by their blocks. From small to large, `COMPACTION_WIDTH` or more neighbours become one, but only
 * where the result has several times the blocks of the largest among them: so each time that a block is written
 * again its run has grown by that factor, which happens a logarithm of the instance's blocks times at most, however
 * the runs lie. A run of more than half the events a run may have is done with.
 */

import { ensureExists } from '@tracelake/domain';
import type { PartitionSummary } from './partition.ts';
import {
  type KeepSegment,
  type LayoutRequest,
  layOutSegments,
  runEventsMaxOf,
} from './planning.ts';

/** Neighbours that are merged at least, but where a run is filled up to its cap. */
export const COMPACTION_WIDTH = 8;

/** The blocks of a merged run over those of the largest run in it, at least. */
export const COMPACTION_GROWTH_MIN = 4;

/** Runs to replace by one. */
export interface CompactionGroup {
  /** At least two, in order. */
  readonly partitions: readonly PartitionSummary[];
  /** Of all of them. */
  readonly blockCount: number;
  /** The carry that the merged run starts from: that of the first. */
  readonly carryInHash: string | null;
  /** The run whose carry-out that is; undefined at the start of a stream and for views that do not fold. */
  readonly predecessor: PartitionSummary | undefined;
}

/**
 * Chooses groups of adjacent runs to merge; no run is in two. Only runs that are current take part, so partitions
 * of an instance that has news since may be given: adjacent are those with no other block between them in the order
 * of the plan, and, of a view that folds, whose carries fit. Merge the last group first: one may start from the carry
 * of a run that the group before it merges. Once all are merged, nothing is left to merge. Pure; time is linear in
 * blocks and n log n in runs.
 */
export function planCompaction(request: LayoutRequest): CompactionGroup[] {
  const runEventsMax = request.runEventsMax ?? runEventsMaxOf(request.view);
  return stretchesOf(request).flatMap((stretch) =>
    mergeUpwards(stretch, runEventsMax)
      .filter(({ members }) => members.length > 1)
      .map(({ members }) => groupOf(members)),
  );
}

/** A current run where it stands. */
interface PlacedRun {
  readonly partition: PartitionSummary;
  readonly blockCount: number;
  readonly predecessor: PartitionSummary | undefined;
  /** Of all its blocks, as runs are cut by it. */
  readonly weight: number;
}

/** One run, or several that are to become one. */
interface Candidate {
  readonly members: readonly PlacedRun[];
  readonly blockCount: number;
  readonly eventCount: number;
}

/** Runs that may be merged with their neighbours, cut wherever two must not be. */
function stretchesOf(request: LayoutRequest): Candidate[][] {
  const stretches: Candidate[][] = [];
  let stretch: Candidate[] = [];
  const cut = () => {
    if (stretch.length > 1) stretches.push(stretch);
    stretch = [];
  };
  let previous: PartitionSummary | undefined;
  for (const [index, segment] of layOutSegments(request).entries()) {
    const predecessor = previous;
    previous = undefined;
    if (segment.kind === 'build' || !startsFrom(segment, predecessor, index, request)) {
      cut();
      continue;
    }
    const { partition, blockCount, weight } = segment;
    if (request.view.folds) previous = partition;
    stretch.push(candidateOf([{ partition, blockCount, predecessor, weight }]));
  }
  cut();
  return stretches;
}

/** Of a view that folds: whether the carry that the run was built from is the one that stands before it now. */
function startsFrom(
  { partition }: KeepSegment,
  predecessor: PartitionSummary | undefined,
  index: number,
  { view }: LayoutRequest,
): boolean {
  if (!view.folds) return true;
  if (predecessor !== undefined) return partition.carryInHash === predecessor.carryOutHash;
  return index === 0 && partition.carryInHash === null;
}

/** Merges the small ones first; what they become takes part in the merging of the larger ones. */
function mergeUpwards(stretch: readonly Candidate[], eventsMax: number): readonly Candidate[] {
  let merged: readonly Candidate[] = stretch;
  for (let below = COMPACTION_WIDTH; ; below *= COMPACTION_WIDTH) {
    merged = mergeTier(merged, below, eventsMax);
    if (merged.every(({ blockCount }) => blockCount < below)) return merged;
  }
}

/** Merges neighbours of fewer than `below` blocks each. */
function mergeTier(candidates: readonly Candidate[], below: number, eventsMax: number) {
  const merged: Candidate[] = [];
  let small: Candidate[] = [];
  let eventCount = 0;
  const close = (isFull: boolean) => {
    if (isFull && small.length > 1) merged.push(candidateOf(small.flatMap(membersOf)));
    else merged.push(...mergeWhereItGrows(small));
    small = [];
    eventCount = 0;
  };
  for (const candidate of candidates) {
    if (candidate.blockCount >= below || candidate.eventCount > eventsMax / 2) {
      close(false);
      merged.push(candidate);
      continue;
    }
    // What the next one does not fit into has more than half of a run's events: it is never written again.
    if (eventCount + candidate.eventCount > eventsMax) close(true);
    small.push(candidate);
    eventCount += candidate.eventCount;
  }
  close(false);
  return merged;
}

/** All as one where that multiplies the largest; else what lies on both sides of the largest. */
function mergeWhereItGrows(candidates: readonly Candidate[]): readonly Candidate[] {
  if (candidates.length < COMPACTION_WIDTH) return candidates;
  let total = 0;
  let largest = 0;
  for (const [index, { blockCount }] of candidates.entries()) {
    total += blockCount;
    if (blockCount > (candidates[largest]?.blockCount ?? 0)) largest = index;
  }
  const dominant = ensureExists(candidates[largest], 'largest run');
  if (total >= COMPACTION_GROWTH_MIN * dominant.blockCount)
    return [candidateOf(candidates.flatMap(membersOf))];
  return [
    ...mergeWhereItGrows(candidates.slice(0, largest)),
    dominant,
    ...mergeWhereItGrows(candidates.slice(largest + 1)),
  ];
}

function candidateOf(members: readonly PlacedRun[]): Candidate {
  let blockCount = 0;
  let eventCount = 0;
  for (const member of members) {
    blockCount += member.blockCount;
    eventCount += member.weight;
  }
  return { members, blockCount, eventCount };
}

function membersOf({ members }: Candidate): readonly PlacedRun[] {
  return members;
}

function groupOf(members: readonly PlacedRun[]): CompactionGroup {
  const [first] = members;
  return {
    partitions: members.map((run) => run.partition),
    blockCount: members.reduce((count, run) => count + run.blockCount, 0),
    carryInHash: first?.partition.carryInHash ?? null,
    predecessor: first?.predecessor,
  };
}
