import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assignThreadIds, pidOf, shortProgramName, TrackUuids } from './track-identity.ts';

const constantHash = () => 0x8000_0000_0000_0000n;

test('a pid is a positive int32 whatever the hash', () => {
  assert.equal(pidOf('p', constantHash), 1);
  assert.equal(
    pidOf('p', () => 0xffff_ffff_ffff_ffffn),
    0x7fff_ffff,
  );
});

test('tids are distinct, avoid the pid and keep the thread id that the producer sent', () => {
  const ids = assignThreadIds(
    1,
    [
      { streamId: 'd', threadId: '77' },
      { streamId: 'a', threadId: undefined },
      { streamId: 'b', threadId: '140321976071808' },
      { streamId: 'c', threadId: '77' },
      { streamId: 'e', threadId: '-4' },
      { streamId: 'f', threadId: '2147483647' },
      { streamId: 'g', threadId: '2147483647' },
    ],
    constantHash,
  );
  assert.deepEqual(ids, [
    { streamId: 'a', tid: 2 },
    { streamId: 'b', tid: 3 },
    { streamId: 'c', tid: 77 },
    { streamId: 'd', tid: 78 },
    { streamId: 'e', tid: 4 },
    { streamId: 'f', tid: 2_147_483_647 },
    { streamId: 'g', tid: 5 },
  ]);
});

test('track uuids that clash are moved apart and none is 0', () => {
  const uuids = new TrackUuids(() => 0n);
  assert.deepEqual([uuids.next('a'), uuids.next('b'), uuids.next('c')], [1n, 2n, 3n]);
});

test('the short name is the last part of a path of any system', () => {
  assert.equal(shortProgramName('/usr/bin/app'), 'app');
  assert.equal(shortProgramName('C:\\Games\\Editor.exe'), 'Editor.exe');
  assert.equal(shortProgramName('sample-app'), 'sample-app');
  assert.equal(shortProgramName('/opt/thing/'), 'thing');
  assert.equal(shortProgramName('/'), '/');
  assert.equal(shortProgramName(''), '');
});
