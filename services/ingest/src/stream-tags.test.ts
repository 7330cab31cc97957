import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureExists, parseStreamId, type StreamId } from '@tracelake/domain';
import type { StreamRepository } from '@tracelake/storage';
import { StreamTags } from './stream-tags.ts';

function streamId(index: number): StreamId {
  const text = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
  return ensureExists(parseStreamId(text), 'a stream id');
}

/** A table that counts how often it is asked. */
function makeTable(rows: ReadonlyMap<StreamId, readonly string[]>) {
  const asked: StreamId[] = [];
  const find = async (id: StreamId) => {
    asked.push(id);
    const tags = rows.get(id);
    return tags === undefined ? undefined : { streamId: id, tags };
  };
  return { asked, table: { find } as unknown as Pick<StreamRepository, 'find'> };
}

test('tags are looked up once, by any number of askers at once, and then known', async () => {
  const { asked, table } = makeTable(new Map([[streamId(1), ['cpu']]]));
  const tags = new StreamTags(table);
  const answers = await Promise.all(Array.from({ length: 50 }, () => tags.find(streamId(1))));
  for (const answer of answers) assert.deepEqual(answer, ['cpu']);
  assert.deepEqual(await tags.find(streamId(1)), ['cpu']);
  assert.equal(asked.length, 1);
});

test('a stream that has not come has no tags yet and is asked for again', async () => {
  const rows = new Map<StreamId, readonly string[]>();
  const { table } = makeTable(rows);
  const tags = new StreamTags(table);
  assert.deepEqual(await tags.find(streamId(1)), []);
  rows.set(streamId(1), ['log']);
  assert.deepEqual(await tags.find(streamId(1)), ['log']);
});

test('the least recently used stream is forgotten first', async () => {
  const { asked, table } = makeTable(new Map());
  const tags = new StreamTags(table, 2);
  tags.remember(streamId(1), ['a']);
  tags.remember(streamId(2), ['b']);
  await tags.find(streamId(1));
  tags.remember(streamId(3), ['c']);
  assert.deepEqual(await tags.find(streamId(1)), ['a']);
  assert.deepEqual(await tags.find(streamId(3)), ['c']);
  assert.deepEqual(asked, []);
  await tags.find(streamId(2));
  assert.deepEqual(asked, [streamId(2)]);
});

test('a database that fails costs the tags and nothing else', async () => {
  const find = () => Promise.reject(new Error('down'));
  const tags = new StreamTags({ find } as unknown as Pick<StreamRepository, 'find'>);
  assert.deepEqual(await tags.find(streamId(1)), []);
});
