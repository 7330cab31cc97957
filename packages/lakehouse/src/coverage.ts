/**
 * Whether what is built of an instance can be read as it is, told from one fact for each partition: the blocks
 * themselves may be millions and are never held. It is the same decision as a plan over all covered blocks makes.
 */

import type { StreamId } from '@tracelake/domain';
import { decideFreshness, type InsertRange } from './freshness.ts';
import type { PartitionSummary } from './partition.ts';
import { type SourceContext, sourceHashOfContent } from './source-hash.ts';
import { compareStreamOrder, type StreamPosition } from './stream-order.ts';

/** The blocks that a partition covers as the catalog has them now. */
export interface CoveredContent {
  /** That it was built from; none for a tail. */
  readonly blockCount: number;
  /** Of these, how many are still there. */
  readonly presentCount: number;
  readonly streamIds: readonly StreamId[];
  /** As in `PartitionContent`. */
  readonly blockLines: Uint8Array;
  /** Undefined for a tail. */
  readonly insertRange: InsertRange | undefined;
}

/** What is to be known of a partition to tell whether it fits beside the others. */
export interface CoveredPartition {
  readonly partition: PartitionSummary;
  /** Its rows are those of its blocks, its context and its carry-in. */
  readonly isCurrent: boolean;
  /** Its first and its last block; undefined for a tail. */
  readonly first: StreamPosition | undefined;
  readonly last: StreamPosition | undefined;
}

/** Whether a partition is what would be built now from the blocks it covers and the carry it was built from. */
export function isContentCurrent(
  partition: PartitionSummary,
  content: CoveredContent,
  context: SourceContext,
): boolean {
  const { streamIds, blockLines, insertRange } = content;
  if (content.presentCount !== content.blockCount) return false;
  if (!streamIds.every((streamId) => context.streams.has(streamId))) return false;
  const { carryInHash, schemaHash } = partition;
  const sourceHash = sourceHashOfContent({ context, streamIds, blockLines, carryInHash });
  if (insertRange === undefined) return sourceHash === partition.sourceHash;
  const wanted = { ...insertRange, schemaHash, sourceHash };
  return decideFreshness(partition, wanted).kind === 'current';
}

/**
 * Whether partitions of one schema give exactly the rows of the blocks they cover: each is current, and those of a
 * view that folds lie one behind the other, start from the carry of the one before, and end with one tail.
 */
export function isCoverageConsistent(
  { folds }: { readonly folds: boolean },
  partitions: readonly CoveredPartition[],
): boolean {
  if (!partitions.every(({ isCurrent }) => isCurrent)) return false;
  const tails = partitions.filter(({ partition }) => partition.kind === 'tail');
  const runs = partitions.filter(({ partition }) => partition.kind === 'run');
  if (!folds || runs.length === 0) return tails.length === 0;
  const carryHash = carryAfter(runs);
  return (
    carryHash !== undefined && tails.length === 1 && tails[0]?.partition.carryInHash === carryHash
  );
}

/** The hash of the carry behind the last run; undefined when they do not follow each other. */
function carryAfter(runs: readonly CoveredPartition[]): string | null | undefined {
  let carryHash: string | null = null;
  let before: StreamPosition | undefined;
  for (const { partition, first, last } of runs.toSorted(byFirst)) {
    if (first === undefined || last === undefined) return undefined;
    // A block of one run within another: the other was built without it.
    if (before !== undefined && compareStreamOrder(before, first) >= 0) return undefined;
    if (partition.carryInHash !== carryHash) return undefined;
    carryHash = partition.carryOutHash;
    before = last;
  }
  return carryHash;
}

function byFirst(a: CoveredPartition, b: CoveredPartition): number {
  if (a.first === undefined || b.first === undefined) return 0;
  return compareStreamOrder(a.first, b.first);
}
