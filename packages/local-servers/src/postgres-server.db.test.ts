import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { LocalServerError } from './local-server.ts';
import { startPostgres } from './postgres-server.ts';

async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'tracelake-local-servers-'));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('Postgres starts in a new directory, keeps its rows over a stop and over kill -9, and asks for the password', async () => {
  await using directory = await temporaryDirectory();
  const dataDir = join(directory.path, 'below', 'postgres');
  {
    await using server = await startPostgres({ dataDir });
    assert.match(server.description, /^Postgres \d+\.\d+ from /);
    await query(server.url, 'create table kept (n int); insert into kept values (1)');
    const wrong = new URL(server.url);
    wrong.password = 'wrong';
    await assert.rejects(query(wrong.href, 'select 1'), /password authentication failed/);
    assert.equal((await query(server.url, 'show fsync'))[0]?.fsync, 'on');
    assert.equal(
      (await query(server.url, 'show listen_addresses'))[0]?.listen_addresses,
      '127.0.0.1',
    );
  }
  {
    await using server = await startPostgres({ dataDir });
    await query(server.url, 'insert into kept values (2)');
    process.kill(server.pid, 'SIGKILL');
    assert.equal((await server.exited).signal, 'SIGKILL');
    await server.stop();
  }
  await using server = await startPostgres({ dataDir });
  assert.deepEqual(await query(server.url, 'select n from kept order by n'), [{ n: 1 }, { n: 2 }]);
});

test('a directory below one that only root may search works', {
  skip: process.geteuid?.() !== 0 && 'needs root',
}, async () => {
  await using directory = await temporaryDirectory();
  // mkdtemp makes it 0700 and root's.
  await mkdir(join(directory.path, 'home'), { mode: 0o700 });
  const dataDir = join(directory.path, 'home', 'postgres');
  await using server = await startPostgres({ dataDir, durable: false });
  assert.deepEqual(await query(server.url, 'select 1 as n'), [{ n: 1 }]);
});

test('a second server on the same directory, a busy port and a directory of other files are refused by name', async () => {
  await using directory = await temporaryDirectory();
  const dataDir = join(directory.path, 'postgres');
  const other = join(directory.path, 'other');
  await mkdir(other);
  await writeFile(join(other, 'letter.txt'), 'dear');
  await using occupant = createServer().listen(0, '127.0.0.1');
  await delay(10);
  const address = occupant.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  await assert.rejects(
    startPostgres({ dataDir, port, durable: false }),
    (error) => error instanceof LocalServerError && error.code === 'local-server.port-busy',
  );
  await assert.rejects(
    startPostgres({ dataDir: other }),
    (error) => error instanceof LocalServerError && error.code === 'local-server.data-dir-unusable',
  );
  await using first = await startPostgres({ dataDir, durable: false });
  await assert.rejects(
    startPostgres({ dataDir, durable: false }),
    (error) =>
      error instanceof LocalServerError &&
      error.code === 'local-server.already-running' &&
      error.details.pid === first.pid,
  );
});

test('the server ends when the process that started it is killed', async () => {
  await using directory = await temporaryDirectory();
  const dataDir = join(directory.path, 'postgres');
  const script = `
    import { startPostgres } from ${JSON.stringify(new URL('./postgres-server.ts', import.meta.url).href)};
    const server = await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, durable: false });
    console.log(server.pid);`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((resolve) =>
    owner.stdout.once('data', (text: Buffer) => resolve(Number(text.toString()))),
  );
  assert.ok(isAlive(pid));
  owner.kill('SIGKILL');
  await using server = await startPostgres({ dataDir, durable: false });
  assert.notEqual(server.pid, pid);
  assert.deepEqual(await query(server.url, 'select 1 as n'), [{ n: 1 }]);
});
