/** The two orders of blocks: the order in which a stream recorded them, and the order of arrival. */

import type { BlockInfo } from '@tracelake/domain';
import type { SourceBlock } from './partition.ts';

/** Where a block stands in its stream. */
export type StreamPosition = Pick<
  BlockInfo,
  'beginTicks' | 'endTicks' | 'objectOffset' | 'blockId'
>;

/** The order in which a stream recorded its blocks: `(begin_ticks, end_ticks, object_offset, block_id)`. */
export function compareStreamOrder(a: StreamPosition, b: StreamPosition): number {
  return (
    compare(a.beginTicks, b.beginTicks) ||
    compare(a.endTicks, b.endTicks) ||
    compare(a.objectOffset, b.objectOffset) ||
    compare(a.blockId, b.blockId)
  );
}

/** Where a block stands among those of all streams. */
export type ArrivalPlace = StreamPosition & Pick<SourceBlock, 'insertTimeUs' | 'streamId'>;

/** Order of arrival; blocks that came in the same microsecond stand by stream and then in stream order. */
export function compareInsertOrder(a: ArrivalPlace, b: ArrivalPlace): number {
  return (
    compare(a.insertTimeUs, b.insertTimeUs) ||
    compare(a.streamId, b.streamId) ||
    compareStreamOrder(a, b)
  );
}

/**
 * Splits blocks in stream order where data is missing: a chain ends before a block that begins after
 * everything of the chain has ended. Touching, overlapping and contained blocks stay together.
 */
export function groupChains<
  Block extends { readonly beginTicks: bigint; readonly endTicks: bigint },
>(blocks: readonly Block[]): Block[][] {
  const chains: Block[][] = [];
  let chain: Block[] = [];
  let chainEndTicks: bigint | undefined;
  for (const block of blocks) {
    if (chainEndTicks === undefined || breaksChain(chainEndTicks, block)) {
      chain = [];
      chains.push(chain);
      chainEndTicks = block.beginTicks;
    }
    chain.push(block);
    const lastTicks = lastTicksOf(block);
    if (lastTicks > chainEndTicks) chainEndTicks = lastTicks;
  }
  return chains;
}

/** Where a block ends: a client's clock that ran backward may have it end before it begins. */
export function lastTicksOf(block: {
  readonly beginTicks: bigint;
  readonly endTicks: bigint;
}): bigint {
  return block.endTicks > block.beginTicks ? block.endTicks : block.beginTicks;
}

/** Whether data is missing between a chain that ends at `chainEndTicks` and the next block. */
export function breaksChain(chainEndTicks: bigint, next: { readonly beginTicks: bigint }): boolean {
  return next.beginTicks > chainEndTicks;
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
