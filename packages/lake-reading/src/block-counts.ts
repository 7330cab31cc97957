/** What an answer says of the blocks it was made from. Pure. */

import type { BlockId, StreamId } from '@tracelake/domain';
import { type LakeInstance, REJECTED_IDS_MAX, type StreamBlocks } from '@tracelake/storage';

/** Blocks of some instances, each counted once however many of their views have it. */
export interface BlockCounts {
  readonly known: number;
  /** Covered and decoded. Where views cover different blocks, those of the view that covers the most. */
  readonly read: number;
  readonly rejected: number;
  /** The first 20 by id. */
  readonly rejectedIds: readonly BlockId[];
  /** When the latest came, microseconds; undefined without a block. */
  readonly lastInsertUs: bigint | undefined;
}

/** Counts the blocks behind some instances of one snapshot. */
export function countBlocks(instances: readonly LakeInstance[]): BlockCounts {
  const streams = new Map<StreamId, StreamBlocks>();
  for (const { blocksOf } of instances) {
    for (const [streamId, blocks] of blocksOf) streams.set(streamId, blocks);
  }
  let known = 0;
  let rejected = 0;
  let lastInsertUs: bigint | undefined;
  const rejectedIds: BlockId[] = [];
  for (const blocks of streams.values()) {
    known += blocks.known;
    rejected += blocks.rejected;
    rejectedIds.push(...blocks.rejectedIds);
    const { lastInsertUs: last } = blocks;
    if (last !== undefined && (lastInsertUs === undefined || last > lastInsertUs)) {
      lastInsertUs = last;
    }
  }
  return {
    known,
    read: Math.max(0, known - countUncovered(instances) - rejected),
    rejected,
    rejectedIds: rejectedIds.sort().slice(0, REJECTED_IDS_MAX),
    lastInsertUs,
  };
}

/** Blocks of the same process and tag are the same blocks, whichever view covers them. */
function countUncovered(instances: readonly LakeInstance[]): number {
  const sources = Map.groupBy(instances, ({ process, streamTag }) => {
    return `${process?.processId} ${streamTag}`;
  });
  let uncovered = 0;
  for (const ofSource of sources.values()) {
    const views = [...Map.groupBy(ofSource, ({ viewSet }) => viewSet).values()].map((ofView) => ({
      known: sumOf(ofView, ({ known }) => known),
      uncovered: sumOf(ofView, ({ known, covered }) => known - covered),
    }));
    const most = Math.max(...views.map((view) => view.known));
    const whole = views.filter((view) => view.known === most);
    uncovered += Math.min(...whole.map((view) => view.uncovered));
  }
  return uncovered;
}

function sumOf(
  instances: readonly LakeInstance[],
  count: (instance: LakeInstance) => number,
): number {
  return instances.reduce((sum, instance) => sum + count(instance), 0);
}
