import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startTestPostgres } from '@tracelake/test-kit';
import { dumpSchema } from '../../test/schema-dump.ts';
import { openTestDatabase } from '../../test/storage-fixture.ts';
import { StorageError } from '../storage-error.ts';
import { openDatabase } from './database.ts';
import { migrate } from './migrate.ts';
import { sql } from './sql.ts';

const GOLDEN = join(import.meta.dirname, 'schema.golden.sql');

test('the migrations make the schema of the golden file', async () => {
  await using fixture = await openTestDatabase();
  const dumped = await dumpSchema(fixture.db);
  // Run once with TRACELAKE_UPDATE_GOLDEN=1 after adding a migration, and read the difference.
  if (process.env.TRACELAKE_UPDATE_GOLDEN === '1') await writeFile(GOLDEN, dumped);
  assert.equal(dumped, await readFile(GOLDEN, 'utf8'));
});

test('of several processes that migrate at once each step is applied by one, and again by none', async () => {
  await using postgres = await startTestPostgres();
  const reports = await Promise.all(
    [1, 2, 3, 4].map(async () => {
      await using db = openDatabase(postgres.url);
      return await migrate(db);
    }),
  );
  const applied = reports.flatMap((report) => report.applied);
  assert.deepEqual(applied.toSorted(), [...new Set(applied)].toSorted());
  assert.ok(applied.length > 0);
  await using db = openDatabase(postgres.url);
  const again = await migrate(db);
  assert.deepEqual(again.applied, []);
  assert.equal(again.version, reports[0]?.version);
});

test('a database that a newer version migrated, and one whose applied step was changed, are refused', async () => {
  await using fixture = await openTestDatabase();
  await fixture.db.query(
    sql`INSERT INTO schema_migrations (version, name, sha256) VALUES (9999, '9999_future', 'x')`,
  );
  const isMismatch = (error: unknown) =>
    error instanceof StorageError && error.code === 'storage.schema-mismatch';
  await assert.rejects(migrate(fixture.db), isMismatch);
  await fixture.db.query(sql`DELETE FROM schema_migrations WHERE version = 9999`);
  await migrate(fixture.db);
  await fixture.db.query(sql`UPDATE schema_migrations SET sha256 = 'other' WHERE version = 1`);
  await assert.rejects(migrate(fixture.db), isMismatch);
});

test('code works on a database that newer code only added to, and says which version that is', async () => {
  await using fixture = await openTestDatabase();
  const { version } = await migrate(fixture.db);
  const addStep = (oldestCode: number) =>
    fixture.db.query(sql`
      INSERT INTO schema_migrations (version, name, sha256, oldest_code)
      VALUES (9999, '9999_future', 'x', ${oldestCode})`);
  await addStep(version);
  assert.deepEqual(await migrate(fixture.db), { applied: [], version: 9999 });
  await fixture.db.query(sql`DELETE FROM schema_migrations WHERE version = 9999`);
  await addStep(version + 1);
  await assert.rejects(migrate(fixture.db), /migrated by a newer version.*9999_future/);
});

test('times cross to timestamptz and back to the microsecond, from year 0 to 9999 and before the epoch', async () => {
  await using fixture = await openTestDatabase();
  const values = [
    0n,
    1n,
    -1n,
    -1_000_001n,
    1_763_690_000_009_592n,
    253_402_300_799_999_999n,
    -62_167_219_200_000_000n,
    -62_135_596_800_000_001n,
  ];
  const rows = await fixture.db.query<{ us: bigint }>(
    sql`SELECT unix_us(from_unix_us(v)) AS us FROM unnest(${values}::bigint[]) WITH ORDINALITY AS t (v, place) ORDER BY place`,
  );
  assert.deepEqual(
    rows.map((row) => row.us),
    values,
  );
});
