/**
 * Set-up, run by whatever Node (20 or newer) the machine has: installs the pinned pnpm, Node and
 * dependencies of this clone into its own node_modules. Every npm script calls it first.
 *
 * A stamp of the lockfile is left behind, so that an unchanged clone costs one hash and needs no
 * network. One set-up runs at a time in a clone; a second one waits for it.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const rootDir = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The pinned Node itself; the file in .bin is a shell script that would swallow signals. */
export const pinnedNodePath = path.join(rootDir, 'node_modules/node/bin/node');

const stampPath = path.join(rootDir, 'node_modules/.set-up-stamp.json');
const lockPath = path.join(rootDir, '.set-up.lock');
const nodeMajorMin = 20;
const lockWaitMs = 15 * 60_000;

/** A failure that the person at the terminal can act on: printed without a stack. */
export class SetUpError extends Error {
  name = 'SetUpError';
}

/**
 * Makes this clone runnable and returns what it found.
 * @returns {Promise<{ node: string, installed: boolean }>}
 */
export async function ensureSetUp() {
  checkSystem();
  const wanted = wantedStamp();
  if (isSetUp(wanted)) return { node: pinnedNodePath, installed: false };
  await withSetUpLock(async () => {
    // Whoever held the lock before may have done it all.
    if (!isSetUp(wanted)) await install(wanted);
  });
  return { node: pinnedNodePath, installed: true };
}

/** A PATH on which the pinned Node and the tools of this clone come first. */
export function pinnedPath() {
  return [path.join(rootDir, 'node_modules/.bin'), process.env.PATH ?? ''].join(path.delimiter);
}

/**
 * Runs an entry script: prints expected failures as one message, others with their stack.
 * @param {() => Promise<number>} body returns the exit status
 */
export async function runScript(body) {
  try {
    process.exitCode = await body();
  } catch (error) {
    if (error instanceof SetUpError) console.error(`\nset-up failed: ${error.message}`);
    else console.error(error);
    process.exitCode = 1;
  }
}

/**
 * Runs a program in the foreground, handing on signals, and gives its exit status.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<number>}
 */
export function runForeground(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'inherit', cwd: rootDir, ...options });
    const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
    const forward = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal);
    for (const signal of signals) process.on(signal, forward);
    const release = () => {
      for (const signal of signals) process.off(signal, forward);
    };
    child.once('error', (error) => {
      release();
      reject(error);
    });
    child.once('exit', (code, signal) => {
      release();
      resolve(code ?? (signal === 'SIGINT' ? 130 : 143));
    });
  });
}

function checkSystem() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < nodeMajorMin) {
    throw new SetUpError(
      `Node ${process.versions.node} is too old to set up Tracelake; install Node ${nodeMajorMin} or newer`,
    );
  }
  if (process.platform === 'win32') {
    throw new SetUpError(
      'Windows is not supported; use Linux, macOS or the Windows Subsystem for Linux',
    );
  }
}

function wantedStamp() {
  const hash = createHash('sha256');
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json']) {
    hash.update(file).update(readFileSync(path.join(rootDir, file)));
  }
  return { inputs: hash.digest('hex'), platform: process.platform, arch: process.arch };
}

function isSetUp(wanted) {
  if (!existsSync(pinnedNodePath)) return false;
  let found;
  try {
    found = JSON.parse(readFileSync(stampPath, 'utf8'));
  } catch {
    return false;
  }
  return Object.keys(wanted).every((key) => found[key] === wanted[key]);
}

async function install(wanted) {
  const { packageManager, devDependencies } = JSON.parse(
    readFileSync(path.join(rootDir, 'package.json'), 'utf8'),
  );
  requireWritable(rootDir);
  console.error(
    `set-up: installing Node ${devDependencies.node} and dependencies with ${packageManager}`,
  );
  const startMs = Date.now();
  const args = [
    '--yes',
    packageManager,
    'install',
    '--frozen-lockfile',
    '--prefer-offline',
    '--reporter=append-only',
    '--config.confirmModulesPurge=false',
  ];
  const code = await runInstaller('npx', args);
  if (code !== 0) throw new SetUpError(installHint(code, packageManager));
  if (!existsSync(pinnedNodePath)) {
    throw new SetUpError(
      `the npm package node@${devDependencies.node} left no binary at ${pinnedNodePath}; ` +
        'remove node_modules and try again (its install script downloads the binary for this platform)',
    );
  }
  makeNodeShimExec();
  writeFileSync(`${stampPath}.new`, JSON.stringify(wanted));
  renameSync(`${stampPath}.new`, stampPath);
  console.error(`set-up: done in ${((Date.now() - startMs) / 1000).toFixed(1)} s`);
}

