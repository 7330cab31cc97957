import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { startTestPostgres } from './postgres-fixture.ts';

test('each test database is empty and its own, and is gone once disposed of', async () => {
  await using first = await startTestPostgres();
  let secondUrl: string;
  {
    await using second = await startTestPostgres();
    secondUrl = second.url;
    const client = new pg.Client({ connectionString: first.url });
    await client.connect();
    await client.query('create table only_here (n int)');
    await client.end();
    const other = new pg.Client({ connectionString: second.url });
    await other.connect();
    await assert.rejects(other.query('select * from only_here'), /does not exist/);
    await other.end();
  }
  const gone = new pg.Client({ connectionString: secondUrl });
  await assert.rejects(gone.connect(), /does not exist/);
});
