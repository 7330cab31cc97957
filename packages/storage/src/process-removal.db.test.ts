/** Listing what may be removed from lakes with more processes than a page holds; packages/cli tests the removal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeBlock, makeRun, storeProcess } from '../test/catalog-fixture.ts';
import { openTestDatabase } from '../test/storage-fixture.ts';
import { PartitionCatalog } from './partition-catalog.ts';
import { sql } from './postgres/sql.ts';
import {
  findMomentBack,
  findProcessHoldings,
  forgetBlocks,
  hideProcess,
  listQuietProcesses,
  listRemovableBlocks,
} from './process-removal.ts';

test('every quiet process and every id without a process is listed once, over pages', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  // All rows of one statement share their time, so pages end amid equal ones.
  await db.query(sql`
    INSERT INTO processes (process_id, exe, username, realname, computer, distro, cpu_brand, tsc_frequency, start_time,
      start_ticks, properties, insert_time)
    SELECT gen_random_uuid(), '', '', '', '', '', '', 1, now(), 0, '{}', now() - interval '40 days'
    FROM generate_series(1, 1300)`);
  await db.query(sql`
    INSERT INTO blocks (block_id, stream_id, process_id, begin_time, begin_ticks, end_time, end_ticks, nb_objects,
      object_offset, payload_size, content_sha256, insert_time)
    SELECT gen_random_uuid(), gen_random_uuid(), id, now(), 0, now(), 0, 1, 0, 5, sha256(''), now() - interval '40 days'
    FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 2300)) AS ids, generate_series(1, 2)`);
  await storeProcess(db);
  const before = await findMomentBack(db, 86_400_000);
  const listed = await Array.fromAsync(listQuietProcesses(db, before));
  assert.equal(listed.length, 1300 + 2300);
  assert.equal(new Set(listed).size, listed.length);
});

test('a process of which something came since is not hidden, whichever row it is', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  const { process, stream, blocks } = await storeProcess(db);
  const { processId } = process;
  const catalog = new PartitionCatalog(db);
  const key = { viewSet: 'thread_spans', instance: stream.streamId, schemaHash: 'aa' };
  await catalog.commit({ ...key, replaces: [], insert: [makeRun(blocks)] });
  const holdings = await findProcessHoldings(db, processId);
  assert.equal(await hideProcess(db, processId, holdings.newestInsertUs ?? 0n), undefined);
  assert.deepEqual(await findProcessHoldings(db, processId), holdings, 'nothing has changed');
  const later = (holdings.newestInsertUs ?? 0n) + 1n;
  const hidden = await hideProcess(db, processId, later);
  assert.deepEqual(hidden, { partitions: 1, instances: [processId, stream.streamId] });
  assert.equal((await hideProcess(db, processId, later))?.partitions, 0, 'harmless again');
  assert.equal((await findProcessHoldings(db, processId)).blocks, blocks.length);
});

test('blocks go with what was noted of them, and those that came since stay', async () => {
  await using fixture = await openTestDatabase();
  const { db } = fixture;
  const { process, blocks } = await storeProcess(db, { blockCount: 5 });
  const { processId } = process;
  const page = { processId, beforeUs: await findMomentBack(db, -1000), limit: 3 };
  const some = await listRemovableBlocks(db, page);
  assert.deepEqual(
    some.map(({ blockId }) => blockId),
    blocks.slice(0, 3).map(({ blockId }) => blockId),
  );
  const ids = some.map(({ blockId }) => blockId);
  assert.deepEqual(await forgetBlocks(db, [...ids, makeBlock().blockId]), {
    blocks: 3,
    bytes: 300,
  });
  assert.deepEqual(await forgetBlocks(db, ids), { blocks: 0, bytes: 0 });
  const left = await db.query(sql`SELECT FROM unannounced WHERE kind = 'block'`);
  assert.equal(left.length, 2);
  const past = await findMomentBack(db, 60_000);
  assert.deepEqual(await listRemovableBlocks(db, { ...page, beforeUs: past }), []);
});
