import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeBlock, makeRun, storeProcess } from '../test/catalog-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { findNamed, listNamedObjects } from './named-objects.ts';
import { objectKeys } from './object-keys.ts';
import { PartitionCatalog } from './partition-catalog.ts';
import { sql } from './postgres/sql.ts';

test('every block and partition is listed once with its size, over page borders too', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  const catalog = new PartitionCatalog(db);
  await db.query(sql`
    INSERT INTO blocks (block_id, stream_id, process_id, begin_time, begin_ticks, end_time, end_ticks, nb_objects,
      object_offset, payload_size, content_sha256)
    SELECT gen_random_uuid(), ('00000000-0000-0000-0000-00000000000' || n % 3)::uuid,
      ('00000000-0000-0000-0000-00000000000' || n % 2)::uuid, now(), n % 7, now(), 8, 1, 0, n, sha256('')
    FROM generate_series(1, 10001) AS n`);
  const runs = [makeRun([makeBlock()]), makeRun([makeBlock()])];
  for (const [index, run] of runs.entries()) {
    const key = { viewSet: 'v', instance: `i${index}`, schemaHash: 'aa' };
    await catalog.commit({ ...key, replaces: [], insert: [run] });
  }
  const listed = await Array.fromAsync(listNamedObjects(db));
  assert.equal(listed.length, 10_003);
  assert.equal(new Set(listed.map(({ key }) => key)).size, 10_003);
  const blockBytes = listed.filter(({ key }) => key.startsWith('blobs/'));
  assert.equal(
    blockBytes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    (10_001 * 10_002) / 2,
  );
  const directories = blockBytes.map(({ key }) => key.slice(0, key.lastIndexOf('/')));
  const changes = directories.filter((directory, index) => directory !== directories[index - 1]);
  assert.equal(changes.length, 6, 'blocks of a stream stand together');
  const partitions = listed.filter(({ key }) => key.startsWith('views/'));
  assert.deepEqual(
    partitions.map(({ key }) => key).toSorted(),
    runs.map((run) => run.objectKey ?? '').toSorted(),
  );
});

test('what a row names now is told from what none does', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  const { process, blocks } = await storeProcess(db);
  const [block] = blocks;
  assert.ok(block !== undefined);
  const key = objectKeys.block(process.processId, block.streamId, block.blockId);
  const other = objectKeys.block(process.processId, block.streamId, makeBlock().blockId);
  assert.deepEqual(
    await findNamed(db, [key, other, 'views/v/i/2026-01-01/p-1.parquet']),
    new Set([key]),
  );
});
