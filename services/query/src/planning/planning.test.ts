/** Decisions of the planner: which instances, which files, what is told of them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds } from '@tracelake/domain';
import { createViewRegistry, type PartitionSummary } from '@tracelake/lakehouse';
import type { LakeInstance, PartitionState } from '@tracelake/storage';
import { chooseFiles, receiptOf } from './partition-choice.ts';
import {
  ambiguousIdsOf,
  readsInstance,
  selectSources,
  snapshotRequestOf,
} from './source-selection.ts';

const PROCESS = '00000000-0000-4000-8000-000000000001';
const STREAM = '00000000-0000-4000-8000-000000000002';
const registry = createViewRegistry();

const partition = (changes: Partial<PartitionSummary>): PartitionState =>
  ({
    partition: { objectKey: 'a', minEventNs: 100n, maxEventNs: 200n, sizeBytes: 10, ...changes },
  }) as unknown as PartitionState;

const range = (begin?: bigint, end?: bigint) => ({
  beginNs: begin === undefined ? undefined : nanoseconds(begin),
  endNs: end === undefined ? undefined : nanoseconds(end),
});

test('a file is read when its times and the range share an instant, both ends inclusive', () => {
  const isRead = (begin?: bigint, end?: bigint) =>
    chooseFiles([partition({})], range(begin, end)).length === 1;
  assert.equal(isRead(), true);
  assert.equal(isRead(200n, 300n), true);
  assert.equal(isRead(201n, 300n), false);
  assert.equal(isRead(0n, 100n), true);
  assert.equal(isRead(0n, 99n), false);
  assert.equal(isRead(150n, 150n), true);
  assert.equal(isRead(undefined, 99n), false);
});

test('files come in order of their keys, and partitions without rows have none', () => {
  const partitions = [
    partition({ objectKey: 'b' }),
    partition({ objectKey: null, minEventNs: null, maxEventNs: null }),
    partition({ objectKey: 'a' }),
  ];
  assert.deepEqual(
    chooseFiles(partitions, range()).map((file) => file.objectKey),
    ['a', 'b'],
  );
});

test('only eager views of processes have a global instance', () => {
  const select = (viewSet: string, instance: string) =>
    selectSources([{ table: 's1', kind: 'view', viewSet, instance }], registry, () => false);
  assert.deepEqual(select('log_entries', 'global').views[0]?.instances, { kind: 'all' });
  for (const viewSet of ['async_events', 'thread_spans']) {
    assert.throws(() => select(viewSet, 'global'), { code: 'lakehouse.bad-instance' });
  }
  assert.throws(() => select('nothing', PROCESS), { code: 'lakehouse.unknown-view' });
});

test('the spans of a process are those of its streams, the spans of a stream its own', () => {
  const sources = [{ table: 's1', kind: 'function', name: 'spans', args: [PROCESS] } as const];
  assert.deepEqual(ambiguousIdsOf([...sources, ...sources]), [PROCESS]);
  const ofProcess = selectSources(sources, registry, (id) => id === PROCESS);
  assert.equal(snapshotRequestOf(ofProcess, range()).processes[0]?.processId, PROCESS);
  const ofStream = selectSources(sources, registry, () => false);
  assert.equal(snapshotRequestOf(ofStream, range()).instances[0]?.instance, PROCESS);
  const instance = { viewSet: 'thread_spans', instance: STREAM, process: { processId: PROCESS } };
  const [first] = ofProcess.views;
  assert.ok(first !== undefined && readsInstance(first, instance));
  const [second] = ofStream.views;
  assert.ok(second !== undefined && !readsInstance(second, instance));
});

test('a range bounds the processes of a global view, with room for clocks that drift', () => {
  const source = { table: 's1', kind: 'view', viewSet: 'measures', instance: 'global' } as const;
  const selection = selectSources([source], registry, () => false);
  const dayNs = 86_400_000_000_000n;
  const [bounded] = snapshotRequestOf(selection, range(10n * dayNs, 20n * dayNs)).globals;
  assert.deepEqual(bounded?.blocksBetween, { beginNs: 9n * dayNs, endNs: 21n * dayNs });
  const [whole] = snapshotRequestOf(selection, range()).globals;
  assert.equal(whole?.blocksBetween, undefined);
});

test('the receipt counts a block once, whichever views have it, and names rejected ones', () => {
  const blocksOf = new Map([
    ['s1', { known: 3, rejected: 1, rejectedIds: ['b'], lastInsertUs: 5n }],
    ['s2', { known: 1, rejected: 0, rejectedIds: [], lastInsertUs: 7n }],
  ]);
  const instance = (viewSet: string, known: number, covered: number) =>
    ({ viewSet, streamTag: 'cpu', blocksOf, known, covered }) as unknown as LakeInstance;
  const input = {
    instances: [instance('thread_spans', 4, 2), instance('async_events', 4, 3)],
    viewVersions: ['v=1:x', 'v=1:x'],
  };
  assert.deepEqual(receiptOf({ ...input, nowUs: 60_000_006n }), {
    blocksKnown: 4,
    blocksRead: 2,
    blocksRejected: 1,
    rejectedIds: ['b'],
    viewVersions: ['v=1:x'],
    processWriting: true,
  });
  assert.equal(receiptOf({ ...input, nowUs: 60_000_007n }).processWriting, false);
});
