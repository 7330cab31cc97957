import { randomBytes } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '@tracelake/local-servers';
import pg from 'pg';

/** A database of its own on a real Postgres; disposing of it drops it. */
export interface TestPostgres extends AsyncDisposable {
  readonly url: string;
}

let ownServerUrl: Promise<string> | undefined;

/**
 * Makes a fresh, empty database: on the server of `TRACELAKE_TEST_DATABASE_URL` when that is set, else on one
 * that the first call in a process starts (fsync off) and that ends with the process.
 */
export async function startTestPostgres(): Promise<TestPostgres> {
  const serverUrl = process.env.TRACELAKE_TEST_DATABASE_URL ?? (await ownServer());
  const name = `tracelake_test_${randomBytes(8).toString('hex')}`;
  await execute(serverUrl, `CREATE DATABASE ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    [Symbol.asyncDispose]: () => execute(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

function ownServer(): Promise<string> {
  ownServerUrl ??= startOwnServer();
  return ownServerUrl;
}

async function startOwnServer(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-test-postgres-'));
  const server = await startPostgres({
    dataDir: join(directory, 'data'),
    durable: false,
    searchPath: process.env.PATH ?? '',
    keepsProcessAlive: false,
    removeWhenOrphaned: [directory],
  });
  return server.url;
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
