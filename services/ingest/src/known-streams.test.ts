import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureExists, parseProcessId, parseStreamId, type StreamId } from '@tracelake/domain';
import type { StreamOwner } from '@tracelake/storage';
import { KnownStreams } from './known-streams.ts';

function streamId(index: number): StreamId {
  const text = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
  return ensureExists(parseStreamId(text), 'a stream id');
}

function ownerOf(...tags: string[]): StreamOwner {
  const text = '00000000-0000-4000-9000-000000000000';
  return { processId: ensureExists(parseProcessId(text), 'a process id'), tags };
}

/** A table that counts how often it is asked. */
function makeTable(rows: ReadonlyMap<StreamId, StreamOwner>) {
  const asked: StreamId[] = [];
  const findOwner = async (id: StreamId) => {
    asked.push(id);
    return rows.get(id);
  };
  return { asked, streams: { findOwner } };
}

test('a stream is looked up once, by any number of askers at once, and then known', async () => {
  const { asked, streams } = makeTable(new Map([[streamId(1), ownerOf('cpu')]]));
  const known = new KnownStreams({ streams });
  const answers = await Promise.all(Array.from({ length: 50 }, () => known.find(streamId(1))));
  for (const answer of answers) assert.deepEqual(answer, ownerOf('cpu'));
  assert.deepEqual(await known.find(streamId(1)), ownerOf('cpu'));
  assert.equal(asked.length, 1);
});

test('a stream that has not come is asked for again, but not at once', async () => {
  const rows = new Map<StreamId, StreamOwner>();
  const { asked, streams } = makeTable(rows);
  const [patient, hasty] = [3_600_000, 0].map((missMs) => new KnownStreams({ streams, missMs }));
  assert.equal(await patient?.find(streamId(1)), undefined);
  assert.equal(await hasty?.find(streamId(1)), undefined);
  rows.set(streamId(1), ownerOf('log'));
  assert.equal(await patient?.find(streamId(1)), undefined);
  assert.deepEqual(await hasty?.find(streamId(1)), ownerOf('log'));
  assert.equal(asked.length, 3);
});

test('a stream that comes through here is known from then on', async () => {
  const { streams } = makeTable(new Map());
  const known = new KnownStreams({ streams });
  assert.equal(await known.find(streamId(1)), undefined);
  known.remember(streamId(1), ownerOf('log'));
  assert.deepEqual(await known.find(streamId(1)), ownerOf('log'));
  const lookup = known.find(streamId(2));
  known.remember(streamId(2), ownerOf('cpu'));
  assert.deepEqual(await lookup, ownerOf('cpu'), 'it came while the database was asked');
});

test('the least recently used stream is forgotten first', async () => {
  const { asked, streams } = makeTable(new Map());
  const known = new KnownStreams({ streams, streamsMax: 2 });
  known.remember(streamId(1), ownerOf('a'));
  known.remember(streamId(2), ownerOf('b'));
  await known.find(streamId(1));
  known.remember(streamId(3), ownerOf('c'));
  assert.deepEqual(await known.find(streamId(1)), ownerOf('a'));
  assert.deepEqual(await known.find(streamId(3)), ownerOf('c'));
  assert.deepEqual(asked, []);
  await known.find(streamId(2));
  assert.deepEqual(asked, [streamId(2)]);
});

test('a database that fails costs what is known and nothing else', async () => {
  const streams = { findOwner: () => Promise.reject(new Error('down')) };
  assert.equal(await new KnownStreams({ streams }).find(streamId(1)), undefined);
});
