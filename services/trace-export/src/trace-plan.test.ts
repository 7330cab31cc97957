import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds } from '@tracelake/domain';
import { BlockSetDigest, type SourceStream } from '@tracelake/lakehouse';
import type { LakeInstance, PartitionState, ProcessSnapshot } from '@tracelake/storage';
import { PROCESS_ID, sampleProcess, streamId } from '../test/span-files.ts';
import { rangeOf } from './export-request.ts';
import { planTrace } from './trace-plan.ts';

interface FakeBlock {
  readonly id: string;
  readonly content: number;
}

function block(id: string, content = 1): FakeBlock {
  return { id, content };
}

function partition(
  key: string,
  blockIds: string[],
  events: [number, number] | null = [0, 10],
): PartitionState {
  const record = {
    objectKey: events === null ? null : key,
    minEventNs: events === null ? null : BigInt(events[0]),
    maxEventNs: events === null ? null : BigInt(events[1]),
  };
  return { partition: record, blockIds } as unknown as PartitionState;
}

function instance(
  viewSet: string,
  name: string,
  wanted: FakeBlock[],
  partitions: PartitionState[],
  rejected: string[] = [],
): LakeInstance {
  const covered = partitions.flatMap((one) => (one as unknown as { blockIds: string[] }).blockIds);
  const digest = new BlockSetDigest();
  for (const id of covered) {
    const content = wanted.find((one) => one.id === id)?.content ?? 0;
    digest.add(Buffer.from(`\nblock ${id.padEnd(36)} ${String(content).padEnd(32)}`));
  }
  const blocks = {
    known: wanted.length,
    rejected: rejected.length,
    rejectedIds: rejected,
    rejectedFingerprint: BigInt(rejected.length),
  };
  return {
    viewSet,
    instance: name,
    schemaHash: 's',
    streamTag: 'cpu',
    process: sampleProcess(),
    blocksOf: new Map([[streamId(1), blocks]]),
    known: wanted.length,
    covered: covered.length,
    partitions,
    contentDigest: String(digest),
  } as unknown as LakeInstance;
}

function snapshotOf(instances: LakeInstance[]): ProcessSnapshot {
  const streams = [2, 1].map((index) => [
    streamId(index),
    { streamId: streamId(index), properties: { 'thread-name': `t${index}`, 'thread-id': '9' } },
  ]);
  return {
    process: sampleProcess(),
    streams: new Map(streams as [SourceStream['streamId'], SourceStream][]),
    calibrationCandidates: [],
    lastBlockEndNs: nanoseconds(77n),
    moment: { seen: '', takenUs: 0n },
    instances,
  };
}

const plan = (instances: LakeInstance[], begin?: bigint, end?: bigint) =>
  planTrace({
    process: sampleProcess(),
    snapshot: snapshotOf(instances),
    range: rangeOf({
      beginNs: begin === undefined ? undefined : nanoseconds(begin),
      endNs: end === undefined ? undefined : nanoseconds(end),
    }),
    spans: 'both',
  });

test('threads come in order of stream id, each with its display name', () => {
  const { threads, openEndNs } = plan([]);
  assert.deepEqual(
    threads.map(({ streamId: id, name, threadId }) => ({ id, name, threadId })),
    [
      { id: streamId(1), name: 't1-9', threadId: '9' },
      { id: streamId(2), name: 't2-9', threadId: '9' },
    ],
  );
  assert.equal(openEndNs, 77n);
});

test('a thread is read from the files that overlap the range at both inclusive ends', () => {
  const partitions = [
    partition('before', ['a'], [0, 9]),
    partition('touches-begin', ['b'], [0, 10]),
    partition('touches-end', ['c'], [20, 30]),
    partition('after', ['d'], [21, 30]),
    partition('empty', ['e'], null),
  ];
  const one = instance('thread_spans', streamId(1), [], partitions);
  const { threads } = plan([one], 10n, 20n);
  assert.deepEqual(
    threads[0]?.files.map(({ objectKey }) => objectKey),
    ['touches-begin', 'touches-end'],
  );
});

test('async events are read from all files, since an end may lie in any', () => {
  const partitions = [partition('far', ['a'], [900, 901]), partition('near', ['b'], [10, 11])];
  const { asyncFiles } = plan([instance('async_events', PROCESS_ID, [], partitions)], 10n, 20n);
  assert.deepEqual(
    asyncFiles.map(({ objectKey }) => objectKey),
    ['far', 'near'],
  );
});

test('a block in two views counts once, a rejected one is known and not read', () => {
  const blocks = [block('a'), block('b'), block('c')];
  const { blocks: counts } = plan([
    instance('thread_spans', streamId(1), blocks, [partition('t', ['a', 'b'])], ['b']),
    instance('async_events', PROCESS_ID, blocks, [partition('x', ['a', 'b'])], ['b']),
  ]);
  const { known, read, rejected } = counts;
  assert.deepEqual({ known, read, rejected }, { known: 3, read: 1, rejected: 1 });
});

test('the source hash depends on blocks and their content, not on how they are cut or kept', () => {
  const hashOf = (blocks: FakeBlock[], partitions: PartitionState[]) =>
    plan([instance('thread_spans', streamId(1), blocks, partitions)]).sourceHash;
  const blocks = [block('a'), block('b')];
  const whole = hashOf(blocks, [partition('one', ['a', 'b'])]);
  assert.equal(hashOf(blocks, [partition('x', ['b']), partition('y', ['a'])]), whole);
  assert.notEqual(hashOf(blocks, [partition('x', ['a'])]), whole);
  assert.notEqual(hashOf([block('a'), block('b', 2)], [partition('one', ['a', 'b'])]), whole);
});
