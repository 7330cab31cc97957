import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_STREAM_SETTINGS, differingFields, wantedStreams } from './stream-configs.ts';

test('the streams keep what the contract says, for as long', () => {
  const streams = wantedStreams(DEFAULT_STREAM_SETTINGS);
  const hourNs = 3_600_000_000_000;
  assert.deepEqual(
    streams.map((stream) => [
      stream.name,
      stream.subjects,
      stream.retention,
      stream.discard,
      (stream.max_age ?? 0) / hourNs,
    ]),
    [
      ['TELEMETRY', ['telemetry.>'], 'limits', 'old', 24],
      ['MATERIALIZE', ['materialize.>'], 'workqueue', 'new', 1],
      ['PARTITIONS', ['partition.>'], 'limits', 'old', 1],
      ['DEAD', ['dead.>'], 'limits', 'old', 720],
    ],
  );
});

test('every stream is bounded in bytes, messages and age', () => {
  for (const stream of wantedStreams({ ...DEFAULT_STREAM_SETTINGS, replicas: 3 })) {
    assert.ok(stream.max_bytes > 0 && stream.max_msgs > 0 && stream.max_age > 0, stream.name);
    assert.equal(stream.num_replicas, 3);
  }
});

test('a field that the server keeps otherwise, or does not know, is named', () => {
  assert.deepEqual(
    differingFields(
      { subjects: ['a'], max_age: 1, allow_something_new: true },
      { subjects: ['a'], max_age: 2, extra: 3 },
    ),
    ['max_age', 'allow_something_new'],
  );
});
