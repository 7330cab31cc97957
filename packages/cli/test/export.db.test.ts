/**
 * Scenario: `tracelake export` as a process, against services that answer well, refuse, break off and stall.
 * Guarantees: the file is whole or absent, and the exit status and the message say which and why.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startTraceServer } from './trace-server.ts';
import { startTracelake, type TracelakeProcess } from './tracelake-process.ts';

const processId = '9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f';
const trace = Buffer.alloc(300_000, 'trace ');

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'tracelake-export-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const sendWhole: RequestListener = (_request, response) => {
  response.setHeader('tracelake-blocks-known', '14');
  response.setHeader('tracelake-blocks-rejected', '1');
  response.setHeader('content-disposition', 'attachment; filename="game-9d3b.pftrace"');
  response.end(trace);
};

/** Sends a part and then nothing, with the connection open. */
const stall: RequestListener = (_request, response) => {
  response.write(trace);
};

function startExport(url: string, ...options: string[]): TracelakeProcess {
  return startTracelake(['export', processId, '--url', url, ...options], directory);
}

/** Waits until some bytes are in the file that is being made. */
async function untilPartialHasBytes(): Promise<string> {
  for (;;) {
    const name = (await readdir(directory)).find((entry) => entry.endsWith('.partial'));
    if (name !== undefined) {
      const bytes = await readFile(path.join(directory, name)).catch(() => Buffer.alloc(0));
      if (bytes.length > 0) return name;
    }
    await delay(20);
  }
}

test('the file is written whole, with what is known about it on stderr', async () => {
  await using server = await startTraceServer(sendWhole);
  const { status, stdout, stderr } = await startExport(server.url, '-o', 't.pftrace').ended;
  assert.equal(status, 0);
  assert.equal(stdout.length, 0);
  assert.deepEqual(await readdir(directory), ['t.pftrace']);
  assert.ok((await readFile(path.join(directory, 't.pftrace'))).equals(trace));
  assert.match(stderr, /wrote t\.pftrace: 293\.0 KiB .*, 14 blocks/);
  assert.match(stderr, /1 block\(s\) could not be decoded/);
});

test('without -o the file has the name that the service gives', async () => {
  await using server = await startTraceServer(sendWhole);
  assert.equal((await startExport(server.url).ended).status, 0);
  assert.deepEqual(await readdir(directory), ['game-9d3b.pftrace']);
});

test('a name from the service cannot lead out of the directory', async () => {
  await using server = await startTraceServer((_request, response) => {
    response.setHeader('content-disposition', 'attachment; filename="../../.bashrc"');
    response.end(trace);
  });
  assert.equal((await startExport(server.url).ended).status, 0);
  assert.deepEqual(await readdir(directory), [`${processId}.pftrace`]);
});

test('"-o -" writes the trace and nothing else to stdout', async () => {
  await using server = await startTraceServer(sendWhole);
  const { status, stdout } = await startExport(server.url, '-o', '-').ended;
  assert.equal(status, 0);
  assert.ok(stdout.equals(trace));
  assert.deepEqual(await readdir(directory), []);
});

test('the request carries the range, the kind and the key', async () => {
  let seen = '';
  await using server = await startTraceServer((request, response) => {
    seen = `${request.url} ${request.headers.authorization}`;
    response.end(trace);
  });
  const range = ['--begin', '2026-11-21T04:00:00Z', '--end', '2026-11-21T05:00:00+01:00'];
  await startExport(server.url, '--spans', 'async', ...range, '--api-key', 'k1', '-o', 't').ended;
  const query = 'spans=async&begin=2026-11-21T04%3A00%3A00.000000000Z';
  const end = 'end=2026-11-21T04%3A00%3A00.000000000Z';
  assert.equal(seen, `/v1/processes/${processId}/trace?${query}&${end} Bearer k1`);
});

test('a compressed trace is asked for by name, and no other kind of it', async () => {
  let seen = '';
  await using server = await startTraceServer((request, response) => {
    seen = request.url ?? '';
    response.end(trace);
  });
  await startExport(server.url, '--compress', 'deflate').ended;
  assert.equal(seen, `/v1/processes/${processId}/trace?spans=both&compress=deflate`);
  const refused = await startExport(server.url, '--compress', 'gzip').ended;
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /--compress .*deflate.*none/);
});

test('a refusal is told in its own words and leaves no file', async () => {
  await using server = await startTraceServer((_request, response) => {
    response.writeHead(404, { 'content-type': 'application/problem+json' });
    response.end('{"title":"Unknown process","detail":"no process has this id"}');
  });
  const { status, stderr } = await startExport(server.url, '-o', 't.pftrace').ended;
  assert.equal(status, 1);
  assert.match(stderr, /Unknown process: no process has this id/);
  assert.deepEqual(await readdir(directory), []);
});

test('a service that is not there is named, with what to do', async () => {
  const server = await startTraceServer(sendWhole);
  await server[Symbol.asyncDispose]();
  const { status, stderr } = await startExport(server.url, '-o', 't.pftrace').ended;
  assert.equal(status, 1);
  assert.match(stderr, /no answer from trace-export .*npm start/);
  assert.deepEqual(await readdir(directory), []);
});

test('a trace that the service breaks off is a failure and leaves no file', async () => {
  await using server = await startTraceServer((_request, response) => {
    response.write(trace, () => response.destroy());
  });
  const { status, stderr } = await startExport(server.url, '-o', 't.pftrace').ended;
  assert.equal(status, 1);
  assert.match(stderr, /cut off/);
  assert.deepEqual(await readdir(directory), []);
});

test('Ctrl-C half-way ends with 130, SIGTERM with 143, and neither leaves a file', async () => {
  await using server = await startTraceServer(stall);
  for (const [signal, wanted] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const running = startExport(server.url, '-o', 't.pftrace');
    await untilPartialHasBytes();
    running.child.kill(signal);
    const { status, stderr } = await running.ended;
    assert.equal(status, wanted);
    assert.match(stderr, /interrupted/);
    assert.deepEqual(await readdir(directory), []);
  }
});

test('kill -9 half-way leaves no file that looks whole, and the next export cleans up', async () => {
  await using stalled = await startTraceServer(stall);
  const running = startExport(stalled.url, '-o', 't.pftrace');
  const partial = await untilPartialHasBytes();
  running.child.kill('SIGKILL');
  await running.ended;
  assert.deepEqual(await readdir(directory), [partial]);
  await using server = await startTraceServer(sendWhole);
  assert.equal((await startExport(server.url, '-o', 't.pftrace').ended).status, 0);
  assert.deepEqual(await readdir(directory), ['t.pftrace']);
});