function runInstaller(file, args) {
  return new Promise((resolve, reject) => {
    // stdout stays free for what the command itself prints.
    const child = spawn(file, args, { cwd: rootDir, env: installerEnv(), stdio: ['ignore', 2, 2] });
    child.once('error', (error) =>
      reject(
        error.code === 'ENOENT'
          ? new SetUpError('npx was not found; install npm (it comes with Node) and try again')
          : error,
      ),
    );
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
}

/** npm puts node_modules/.bin first on PATH; a half-installed Node there must not run the installer. */
function installerEnv() {
  const entries = (process.env.PATH ?? '').split(path.delimiter);
  const outside = entries.filter((entry) => !entry.startsWith(path.join(rootDir, 'node_modules')));
  const env = {
    ...process.env,
    PATH: [path.dirname(process.execPath), ...outside].join(path.delimiter),
  };
  if (!isWritable(homedir())) {
    const home = path.join(rootDir, '.tracelake/cache/home');
    mkdirSync(home, { recursive: true });
    Object.assign(env, { HOME: home, npm_config_cache: path.join(home, '.npm') });
  }
  return env;
}

function installHint(code, packageManager) {
  const how = typeof code === 'number' ? `exit status ${code}` : `signal ${code}`;
  return [
    `"npx ${packageManager} install" ended with ${how}; its own message is above. Usual causes:`,
    '  - no way to the npm registry: check the network, HTTPS_PROXY and "npm ping"',
    '  - a full disk: node_modules needs about 1 GB here and in the pnpm store',
    '  - files owned by another user: remove node_modules, then try again',
    '  - a package.json that was changed without its lockfile: run "npx pnpm install" once',
    'Nothing half-installed is used: the next start tries again.',
  ].join('\n');
}

/**
 * pnpm's wrapper for `node` starts the binary as a child and stays in between, where a signal sent
 * to it would orphan the real process; replacing itself by it keeps the process id.
 */
function makeNodeShimExec() {
  const shim = path.join(rootDir, 'node_modules/.bin/node');
  const target = '#!/bin/sh\nexec "$(dirname "$0")/../node/bin/node" "$@"\n';
  rmSync(shim, { force: true });
  writeFileSync(shim, target);
  chmodSync(shim, 0o755);
}

async function withSetUpLock(body) {
  const deadline = Date.now() + lockWaitMs;
  let told = false;
  while (!tryLock()) {
    if (!told) console.error('set-up: another set-up runs in this clone, waiting for it');
    told = true;
    if (Date.now() > deadline)
      throw new SetUpError(`another set-up holds ${lockPath} since long; remove it`);
    await sleep(250);
  }
  try {
    await body();
  } finally {
    rmSync(lockPath, { force: true });
  }
}

function tryLock() {
  try {
    writeFileSync(lockPath, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') requireWritable(rootDir, error);
  }
  const deadPid = findDeadOwner();
  if (deadPid === undefined) return false;
  const aside = `${lockPath}.${process.pid}`;
  try {
    renameSync(lockPath, aside);
    // Another finder may have been quicker and locked anew: its lock goes back.
    if (readFileSync(aside, 'utf8') !== deadPid) renameSync(aside, lockPath);
  } catch {
    return false;
  }
  rmSync(aside, { force: true });
  return false;
}

/** The lock's owner, when that process is gone (killed, or the machine restarted). */
function findDeadOwner() {
  let text;
  try {
    text = readFileSync(lockPath, 'utf8');
  } catch {
    return undefined;
  }
  const pid = Number(text);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  try {
    process.kill(pid, 0);
    return undefined;
  } catch (error) {
    return error.code === 'ESRCH' ? text : undefined;
  }
}

function requireWritable(directory, cause) {
  if (isWritable(directory) && cause === undefined) return;
  throw new SetUpError(
    `${directory} cannot be written by this user; run as its owner, or clone it where you can write`,
    { cause },
  );
}

function isWritable(directory) {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
