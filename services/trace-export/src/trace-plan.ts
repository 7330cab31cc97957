/**
 * What one export reads, decided from one snapshot of the catalog: the threads, the files and the source
 * hash. Pure; nothing after it asks the catalog again.
 */

import { createHash } from 'node:crypto';
import type { Nanoseconds, ProcessInfo, StreamId, TimeRange } from '@tracelake/domain';
import { type BlockCounts, countBlocks } from '@tracelake/lake-reading';
import { threadDisplayName } from '@tracelake/lakehouse';
import type { PartitionState, ProcessSnapshot } from '@tracelake/storage';
import type { SpanChoice } from './export-request.ts';

/** A file of a partition that may hold spans of the range. */
export interface PartitionFile {
  readonly objectKey: string;
  readonly minBeginNs: bigint;
}

export interface ThreadPlan {
  readonly streamId: StreamId;
  /** As the thread's depth-0 row has it. */
  readonly name: string;
  /** The producer's thread id, as it sent it. */
  readonly threadId: string | undefined;
  readonly files: readonly PartitionFile[];
}

export interface TracePlan {
  readonly process: ProcessInfo;
  readonly range: TimeRange;
  readonly spans: SpanChoice;
  /** In order of stream id: part of what makes a trace's bytes the same each time. */
  readonly threads: readonly ThreadPlan[];
  /** All of the process's, because an end may lie in any of them. */
  readonly asyncFiles: readonly PartitionFile[];
  /** The end given to async spans that have none: that of the process's last block. */
  readonly openEndNs: Nanoseconds;
  readonly blocks: Pick<BlockCounts, 'known' | 'read' | 'rejected'>;
  /** Over the covered blocks and their content, hex. */
  readonly sourceHash: string;
}

const THREAD_VIEW = 'thread_spans';
const ASYNC_VIEW = 'async_events';

/** The views that hold the spans asked for. */
export function viewsFor(spans: SpanChoice): string[] {
  return [...(spans === 'async' ? [] : [THREAD_VIEW]), ...(spans === 'thread' ? [] : [ASYNC_VIEW])];
}

export interface PlanRequest {
  readonly process: ProcessInfo;
  readonly snapshot: ProcessSnapshot;
  readonly range: TimeRange;
  readonly spans: SpanChoice;
}

export function planTrace(request: PlanRequest): TracePlan {
  const { process, snapshot, range, spans } = request;
  const filesOfThread = new Map<string, PartitionFile[]>();
  const asyncFiles: PartitionFile[] = [];
  for (const instance of snapshot.instances) {
    if (instance.viewSet === ASYNC_VIEW) asyncFiles.push(...filesOf(instance.partitions));
    else {
      const files = filesOf(instance.partitions, range);
      filesOfThread.set(instance.instance, files);
    }
  }
  const streams = [...snapshot.streams.values()].sort((a, b) => (a.streamId < b.streamId ? -1 : 1));
  return {
    process,
    range,
    spans,
    threads: streams.map((stream) => ({
      streamId: stream.streamId,
      name: threadDisplayName(stream),
      threadId: stream.properties['thread-id'],
      files: filesOfThread.get(stream.streamId) ?? [],
    })),
    asyncFiles,
    openEndNs: snapshot.lastBlockEndNs ?? process.startNs,
    blocks: countBlocks(snapshot.instances),
    sourceHash: sourceHashOf(snapshot),
  };
}

function filesOf(partitions: readonly PartitionState[], range?: TimeRange): PartitionFile[] {
  const files: PartitionFile[] = [];
  for (const { partition } of partitions) {
    const { objectKey, minEventNs, maxEventNs } = partition;
    if (objectKey === null || minEventNs === null || maxEventNs === null) continue;
    const overlaps =
      range === undefined || (minEventNs <= range.endNs && maxEventNs >= range.beginNs);
    if (overlaps) files.push({ objectKey, minBeginNs: minEventNs });
  }
  // By content, so that no query plan depends on how rows happen to lie in the catalog.
  return files.sort((a, b) => (a.objectKey < b.objectKey ? -1 : 1));
}

/** Over what the trace is made from: the blocks covered, those of them that have no rows, and the last end. */
function sourceHashOf({ instances, lastBlockEndNs }: ProcessSnapshot): string {
  const lines = new Set<string>();
  for (const { viewSet, instance, schemaHash, covered, contentDigest, blocksOf } of instances) {
    if (covered > 0) lines.add(`${viewSet} ${instance} ${schemaHash} ${contentDigest}`);
    for (const [streamId, { rejectedFingerprint }] of blocksOf) {
      if (rejectedFingerprint !== 0n) lines.add(`rejected ${streamId} ${rejectedFingerprint}`);
    }
  }
  const hash = createHash('sha256');
  for (const line of [...lines].sort()) hash.update(`${line}\n`);
  return hash.update(String(lastBlockEndNs)).digest('hex');
}
