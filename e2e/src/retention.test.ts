/**
 * Scenario: `tracelake retention` deletes a process while clients send it, export it and read it slowly.
 * Guarantees: who reads it gets the whole trace or a 404, never part of one; what is sent afterwards is taken as new;
 * a deletion that is killed halfway hides the process all the same, and the next one ends it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { loadFixture } from '@tracelake/test-kit';
import pg from 'pg';
import { eventually, exportTrace, replay } from './harness/client.ts';
import { copyProcess } from './harness/fixture-copy.ts';
import { type ProcessStack, startProcessStack } from './harness/process-stack.ts';

const main = join(import.meta.dirname, '../../packages/cli/src/main.ts');
let stack: ProcessStack;
let database: pg.Client;

before(async () => {
  stack = await startProcessStack({
    // So that a file which a reader needs would be gone before it is read.
    'partition-materializer': { env: { TRACELAKE_MATERIALIZER_SWEEP_INTERVAL_S: '1' } },
    'trace-export': { env: { TRACELAKE_EXPORT_CHANNEL_CHUNKS: '1' } },
  });
  database = new pg.Client(stack.databaseUrl);
  await database.connect();
});
after(async () => {
  await database?.end();
  await stack?.[Symbol.asyncDispose]();
});

function startRetention(processId: string): ChildProcess {
  const env = {
    PATH: process.env.PATH,
    TRACELAKE_DATABASE_URL: stack.databaseUrl,
    TRACELAKE_OBJECT_STORE_URL: pathToFileURL(stack.objectsDir).href,
  };
  const argv = [main, 'retention', '--process', processId];
  return spawn(process.execPath, argv, { env, stdio: ['ignore', 'ignore', 'inherit'] });
}

async function deleteProcess(processId: string): Promise<void> {
  const [status] = await once(startRetention(processId), 'exit');
  assert.equal(status, 0);
}

async function statusOfExport(processId: string): Promise<number> {
  const response = await fetch(`${stack.traceExport.url}/v1/processes/${processId}/trace`);
  await response.bytes();
  return response.status;
}

async function send(name: 'small' | 'spans') {
  const copy = copyProcess(loadFixture(name));
  await replay(stack.ingest.url, copy.requests);
  return { ...copy, trace: await exportTrace(stack.traceExport.url, copy.processId) };
}

test('a reader that has begun gets the whole trace; the files go when it has', async () => {
  const { processId, trace } = await send('spans');
  // What is built by itself is there: a build that ends after the deletion leaves its file to the next run.
  for (const view of ['measures', 'log_entries']) await buildDirectly(view, processId);
  const response = await fetch(`${stack.traceExport.url}/v1/processes/${processId}/trace`);
  const reader = (response.body ?? assert.fail()).getReader();
  const hash = createHash('sha256');
  hash.update((await reader.read()).value ?? assert.fail());
  await deleteProcess(processId);
  assert.equal(await statusOfExport(processId), 404);
  for (let part = await reader.read(); !part.done; part = await reader.read())
    hash.update(part.value);
  assert.equal(hash.digest('hex'), trace.sha256);
  const retired = 'SELECT FROM retired_objects';
  await eventually(
    async () => ((await database.query(retired)).rowCount === 0 ? true : undefined),
    'the sweep of the files',
    60_000,
  );
  const views = await readdir(join(stack.objectsDir, 'views'), { recursive: true });
  assert.deepEqual(
    views.filter((file) => file.includes(processId)).filter((file) => file.endsWith('.parquet')),
    [],
  );
});

test('a deletion that is killed halfway leaves a 404, and what is sent again then is whole', async () => {
  const other = await send('small');
  const { processId, requests, trace } = await send('small');
  // The rows of its blocks cannot go while this holds them: the deletion stops there, their objects gone.
  await database.query('BEGIN');
  await database.query('SELECT FROM blocks WHERE process_id = $1 FOR UPDATE', [processId]);
  const running = startRetention(processId);
  await eventually(
    async () => ((await objectsOf(processId)) === 0 ? true : undefined),
    'the objects to go',
    30_000,
  );
  assert.equal(await statusOfExport(processId), 404);
  running.kill('SIGKILL');
  await once(running, 'exit');
  await database.query('COMMIT');
  assert.equal(await statusOfExport(processId), 404);
  await deleteProcess(processId);
  assert.equal(
    (await database.query('SELECT FROM blocks WHERE process_id = $1', [processId])).rowCount,
    0,
  );
  await replay(stack.ingest.url, requests);
  assert.equal((await exportTrace(stack.traceExport.url, processId)).sha256, trace.sha256);
  assert.equal(
    (await exportTrace(stack.traceExport.url, other.processId)).sha256,
    other.trace.sha256,
  );
});

test('a process that is sent while it is deleted is whole once it has been sent again', async () => {
  const { processId, requests, trace, fixture, idOf } = await send('small');
  for (let round = 0; round < 3; round += 1) {
    await Promise.all([deleteProcess(processId), replay(stack.ingest.url, requests)]);
    // Whatever went was gone before this began.
    await replay(stack.ingest.url, requests);
    await buildDirectly('async_events', processId);
    for (const stream of fixture.expectedThreadSpanStreams()) {
      await buildDirectly('thread_spans', idOf(stream));
    }
    const now = await exportTrace(stack.traceExport.url, processId);
    assert.equal(now.headers.get('tracelake-blocks-rejected'), '0');
    assert.equal(now.sha256, trace.sha256, `round ${round}`);
  }
});

/** A request like one of the last two minutes would count as the same on the bus, and be made again after seconds. */
async function buildDirectly(view: string, instance: string): Promise<void> {
  const url = `${stack.materializer.url}/v1/materialize/${view}/${instance}`;
  const response = await fetch(url, { method: 'POST' });
  assert.equal(response.status, 200, await response.text());
}

async function objectsOf(processId: string): Promise<number> {
  const directory = join(stack.objectsDir, 'blobs', processId);
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}
