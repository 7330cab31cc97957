/** Which files of an instance a query reads, and what is said of the blocks behind them. Pure. */

import { countBlocks } from '@tracelake/lake-reading';
import type { PartitionSummary } from '@tracelake/lakehouse';
import type { LakeInstance, PartitionState } from '@tracelake/storage';
import type { QueryRange } from './source-selection.ts';

export interface ChosenFile {
  readonly objectKey: string;
  readonly sizeBytes: number;
}

/** Files that may hold rows of the range, both ends inclusive, in order of key. */
export function chooseFiles(
  partitions: readonly Pick<PartitionState, 'partition'>[],
  range: QueryRange,
): ChosenFile[] {
  return partitions
    .map(({ partition }) => partition)
    .filter((partition) => mayHoldRows(partition, range))
    .flatMap(({ objectKey, sizeBytes }) => (objectKey === null ? [] : [{ objectKey, sizeBytes }]))
    .sort((a, b) => (a.objectKey < b.objectKey ? -1 : 1));
}

export function mayHoldRows(
  { objectKey, minEventNs, maxEventNs }: PartitionSummary,
  { beginNs, endNs }: QueryRange,
): boolean {
  if (objectKey === null || minEventNs === null || maxEventNs === null) return false;
  if (endNs !== undefined && minEventNs > endNs) return false;
  return beginNs === undefined || maxEventNs >= beginNs;
}

/** What an answer is made from: sent with it, so that its reader can tell what it lacks. */
export interface Receipt {
  /** Blocks that the views of the statement have, each counted once. */
  readonly blocksKnown: number;
  readonly blocksRead: number;
  readonly blocksRejected: number;
  /** Of the rejected ones, the first 20 by id. */
  readonly rejectedIds: readonly string[];
  /** `view=version:schema hash`. */
  readonly viewVersions: readonly string[];
  /** Whether a block of what was read came within the last minute. */
  readonly processWriting: boolean;
}

const WRITING_WITHIN_US = 60_000_000n;

export interface ReceiptInput {
  readonly instances: readonly LakeInstance[];
  readonly viewVersions: readonly string[];
  readonly nowUs: bigint;
}

export function receiptOf({ instances, viewVersions, nowUs }: ReceiptInput): Receipt {
  const { known, read, rejected, rejectedIds, lastInsertUs } = countBlocks(instances);
  return {
    blocksKnown: known,
    blocksRead: read,
    blocksRejected: rejected,
    rejectedIds,
    viewVersions: [...new Set(viewVersions)].sort(),
    processWriting: lastInsertUs !== undefined && nowUs - lastInsertUs < WRITING_WITHIN_US,
  };
}
