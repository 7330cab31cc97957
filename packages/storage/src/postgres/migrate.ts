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
  /** Code that knows the steps up to this one works on after the step, beside newer code or instead of it. */
  readonly oldestCode: number;
}

interface AppliedStep {
  readonly version: number;
  readonly name: string;
  readonly sha256: string;
  readonly oldest_code: number | null;
}

/** A step that only adds says so in its file; any other shuts out the code that does not know it. */
const OLDEST_CODE = /^-- works with code of schema version (\d+) on$/m;

/**
 * Brings the schema to the version of this code, each step in a transaction of its own. Any number of processes
 * may call it at once: they queue on an advisory lock. A database that newer code has migrated is taken as it is
 * when each step that this code lacks says that it can be: so versions run side by side, and one can go back.
 * Throws `storage.schema-mismatch` when a step says otherwise, or when an applied one is not that of the code.
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

export interface SchemaState {
  /** Of the newest step in the database; 0 when there is none. */
  readonly version: number;
  /** Of the newest step that this code knows. */
  readonly codeVersion: number;
  /** Steps of this code that the database lacks. */
  readonly missing: number;
}

/** How the schema stands to this code, without a change. Throws `storage.schema-mismatch` as `migrate` does. */
export async function readSchemaState(db: Queryable, signal?: AbortSignal): Promise<SchemaState> {
  const migrations = await readMigrations();
  const codeVersion = migrations.at(-1)?.version ?? 0;
  const [table] = await db.query<{ name: string | null }>(
    sql`SELECT to_regclass('schema_migrations')::text AS name`,
    signal,
  );
  if ((table?.name ?? null) === null)
    return { version: 0, codeVersion, missing: migrations.length };
  const present = await db.query<AppliedStep>(
    sql`SELECT version, name, sha256, (to_jsonb(m) ->> 'oldest_code')::integer AS oldest_code
      FROM schema_migrations m ORDER BY version`,
    signal,
  );
  for (const row of present) checkApplied(row, migrations);
  const versions = new Set(present.map((row) => row.version));
  const missing = migrations.filter(({ version }) => !versions.has(version)).length;
  return { version: Math.max(0, ...versions), codeVersion, missing };
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
  await session.query(
    sql`ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS oldest_code integer`,
  );
  const present = await session.query<AppliedStep>(
    sql`SELECT version, name, sha256, oldest_code FROM schema_migrations ORDER BY version`,
  );
  for (const row of present) checkApplied(row, migrations);
  const versions = new Set(present.map((row) => row.version));
  const applied: string[] = [];
  for (const migration of migrations) {
    if (versions.has(migration.version)) continue;
    await apply(session, migration);
    applied.push(migration.name);
  }
  const version = Math.max(0, ...versions, ...migrations.map((migration) => migration.version));
  return { applied, version };
}

async function apply(session: Queryable, migration: Migration): Promise<void> {
  await session.query(sql`BEGIN`);
  try {
    await session.query({ text: migration.text, values: [] });
    await session.query(sql`
      INSERT INTO schema_migrations (version, name, sha256, oldest_code)
      VALUES (
        ${migration.version}, ${migration.name}, ${migration.sha256}, ${migration.oldestCode}
      )`);
    await session.query(sql`COMMIT`);
  } catch (error) {
    await session.query(sql`ROLLBACK`).catch(() => {});
    throw error;
  }
}

function checkApplied(row: AppliedStep, migrations: readonly Migration[]): void {
  const known = migrations.find((migration) => migration.version === row.version);
  if (known?.sha256 === row.sha256) return;
  const codeVersion = migrations.at(-1)?.version ?? 0;
  if (known === undefined && row.oldest_code !== null && row.oldest_code <= codeVersion) return;
  const what =
    known === undefined
      ? 'the database was migrated by a newer version that this one cannot work beside: run that version'
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
      const version = Number(name.slice(0, 4));
      const oldestCode = Number(OLDEST_CODE.exec(text)?.[1] ?? version);
      return { version, name: name.replace(/\.sql$/, ''), text, sha256, oldestCode };
    }),
  );
}
