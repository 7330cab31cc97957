import { startTestPostgres } from '@tracelake/test-kit';
import { type Database, openDatabase } from '../src/postgres/database.ts';
import { migrate } from '../src/postgres/migrate.ts';

export interface TestDatabase extends AsyncDisposable {
  readonly db: Database;
  readonly url: string;
}

/** A migrated database of its own. */
export async function openTestDatabase(): Promise<TestDatabase> {
  await using stack = new AsyncDisposableStack();
  const { url } = stack.use(await startTestPostgres());
  const db = stack.use(openDatabase(url, { poolSize: 8 }));
  await migrate(db);
  const owned = stack.move();
  return { db, url, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
