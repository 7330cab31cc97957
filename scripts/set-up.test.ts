/**
 * Scenario: a small clone of its own and an installer on PATH that does what the test says.
 * Guarantees: what is set up is not set up again and needs no network; what failed is tried again; one at a
 * time, also when the one before was killed.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';

let clone = '';
let tools = '';

const installs = `echo run >> "$CLONE/runs"
mkdir -p "$CLONE/node_modules/node/bin" "$CLONE/node_modules/.bin"
sleep 0.2
touch "$CLONE/node_modules/node/bin/node"
`;

beforeEach(async () => {
  clone = await mkdtemp(path.join(tmpdir(), 'tracelake-set-up-'));
  tools = path.join(clone, 'tools');
  await mkdir(path.join(clone, 'scripts'));
  await mkdir(tools);
  for (const name of ['set-up.mjs', 'setup.mjs']) {
    await cp(path.join(import.meta.dirname, name), path.join(clone, 'scripts', name));
  }
  const manifest = { packageManager: 'pnpm@1.2.3', devDependencies: { node: '26.0.0' } };
  await writeFile(path.join(clone, 'package.json'), JSON.stringify(manifest));
  await writeFile(path.join(clone, 'pnpm-workspace.yaml'), '');
  await writeFile(path.join(clone, 'pnpm-lock.yaml'), 'one');
  await placeInstaller(installs);
});
afterEach(() => rm(clone, { recursive: true, force: true }));

async function placeInstaller(script: string): Promise<void> {
  await writeFile(path.join(tools, 'npx'), `#!/bin/sh\n${script}`);
  await chmod(path.join(tools, 'npx'), 0o755);
}

async function setUp(): Promise<{ status: number; text: string }> {
  const child = spawn(process.execPath, [path.join(clone, 'scripts/setup.mjs')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: `${tools}:${process.env.PATH}`, HOME: process.env.HOME, CLONE: clone },
  });
  const chunks: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [status] = (await once(child, 'close')) as [number];
  return { status, text: Buffer.concat(chunks).toString() };
}

async function runCount(): Promise<number> {
  const text = await readFile(path.join(clone, 'runs'), 'utf8').catch(() => '');
  return text.split('\n').length - 1;
}

test('a second set-up does nothing, and needs no installer', async () => {
  assert.equal((await setUp()).status, 0);
  await placeInstaller('exit 9\n');
  const again = await setUp();
  assert.deepEqual(again, { status: 0, text: 'set-up: nothing to do\n' });
  assert.equal(await runCount(), 1);
});

test('a changed lockfile, or a Node that is gone, is set up again', async () => {
  await setUp();
  await writeFile(path.join(clone, 'pnpm-lock.yaml'), 'two');
  assert.equal((await setUp()).status, 0);
  await rm(path.join(clone, 'node_modules/node/bin/node'));
  assert.equal((await setUp()).status, 0);
  assert.equal(await runCount(), 3);
});

test('an installer that fails is told with what to do, and the next set-up tries again', async () => {
  await placeInstaller('echo cannot reach it >&2\nexit 7\n');
  const failed = await setUp();
  assert.equal(failed.status, 1);
  assert.match(failed.text, /cannot reach it[\s\S]*exit status 7[\s\S]*network/);
  await placeInstaller(installs);
  assert.equal((await setUp()).status, 0);
});

test('an installation without a Node is no set-up', async () => {
  await placeInstaller('exit 0\n');
  const { status, text } = await setUp();
  assert.equal(status, 1);
  assert.match(text, /node@26\.0\.0 left no binary/);
});

test('of several at once one installs and the others wait for it', async () => {
  const all = await Promise.all([setUp(), setUp(), setUp()]);
  assert.deepEqual(
    all.map(({ status }) => status),
    [0, 0, 0],
  );
  assert.equal(await runCount(), 1);
});

test('the lock of a set-up that was killed is taken over', async () => {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  await writeFile(path.join(clone, '.set-up.lock'), String(child.pid));
  assert.equal((await setUp()).status, 0);
});

test('the wrapper of node is replaced by one that keeps the process id', async () => {
  await setUp();
  const wrapper = await readFile(path.join(clone, 'node_modules/.bin/node'), 'utf8');
  assert.match(wrapper, /^exec /m);
});
