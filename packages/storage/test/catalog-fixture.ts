import { createHash, randomUUID } from 'node:crypto';
import {
  nanoseconds,
  type ProcessInfo,
  parseBlockId,
  parseProcessId,
  parseStreamId,
  type StreamInfo,
  ticks,
} from '@tracelake/domain';
import { BlockRepository, type NewBlock } from '../src/block-repository.ts';
import type { NewPartition } from '../src/partition-rows.ts';
import type { Database } from '../src/postgres/database.ts';
import { ProcessRepository } from '../src/process-repository.ts';
import { StreamRepository } from '../src/stream-repository.ts';

export const THREAD_VIEW = {
  name: 'thread_spans',
  streamTag: 'cpu',
  instanceRule: 'stream',
  folds: true,
} as const;
export const ASYNC_VIEW = {
  name: 'async_events',
  streamTag: 'cpu',
  instanceRule: 'process',
  folds: false,
} as const;
export const LOG_VIEW = {
  name: 'log_entries',
  streamTag: 'log',
  instanceRule: 'process',
  folds: false,
} as const;

export function newProcessId() {
  return parseProcessId(randomUUID()) as NonNullable<ReturnType<typeof parseProcessId>>;
}

export function newStreamId() {
  return parseStreamId(randomUUID()) as NonNullable<ReturnType<typeof parseStreamId>>;
}

export function newBlockId() {
  return parseBlockId(randomUUID()) as NonNullable<ReturnType<typeof parseBlockId>>;
}

export function makeProcess(changes: Partial<ProcessInfo> = {}): ProcessInfo {
  return {
    processId: newProcessId(),
    exe: '/usr/bin/game',
    username: 'ada',
    realname: 'Ada',
    computer: 'engine',
    distro: 'Debian',
    cpuBrand: 'test',
    tscFrequencyHz: 3_000_000_000n,
    startNs: nanoseconds(1_763_690_000_123_456_000n),
    startTicks: ticks(9_007_199_254_740_993n),
    parentProcessId: undefined,
    properties: { version: '1' },
    ...changes,
  };
}

export function makeStream(changes: Partial<StreamInfo> = {}): StreamInfo {
  return {
    streamId: newStreamId(),
    processId: newProcessId(),
    dependenciesMetadata: [],
    objectsMetadata: [
      {
        name: 'BeginThreadSpanEvent',
        size: 16,
        isReference: false,
        members: [{ name: 'time', typeName: 'u64', offset: 8, size: 8, isReference: false }],
      },
    ],
    tags: ['cpu'],
    properties: { 'thread-name': 'main' },
    ...changes,
  };
}

export function makeBlock(changes: Partial<NewBlock> = {}): NewBlock {
  const blockId = changes.blockId ?? newBlockId();
  return {
    blockId,
    streamId: newStreamId(),
    processId: newProcessId(),
    beginNs: nanoseconds(1_763_690_001_000_001_000n),
    endNs: nanoseconds(1_763_690_002_000_002_000n),
    beginTicks: ticks(10n),
    endTicks: ticks(20n),
    objectCount: 3,
    objectOffset: 0n,
    contentSha256: new Uint8Array(createHash('sha256').update(blockId).digest()),
    payloadBytes: 100,
    ...changes,
  };
}

export function makeRun(
  blocks: readonly NewBlock[],
  changes: Partial<NewPartition> = {},
): NewPartition {
  const partitionId = createHash('sha256').update(randomUUID()).digest('hex');
  return {
    partitionId,
    kind: 'run',
    sourceHash: partitionId,
    beginInsertUs: 1_763_690_003_000_001n,
    endInsertUs: 1_763_690_003_000_001n,
    minEventNs: 1_763_690_001_000_000_001n,
    maxEventNs: 1_763_690_002_000_000_999n,
    blockIds: blocks.map((block) => block.blockId),
    carryInHash: null,
    carryOutHash: null,
    objectKey: `views/thread_spans/x/2026-11-21/${partitionId}-${randomUUID()}.parquet`,
    rowCount: 7,
    eventCount: 3 * blocks.length,
    sizeBytes: 1234,
    ...changes,
  };
}

/** A process with one stream of the tag and its blocks, one after the other, all stored. */
export async function storeProcess(
  db: Database,
  { tag = 'cpu', blockCount = 3, process = makeProcess() } = {},
) {
  const stream = makeStream({ processId: process.processId, tags: [tag] });
  const blocks = Array.from({ length: blockCount }, (_, index) =>
    makeBlock({
      processId: process.processId,
      streamId: stream.streamId,
      beginTicks: ticks(BigInt(index) * 10n),
      endTicks: ticks(BigInt(index) * 10n + 9n),
      objectOffset: BigInt(index) * 3n,
    }),
  );
  await new ProcessRepository(db).insertIfAbsent(process);
  await new StreamRepository(db).insertIfAbsent(stream);
  await new BlockRepository(db).insertMany(blocks);
  return { process, stream, blocks };
}
