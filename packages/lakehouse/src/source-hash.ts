/** Names that follow from content: what a partition was built from, and what it is called. */

import { createHash, type Hash } from 'node:crypto';
import { ensureExists, type StreamId } from '@tracelake/domain';
import { canonicalJson } from './canonical-json.ts';
import type { SourceBlock, SourceStream } from './partition.ts';
import type { RunContext, ViewSet } from './view.ts';

/** What of a context is part of a source hash. */
export interface SourceContext extends Pick<RunContext, 'process' | 'calibration'> {
  readonly streams: ReadonlyMap<StreamId, Pick<SourceStream, 'properties' | 'metadataSha256'>>;
}

export interface PartitionSources {
  readonly context: SourceContext;
  /** In the order in which they are folded; none for a tail. */
  readonly blocks: readonly SourceBlock[];
  /** Null at the start of a stream, and for views that do not fold. */
  readonly carryInHash: string | null;
}

/**
 * SHA-256 (hex) over everything a partition's rows depend on besides the schema: each block's id and content,
 * the metadata of the streams these blocks are of, the process, the calibration and the carry-in.
 */
export function sourceHashOf({ context, blocks, carryInHash }: PartitionSources): string {
  const streamIds = blocks.map((block) => block.streamId);
  const hash = beginSourceHash({ context, streamIds, carryInHash });
  for (const block of blocks) {
    hash.update(`\nblock ${block.blockId} `);
    hash.update(block.contentSha256);
  }
  return hash.digest('hex');
}

export interface PartitionContent {
  readonly context: SourceContext;
  /** Of the blocks, in any order. */
  readonly streamIds: readonly StreamId[];
  /**
   * For each block in the order in which it is folded: a line feed, `block `, its id, a space and the 32 bytes of
   * its content hash. Empty for a tail.
   */
  readonly blockLines: Uint8Array;
  readonly carryInHash: string | null;
}

/** `sourceHashOf` of blocks that nobody holds as objects. */
export function sourceHashOfContent({ blockLines, ...rest }: PartitionContent): string {
  return beginSourceHash(rest).update(blockLines).digest('hex');
}

function beginSourceHash({
  context,
  streamIds,
  carryInHash,
}: Omit<PartitionContent, 'blockLines'>): Hash {
  const hash = createHash('sha256');
  hash.update(contextTextOf(context));
  hash.update(`\ncarry ${carryInHash ?? 'none'}\n`);
  for (const streamId of [...new Set(streamIds)].sort()) {
    const stream = ensureExists(context.streams.get(streamId), `stream ${streamId}`);
    hash.update(`stream ${streamId} ${canonicalJson(stream.properties)}\n`);
    hash.update(stream.metadataSha256);
  }
  return hash;
}

/** SHA-256 (hex) of a carry; null for none. */
export function carryHashOf(carry: Uint8Array | undefined): string | null {
  return carry === undefined ? null : createHash('sha256').update(carry).digest('hex');
}

/** SHA-256 (hex) over the schema: changes whenever the same blocks would give other files. */
export function schemaHashOf(view: ViewSet): string {
  const { name, schemaVersion, columns, instanceRule, streamTag, folds, sortColumns } = view;
  const schema = { name, schemaVersion, columns, instanceRule, streamTag, folds, sortColumns };
  return createHash('sha256').update(JSON.stringify(schema)).digest('hex');
}

export interface PartitionIdentity {
  readonly viewSet: string;
  readonly instance: string;
  readonly schemaHash: string;
  readonly sourceHash: string;
  readonly kind: 'run' | 'tail';
}

/** The id of a partition: 32 hex digits, the same whenever the same sources are built. */
export function partitionIdOf(identity: PartitionIdentity): string {
  const { viewSet, instance, schemaHash, sourceHash, kind } = identity;
  const text = [viewSet, instance, schemaHash, sourceHash, kind].join('\n');
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

function contextTextOf({ process, calibration }: SourceContext): string {
  const { startTicks, startNs, frequencyHz } = calibration;
  return canonicalJson({
    process: [
      process.processId,
      process.exe,
      process.username,
      process.computer,
      canonicalJson(process.properties),
    ],
    calibration: [String(startTicks), String(startNs), frequencyHz],
  });
}
