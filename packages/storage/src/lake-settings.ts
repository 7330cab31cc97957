import type { Database } from './postgres/database.ts';
import { sql } from './postgres/sql.ts';
import { StorageError } from './storage-error.ts';

/** What is fixed when a lake is made, because its data depends on it. */
export interface LakeSettings {
  readonly lanes: number;
}

/**
 * Stores the settings when the lake is new, and compares them otherwise. Throws
 * `storage.lake-settings-mismatch` when the lake was made with others.
 */
export async function ensureLakeSettings(
  db: Database,
  wanted: LakeSettings,
  signal?: AbortSignal,
): Promise<void> {
  await db.query(
    sql`INSERT INTO lake_settings (lanes) VALUES (${wanted.lanes}) ON CONFLICT DO NOTHING`,
    signal,
  );
  const stored = await findLakeSettings(db, signal);
  if (stored?.lanes === wanted.lanes) return;
  throw new StorageError(
    'storage.lake-settings-mismatch',
    `this lake was made with ${stored?.lanes} lanes, not ${wanted.lanes}: set TRACELAKE_LANES=${stored?.lanes}`,
    { details: { stored: stored?.lanes, wanted: wanted.lanes } },
  );
}

/** The settings of the lake, or undefined when no service has started on it yet. */
export async function findLakeSettings(
  db: Database,
  signal?: AbortSignal,
): Promise<LakeSettings | undefined> {
  const [row] = await db.query<LakeSettings>(sql`SELECT lanes FROM lake_settings`, signal);
  return row;
}
