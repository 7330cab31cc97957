/**
 * A Postgres data directory: made whole or not at all, owned by the user that the server runs as, with a
 * password of its own (any user of the machine can reach a port on 127.0.0.1).
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chown,
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LocalServerError } from './local-server.ts';
import { canReach, findUnprivilegedUser, isRoot, type ServerUser } from './server-user.ts';

/** Inside the data directory, so that it moves and goes with it. */
const PASSWORD_FILE = 'tracelake.password';
const LEFTOVER_WAIT_MS = 8_000;

export interface DataDirState {
  /** Major version that made it; undefined when there is none yet. */
  readonly majorVersion: string | undefined;
  /** Whom the server must run as; undefined means as this process's own user. */
  readonly user: ServerUser | undefined;
}

/** Looks at a data directory without changing it. Throws `local-server.data-dir-unusable`. */
export async function inspectDataDir(dataDir: string): Promise<DataDirState> {
  const names = await readdir(dataDir).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return [];
    throw unusable(dataDir, `cannot be read (${error.code})`, error);
  });
  if (names.length === 0) {
    return { majorVersion: undefined, user: isRoot() ? await findUnprivilegedUser() : undefined };
  }
  if (!names.includes('PG_VERSION')) {
    throw unusable(dataDir, 'holds files but no Postgres database: empty it or name another one');
  }
  const majorVersion = (await readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim();
  const { uid, gid } = await stat(dataDir);
  if (uid === process.geteuid?.() && !isRoot()) return { majorVersion, user: undefined };
  if (!isRoot()) {
    throw unusable(
      dataDir,
      `belongs to user ${uid}: start as that user or root, or name another one`,
    );
  }
  if (uid === 0) {
    throw unusable(
      dataDir,
      'belongs to root, as whom Postgres refuses to run: give it to another user',
    );
  }
  return { majorVersion, user: { uid, gid } };
}

export interface InitialiseOptions {
  readonly binDir: string;
  readonly user: ServerUser | undefined;
  readonly durable: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Makes the database in a directory beside `dataDir` and renames it there, so that no half of it is ever seen. */
export async function initialiseDataDir(
  dataDir: string,
  options: InitialiseOptions,
): Promise<void> {
  await mkdir(dirname(dataDir), { recursive: true });
  const staging = await mkdtemp(join(dirname(dataDir), `.${basename(dataDir)}-`));
  const secrets = await mkdtemp(join(await reachableTemp(options.user), 'tracelake-initdb-'));
  try {
    const passwordFile = join(secrets, 'password');
    const password = randomBytes(24).toString('base64url');
    await writeFile(passwordFile, password, { mode: 0o600 });
    if (options.user !== undefined) {
      for (const path of [staging, secrets, passwordFile]) {
        await chown(path, options.user.uid, options.user.gid);
      }
    }
    await runInitdb(staging, passwordFile, options);
    await writeFile(join(staging, PASSWORD_FILE), password, { mode: 0o600 });
    await rename(staging, dataDir);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    throw error;
  } finally {
    await rm(secrets, { recursive: true, force: true });
  }
}

/** The superuser's password, or undefined for a directory that somebody else made. */
export async function readPassword(dataDir: string): Promise<string | undefined> {
  return readFile(join(dataDir, PASSWORD_FILE), 'utf8').catch(() => undefined);
}

/** What `postmaster.pid` says: the pid, and whether the server takes connections. */
export async function readPostmasterStatus(
  dataDir: string,
): Promise<{ pid: number; ready: boolean } | undefined> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  return { pid: Number(lines[0]), ready: lines[7]?.trim() === 'ready' };
}

/**
 * Waits for a postmaster that is still on its way out (its owner died a moment ago). Throws
 * `local-server.already-running` when it stays; clears a lock file that a process no longer there left.
 */
export async function awaitNoPostmaster(dataDir: string, signal?: AbortSignal): Promise<void> {
  const deadline = Date.now() + LEFTOVER_WAIT_MS;
  for (;;) {
    const status = await readPostmasterStatus(dataDir);
    if (status === undefined) return;
    if (!(await isPostmasterOf(dataDir, status.pid))) {
      await rm(join(dataDir, 'postmaster.pid'), { force: true });
      return;
    }
    if (Date.now() > deadline) {
      throw new LocalServerError(
        'local-server.already-running',
        `another Postgres (process ${status.pid}) runs on ${dataDir}: stop it, or name another data directory`,
        { details: { dataDir, pid: status.pid } },
      );
    }
    await delay(100, undefined, signal === undefined ? {} : { signal });
  }
}

export interface DataDirHandle extends AsyncDisposable {
  /** How a child that gets `fd` as its descriptor 3 names the directory. */
  readonly path: string;
  readonly fd: number | undefined;
}

/**
 * Gives the server's user a way to its directory even where it may not search a parent (a clone below a 0700
 * home): the directory is opened here, and on Linux the child goes through its inherited descriptor.
 */
export async function openForUser(
  dataDir: string,
  user: ServerUser | undefined,
): Promise<DataDirHandle> {
  if (user === undefined || (await canReach(user, dirname(dataDir)))) {
    return { path: dataDir, fd: undefined, [Symbol.asyncDispose]: async () => {} };
  }
  if (process.platform !== 'linux') {
    throw unusable(dataDir, 'lies where an ordinary user cannot reach it: name another one');
  }
  const handle: FileHandle = await open(dataDir, 'r');
  return {
    path: '/proc/self/fd/3',
    fd: handle.fd,
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function runInitdb(
  directory: string,
  passwordFile: string,
  { binDir, user, durable, signal }: InitialiseOptions,
): Promise<void> {
  await using target = await openForUser(directory, user);
  const child = spawn(
    join(binDir, 'initdb'),
    [
      `--pgdata=${target.path}`,
      '--username=postgres',
      '--auth=scram-sha-256',
      `--pwfile=${passwordFile}`,
      '--encoding=UTF8',
      '--no-locale',
      '--no-instructions',
      ...(durable ? [] : ['--no-sync']),
    ],
    {
      ...user,
      ...(signal === undefined ? {} : { signal }),
      cwd: '/',
      env: SERVER_ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'pipe', target.fd ?? 'ignore'],
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (text: Buffer) => {
      output = (output + text.toString()).slice(-4000);
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code === 0) return;
  throw new LocalServerError('local-server.start-failed', `initdb failed: ${output.trim()}`, {
    details: { directory, code },
  });
}

/** Nothing of this process's environment reaches the server but what is named here. */
export const SERVER_ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/** A pid can be another process's by now: only one that lives in the directory is its postmaster. */
async function isPostmasterOf(dataDir: string, pid: number): Promise<boolean> {
  if (!Number.isInteger(pid) || pid <= 1) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' && process.platform !== 'linux';
  }
  if (process.platform !== 'linux') return true;
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // A zombie holds nothing but its pid, which would make Postgres believe in its lock file.
  if (state.slice(state.lastIndexOf(')') + 2).startsWith('Z')) return false;
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  return cwd === undefined ? false : cwd === dataDir;
}

async function reachableTemp(user: ServerUser | undefined): Promise<string> {
  return user === undefined || (await canReach(user, tmpdir())) ? tmpdir() : '/tmp';
}

function unusable(dataDir: string, what: string, cause?: unknown): LocalServerError {
  return new LocalServerError(
    'local-server.data-dir-unusable',
    `the data directory ${dataDir} ${what}`,
    { details: { dataDir }, cause },
  );
}
