/**
 * Where a nats-server to run comes from: the machine's own, else one kept in the cache directory, else an
 * installation (see nats-installation.ts), which a second start finds without the network.
 */
import { execFile } from 'node:child_process';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { errorMessage } from '@tracelake/domain';
import { LocalServerError } from './local-server.ts';
import { INSTALLATIONS, type InstallContext } from './nats-installation.ts';

export interface NatsBinary {
  readonly path: string;
  /** `2.9.10` */
  readonly version: string;
  readonly source: string;
}

export interface FindNatsOptions {
  /** Directories to look in, as in `PATH`. */
  readonly searchPath: string;
  readonly cacheDir: string;
  readonly signal: AbortSignal | undefined;
  readonly log: ((line: string) => void) | undefined;
  /** Whether packages or releases may be installed when none is found. */
  readonly mayInstall: boolean;
}

const USUAL_DIRECTORIES = ['/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/opt/homebrew/bin'];
const OLDEST_VERSION = [2, 9] as const;
const INSTALL_LOCK_WAIT_MS = 300_000;

/** Finds or installs a nats-server. Throws `local-server.not-found` with every way that was tried. */
export async function findNatsBinary(options: FindNatsOptions): Promise<NatsBinary> {
  const found = await lookAround(options);
  if (found !== undefined) return found;
  const reasons = ['none on PATH'];
  if (options.mayInstall) {
    await using _lock = await lockInstallation(options);
    const meanwhile = await lookAround(options);
    if (meanwhile !== undefined) return meanwhile;
    const installed = await install(options, reasons);
    if (installed !== undefined) return installed;
  }
  throw new LocalServerError(
    'local-server.not-found',
    `found no nats-server 2.9 or newer (${reasons.join('; ')}): install it (Debian: apt-get install nats-server, ` +
      'macOS: brew install nats-server) or name a running one in TRACELAKE_NATS_URL',
    { details: { reasons } },
  );
}

async function lookAround(options: FindNatsOptions): Promise<NatsBinary | undefined> {
  const onPath = options.searchPath.split(delimiter).filter((entry) => entry.startsWith('/'));
  for (const directory of [...onPath, ...USUAL_DIRECTORIES]) {
    const binary = await probe(join(directory, 'nats-server'), `from ${directory}`);
    if (binary !== undefined) return binary;
  }
  return probe(cachedBinaryPath(options.cacheDir), `kept in ${options.cacheDir}`);
}

async function install(
  options: FindNatsOptions,
  reasons: string[],
): Promise<NatsBinary | undefined> {
  const context: InstallContext = {
    cacheDir: options.cacheDir,
    cachedBinaryPath: cachedBinaryPath(options.cacheDir),
    signal: options.signal,
    log: options.log,
  };
  for (const installation of INSTALLATIONS) {
    if (!(await installation.applies())) continue;
    options.log?.(`installing nats-server: ${installation.name}`);
    try {
      const path = await installation.install(context);
      const binary = await probe(path, installation.name);
      if (binary !== undefined) return binary;
      reasons.push(`${installation.name}: does not run or is too old`);
    } catch (error) {
      options.signal?.throwIfAborted();
      reasons.push(`${installation.name}: ${errorMessage(error)}`);
    }
  }
  return undefined;
}

function cachedBinaryPath(cacheDir: string): string {
  return join(cacheDir, `nats-server-${process.platform}-${process.arch}`);
}

async function probe(path: string, source: string): Promise<NatsBinary | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: 10_000 });
    const match = /v?(\d+)\.(\d+)\.(\d+)/.exec(stdout);
    if (match === null) return undefined;
    const [major, minor] = [Number(match[1]), Number(match[2])];
    const isNewEnough =
      major > OLDEST_VERSION[0] || (major === OLDEST_VERSION[0] && minor >= OLDEST_VERSION[1]);
    return isNewEnough
      ? { path, version: `${match[1]}.${match[2]}.${match[3]}`, source }
      : undefined;
  } catch {
    return undefined;
  }
}

/** Two processes that start at once must not both install; a lock whose owner died counts for nothing. */
async function lockInstallation(options: FindNatsOptions): Promise<AsyncDisposable> {
  await mkdir(options.cacheDir, { recursive: true });
  const path = join(options.cacheDir, 'nats-installation.lock');
  const deadline = Date.now() + INSTALL_LOCK_WAIT_MS;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      const handle = await open(path, 'wx');
      await handle.writeFile(String(process.pid));
      await handle.close();
      return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (await isAbandoned(path)) await rm(path, { force: true });
    else await delay(250);
    if (Date.now() > deadline) {
      throw new LocalServerError(
        'local-server.start-failed',
        `another process has been installing nats-server for five minutes: remove ${path} if there is none`,
      );
    }
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const pid = Number(await readFile(path, 'utf8').catch(() => ''));
  // Empty: its owner is between making the file and writing to it.
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
