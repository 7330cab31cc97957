import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { CliError } from '../cli-error.ts';
import { openWholeFile } from './whole-file.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'tracelake-whole-file-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const bytes = new TextEncoder().encode('whole');

test('the name appears with the commit and not before', async () => {
  const file = path.join(directory, 'trace');
  await using sink = await openWholeFile(file);
  await sink.write(bytes);
  assert.deepEqual(await readdir(directory), [`trace.${process.pid}.partial`]);
  await sink.commit();
  assert.deepEqual(await readdir(directory), ['trace']);
  assert.equal(await readFile(file, 'utf8'), 'whole');
});

test('without a commit nothing is left, and what was there before stays', async () => {
  const file = path.join(directory, 'trace');
  await writeFile(file, 'older');
  {
    await using sink = await openWholeFile(file);
    await sink.write(bytes);
  }
  assert.deepEqual(await readdir(directory), ['trace']);
  assert.equal(await readFile(file, 'utf8'), 'older');
});

test('what a killed writer left is removed by the next one, other files are not', async () => {
  const file = path.join(directory, 'trace');
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  for (const name of [
    `trace.${child.pid}.partial`,
    'trace.1.partial',
    'trace.notes.partial',
    'x',
  ]) {
    await writeFile(path.join(directory, name), '');
  }
  await using sink = await openWholeFile(file);
  await sink.commit();
  // Process 1 is alive: its file may be in the making.
  assert.deepEqual((await readdir(directory)).toSorted(), [
    'trace',
    'trace.1.partial',
    'trace.notes.partial',
    'x',
  ]);
});

test('a symbolic link is written through, not replaced', async () => {
  const file = path.join(directory, 'real');
  const link = path.join(directory, 'link');
  await writeFile(file, 'older');
  await symlink(file, link);
  await using sink = await openWholeFile(link);
  await sink.write(bytes);
  await sink.commit();
  assert.equal(await readFile(file, 'utf8'), 'whole');
});

test('a device is written directly', async () => {
  await using sink = await openWholeFile('/dev/null');
  await sink.write(bytes);
  await sink.commit();
});

test('a file that cannot be is refused before a byte is asked for', async () => {
  for (const file of [directory, path.join(directory, 'missing/trace')]) {
    await assert.rejects(openWholeFile(file), (error) => {
      return error instanceof CliError && error.code === 'cli.file' && error.message.includes(file);
    });
  }
});
