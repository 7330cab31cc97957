/** What the catalog knows of blocks, streams and partitions, as planning sees it. */

import type { BlockId, BlockInfo, ProcessId, StreamId, UserDefinedType } from '@tracelake/domain';

/** A block whose process and stream are known: what a view can be built from. */
export interface SourceBlock extends BlockInfo {
  /** Microseconds since the Unix epoch, by the database's clock. */
  readonly insertTimeUs: bigint;
  readonly contentSha256: Uint8Array;
  readonly payloadBytes: number;
}

export interface SourceStream {
  readonly streamId: StreamId;
  readonly processId: ProcessId;
  readonly tags: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
  readonly dependenciesMetadata: readonly UserDefinedType[];
  readonly objectsMetadata: readonly UserDefinedType[];
  /** Over everything of the stream that rows depend on. */
  readonly metadataSha256: Uint8Array;
}

/**
 * One partition of a view instance. A `run` covers blocks; a `tail` covers none and holds what the carry of
 * the last run would give if the chain ended now.
 */
export interface PartitionRecord {
  readonly partitionId: string;
  readonly viewSet: string;
  readonly instance: string;
  readonly schemaHash: string;
  readonly kind: 'run' | 'tail';
  readonly sourceHash: string;
  /** Inclusive at both ends. */
  readonly beginInsertUs: bigint;
  readonly endInsertUs: bigint;
  /** Null when it has no row. */
  readonly minEventNs: bigint | null;
  readonly maxEventNs: bigint | null;
  /** In the order they were folded; empty for a tail. */
  readonly blockIds: readonly BlockId[];
  readonly carryInHash: string | null;
  readonly carryOutHash: string | null;
  /** Null when it has no row, and so no file. */
  readonly objectKey: string | null;
  readonly rowCount: number;
  readonly eventCount: number;
  readonly sizeBytes: number;
}

/** A partition without the list of its blocks, which may be long. */
export type PartitionSummary = Omit<PartitionRecord, 'blockIds'>;
