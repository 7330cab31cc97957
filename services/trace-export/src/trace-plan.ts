/**
 * What one export reads, decided from one snapshot of the catalog: the threads, the files and the source
 * hash. Pure; nothing after it asks the catalog again.
 */

import { createHash } from 'node:crypto';
import type { Nanoseconds, ProcessInfo, StreamId, TimeRange } from '@tracelake/domain';
import { type PartitionRecord, threadDisplayName } from '@tracelake/lakehouse';
import type { InstanceState, ProcessSnapshot } from '@tracelake/storage';
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
  readonly blocks: BlockCounts;
  /** Over the covered blocks and their content, hex. */
  readonly sourceHash: string;
}

export interface BlockCounts {
  readonly known: number;
  readonly read: number;
  readonly rejected: number;
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
    ...coverageOf(snapshot),
  };
}

function filesOf(partitions: readonly PartitionRecord[], range?: TimeRange): PartitionFile[] {
  const files: PartitionFile[] = [];
  for (const { objectKey, minEventNs, maxEventNs } of partitions) {
    if (objectKey === null || minEventNs === null || maxEventNs === null) continue;
    const overlaps =
      range === undefined || (minEventNs <= range.endNs && maxEventNs >= range.beginNs);
    if (overlaps) files.push({ objectKey, minBeginNs: minEventNs });
  }
  // By content, so that no query plan depends on how rows happen to lie in the catalog.
  return files.sort((a, b) => (a.objectKey < b.objectKey ? -1 : 1));
}

/** Counts blocks once, whichever views cover them, and hashes what the trace is made from. */
function coverageOf(snapshot: ProcessSnapshot): Pick<TracePlan, 'blocks' | 'sourceHash'> {
  const known = new Map<string, Uint8Array>();
  const covered = new Set<string>();
  const rejected = new Set<string>();
  const lines: string[] = [];
  for (const instance of snapshot.instances) {
    for (const block of instance.wanted) known.set(block.blockId, block.contentSha256);
    const ofInstance = coveredBlocks(instance);
    for (const blockId of ofInstance) covered.add(blockId);
    for (const blockId of instance.rejectedBlockIds) rejected.add(blockId);
    lines.push(
      ...ofInstance.map((blockId) => {
        const isRejected = instance.rejectedBlockIds.has(blockId as never);
        return `${instance.viewSet} ${instance.instance} ${instance.schemaHash} ${blockId} ${isRejected}`;
      }),
    );
  }
  const hash = createHash('sha256');
  for (const line of lines.sort()) hash.update(`${line}\n`);
  for (const blockId of [...covered].sort()) hash.update(known.get(blockId) ?? blockId);
  hash.update(String(snapshot.lastBlockEndNs));
  return {
    blocks: { known: known.size, read: covered.size - rejected.size, rejected: rejected.size },
    sourceHash: hash.digest('hex'),
  };
}

function coveredBlocks(instance: InstanceState): string[] {
  return instance.partitions.flatMap((partition) => [...partition.blockIds]);
}
