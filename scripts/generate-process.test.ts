import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { generateProcess } from '@tracelake/test-kit';

const script = path.join(import.meta.dirname, 'generate-process.ts');
const run = (...args: string[]) => promisify(execFile)(process.execPath, [script, ...args]);

test('a generated recording holds the requests in their order, and an ingest is sent the same', async () => {
  const expected = [...generateProcess({ threadSpans: 700, logEntries: 10, seed: 5 })];
  const directory = await mkdtemp(path.join(tmpdir(), 'tracelake-generated-'));
  const received: { path: string; body: Buffer }[] = [];
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray();
    received.push({ path: request.url ?? '', body: Buffer.concat(chunks) });
    response.end();
  }).listen(0, '127.0.0.1');
  try {
    await new Promise((resolve) => server.once('listening', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const kinds = ['--spans', '700', '--logs', '10', '--seed', '5'];
    await run(...kinds, '--out', directory, '--url', url);
    const requests = path.join(directory, 'requests');
    const lines = (await readFile(path.join(requests, 'index.jsonl'), 'utf8')).trim().split('\n');
    const written = [];
    for (const line of lines) {
      const entry = JSON.parse(line) as { file: string; path: string };
      written.push({ path: entry.path, body: await readFile(path.join(requests, entry.file)) });
    }
    const asSent = expected.map(({ path: target, body }) => ({
      path: target,
      body: Buffer.from(body),
    }));
    assert.deepEqual(written, asSent);
    assert.deepEqual(received, asSent);
  } finally {
    server.closeAllConnections();
    server.close();
    await rm(directory, { recursive: true });
  }
});

test('an option that cannot be understood is explained, with status 2', async () => {
  const failure = await run('--spans', 'many').then(
    () => undefined,
    (error: { code: number; stderr: string }) => error,
  );
  assert.equal(failure?.code, 2);
  assert.match(failure?.stderr ?? '', /--spans must be a whole number .*"many"/);
});
