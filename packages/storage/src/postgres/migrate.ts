import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StorageError } from '../storage-error.ts';
import type { Database, Queryable } from './database.ts';
import { fragment, sql } from './sql.ts';

const MIGRATIONS_DIR = join(import.meta.dirname, 'migrations');
/** Any constant: processes that migrate the same database queue on it. */
const LOCK_KEY = 7_305_120_001n;
const LOCK_WAIT_MS = 120_000;

export interface MigrationReport {
  /** Names of the migrations that this call applied, in order. */
  readonly applied: readonly string[];
  /** Version of the schema now. */
  readonly version: number;
}

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly text: string;
  readonly sha256: string;
}

/**
 * Brings the schema to the version of this code, each step in a transaction of its own. Any number of processes
 * may call it at once: they queue on an advisory lock. Throws `storage.schema-mismatch` when the database is
 * newer than the code, or when an applied step is not the one that the code has.
 */
export async function migrate(db: Database, signal?: AbortSignal): Promise<MigrationReport> {
  const migrations = await readMigrations();
  return db.session(async (session) => {
    await session.query(sql`SET lock_timeout = ${fragment(String(LOCK_WAIT_MS))}`);
    await session.query(sql`SET statement_timeout = 0`);
    await session.query(sql`SELECT pg_advisory_lock(${LOCK_KEY}::bigint)`);
    return applyMissing(session, migrations);
  }, signal);
}

async function applyMissing(
  session: Queryable,
  migrations: readonly Migration[],
): Promise<MigrationReport> {
  await session.query(sql`
    CREATE TABLE IF NOT EXISTS schema_migrations (
      version integer PRIMARY KEY,
      name text NOT NULL,
      sha256 text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`);
  const present = await session.query<{ version: number; name: string; sha256: string }>(
    sql`SELECT version, name, sha256 FROM schema_migrations ORDER BY version`,
  );
  for (const row of present) checkApplied(row, migrations);
  const versions = new Set(present.map((row) => row.version));
  const applied: string[] = [];
  for (const migration of migrations) {
    if (versions.has(migration.version)) continue;
    await apply(session, migration);
    applied.push(migration.name);
  }
  return { applied, version: migrations.at(-1)?.version ?? 0 };
}

async function apply(session: Queryable, migration: Migration): Promise<void> {
  await session.query(sql`BEGIN`);
  try {
    await session.query({ text: migration.text, values: [] });
    await session.query(sql`
      INSERT INTO schema_migrations (version, name, sha256)
      VALUES (${migration.version}, ${migration.name}, ${migration.sha256})`);
    await session.query(sql`COMMIT`);
  } catch (error) {
    await session.query(sql`ROLLBACK`).catch(() => {});
    throw error;
  }
}

function checkApplied(
  row: { version: number; name: string; sha256: string },
  migrations: readonly Migration[],
): void {
  const known = migrations.find((migration) => migration.version === row.version);
  if (known?.sha256 === row.sha256) return;
  const what =
    known === undefined
      ? 'the database was migrated by a newer version: run that version'
      : 'a migration that was applied has been changed since: the database and this version do not fit';
  throw new StorageError('storage.schema-mismatch', `${what} (${row.name})`, {
    details: { version: row.version, name: row.name },
  });
}

async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(MIGRATIONS_DIR)).filter((name) => name.endsWith('.sql')).toSorted();
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(MIGRATIONS_DIR, name), 'utf8');
      const sha256 = createHash('sha256').update(text).digest('hex');
      return { version: Number(name.slice(0, 4)), name: name.replace(/\.sql$/, ''), text, sha256 };
    }),
  );
}
