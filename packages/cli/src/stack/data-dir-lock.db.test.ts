import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { CliError } from '../cli-error.ts';
import { findStackHolder, lockDataDir } from './data-dir-lock.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'tracelake-lock-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test('a second stack on the same data is refused and told what to do', async () => {
  await using _lock = await lockDataDir(directory);
  assert.equal(await findStackHolder(directory), process.pid);
  await assert.rejects(lockDataDir(directory), (error) => {
    assert.ok(error instanceof CliError);
    assert.match(error.message, new RegExp(`process ${process.pid}`));
    assert.match(error.message, /--data-dir/);
    return true;
  });
});

test('the lock goes with its holder', async () => {
  {
    await using _lock = await lockDataDir(path.join(directory, 'deep/lake'));
  }
  await using _again = await lockDataDir(path.join(directory, 'deep/lake'));
});

test('a lock whose process is gone is taken over', async () => {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  await writeFile(path.join(directory, 'up.lock'), JSON.stringify({ pid: child.pid }));
  await using _lock = await lockDataDir(directory);
  assert.deepEqual(await readdir(directory), ['up.lock']);
});

test('a lock whose process id belongs to another process by now is taken over', async () => {
  const content = { pid: process.pid, processStart: '1' };
  await writeFile(path.join(directory, 'up.lock'), JSON.stringify(content));
  await using _lock = await lockDataDir(directory);
});

test('a lock cut short by a crash is taken over', async () => {
  await writeFile(path.join(directory, 'up.lock'), '{"pid":');
  await using _lock = await lockDataDir(directory);
});

test('a data directory that cannot be made is said so', async () => {
  await writeFile(path.join(directory, 'file'), '');
  await assert.rejects(lockDataDir(path.join(directory, 'file/lake')), (error) => {
    return error instanceof CliError && error.message.includes('TRACELAKE_DATA_DIR');
  });
});
