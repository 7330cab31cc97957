import assert from 'node:assert/strict';
import { access, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LocalServerError } from './local-server.ts';
import { type NatsServerOptions, startNats } from './nats-server.ts';

async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'tracelake-nats-test-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function optionsIn(directory: string): NatsServerOptions {
  return {
    storeDir: join(directory, 'store'),
    configDir: join(directory, 'config'),
    cacheDir: join(import.meta.dirname, '../../../node_modules/.cache/tracelake'),
    searchPath: process.env.PATH ?? '',
  };
}

test('a nats-server takes a free port, serves JetStream on loopback and ends when disposed of', async () => {
  await using directory = await temporaryDirectory();
  let pid: number;
  {
    await using server = await startNats(optionsIn(directory.path));
    pid = server.pid;
    assert.match(server.url, /^nats:\/\/127\.0\.0\.1:\d+$/);
    assert.match(server.description, /^nats-server \d+\.\d+\.\d+ /);
    process.kill(pid, 0);
    await access(join(directory.path, 'store/jetstream'));
  }
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  assert.deepEqual(await readdir(join(directory.path, 'config')), ['nats-server.conf']);
});

test('a killed nats-server can be started again on its port', async () => {
  await using directory = await temporaryDirectory();
  await using first = await startNats(optionsIn(directory.path));
  await first.kill();
  assert.deepEqual(await first.exited, { code: null, signal: 'SIGKILL' });
  await using second = await startNats({ ...optionsIn(directory.path), port: first.port });
  assert.equal(second.port, first.port);
});

test('a port that another program holds is named in the error', async () => {
  await using directory = await temporaryDirectory();
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const address = other.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    await assert.rejects(startNats({ ...optionsIn(directory.path), port }), (error: unknown) => {
      assert.ok(error instanceof LocalServerError);
      assert.equal(error.code, 'local-server.port-busy');
      assert.match(error.message, new RegExp(`port ${port}`));
      return true;
    });
  } finally {
    other.close();
  }
});

test('an aborted start leaves no server behind', async () => {
  await using directory = await temporaryDirectory();
  const signal = AbortSignal.abort(new Error('not wanted any more'));
  await assert.rejects(startNats({ ...optionsIn(directory.path), signal }), /not wanted any more/);
  const left = await readdir(join(directory.path, 'config'));
  assert.deepEqual(
    left.filter((name) => name.endsWith('.ports')),
    [],
  );
});
