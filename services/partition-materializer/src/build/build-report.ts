import type { ProcessId } from '@tracelake/domain';
import type { RejectedBlock } from '@tracelake/storage';

/** What a look at one view instance came to. */
export interface BuildReport {
  /** `current`: nothing had to be built. */
  readonly decision: 'current' | 'written';
  /** The process whose blocks the instance is made of. */
  readonly processId: ProcessId;
  /** Partitions that the instance has now. */
  readonly partitions: number;
  /** Partitions built and committed by this call. */
  readonly built: number;
  readonly blocksDecoded: number;
  /** Rows written by this call. */
  readonly rows: number;
  /** All blocks of the instance that this view cannot decode. */
  readonly rejected: readonly RejectedBlock[];
  /** Names the content that the instance has now, for whoever waits. */
  readonly sourceHash: string;
}
