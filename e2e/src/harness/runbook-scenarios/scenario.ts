/** What a test does around a runbook page, and what several pages need for that. */

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessId } from '@tracelake/domain';
import pg from 'pg';
import { eventually, exportTrace } from '../client.ts';
import type { RunbookLab } from '../runbook-lab.ts';

export type Action = () => Promise<unknown>;

export interface Scenario {
  /** By the names that the page gives them. */
  readonly steps?: Readonly<Record<string, Action>>;
  /** What must be so when the page is done; puts the services back as they were, too. */
  readonly claim?: Action;
}

/** Brings about what the page is for, and asserts that it is so. */
export type Arrange = (lab: RunbookLab) => Promise<Scenario>;

/** The fault cannot be made on this machine: the page's test reports the reason and does not count as passed. */
export class CannotArrange extends Error {}

export async function assertExports(lab: RunbookLab, processId: ProcessId): Promise<void> {
  const { bytes } = await exportTrace(lab.service('trace-export').url, processId);
  assert.ok(bytes.length > 1000, `the trace of ${processId} has ${bytes.length} bytes`);
}

/** Postgres as the services see it when it is away: no connection is let in, those that are open end. */
export async function setConnections(lab: RunbookLab, state: 'allowed' | 'refused'): Promise<void> {
  const name = new URL(lab.stack.databaseUrl).pathname.slice(1);
  await administer(lab, [
    `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS ${state === 'allowed'}`,
    ...(state === 'refused'
      ? [`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`]
      : []),
  ]);
}

export async function administer(lab: RunbookLab, statements: readonly string[]): Promise<void> {
  const url = new URL(lab.stack.databaseUrl);
  url.pathname = '/postgres';
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** A session that went to lunch with these tables locked: who wants to insert waits for it. */
export async function lockTables(lab: RunbookLab, tables: string): Promise<{ release: Action }> {
  const client = new pg.Client({ connectionString: lab.stack.databaseUrl });
  // The page may end the session.
  client.on('error', () => {});
  await client.connect();
  await client.query('BEGIN');
  await client.query(`LOCK TABLE ${tables} IN SHARE ROW EXCLUSIVE MODE`);
  lab.defer(() => client.end().catch(() => {}));
  return { release: () => client.query('ROLLBACK') };
}

/** Until somebody waits for a lock, and for so long after that. */
export async function letWait(lab: RunbookLab, forMs: number): Promise<void> {
  const waiting = `SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  await eventually(
    async () => ((await lab.sql(waiting)) === '0' ? undefined : true),
    'waiting for a lock',
    20_000,
  );
  await sleep(forMs);
}
