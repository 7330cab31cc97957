/**
 * Ways to get a nats-server onto a machine that has none, best first. None of them leaves a server running
 * that nobody asked for: Debian's package would start one on port 4222 under systemd.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, chmod, copyFile, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isRoot } from './server-user.ts';

export interface InstallContext {
  readonly cacheDir: string;
  /** Where a binary that no package manager owns is kept. */
  readonly cachedBinaryPath: string;
  readonly signal: AbortSignal | undefined;
  readonly log: ((line: string) => void) | undefined;
}

export interface NatsInstallation {
  readonly name: string;
  applies(): Promise<boolean>;
  /** Returns the path of the binary. */
  install(context: InstallContext): Promise<string>;
}

const RELEASE_VERSION = '2.15.2';
const RELEASE_URL = 'https://github.com/nats-io/nats-server/releases/download';
const COMMAND_TIMEOUT_MS = 240_000;
const DOWNLOAD_TIMEOUT_MS = 120_000;
const SERVICE_UNIT = 'nats-server.service';

export const INSTALLATIONS: readonly NatsInstallation[] = [
  {
    name: "Debian's package nats-server",
    applies: async () => isRoot() && (await exists('/usr/bin/apt-get')),
    install: installDebianPackage,
  },
  {
    name: "Debian's package nats-server, unpacked",
    applies: async () => (await exists('/usr/bin/apt-get')) && (await exists('/usr/bin/dpkg')),
    install: unpackDebianPackage,
  },
  {
    name: `the official release ${RELEASE_VERSION}`,
    applies: async () => releaseFileName() !== undefined,
    install: downloadRelease,
  },
];

async function installDebianPackage(context: InstallContext): Promise<string> {
  const hasSystemd = await exists('/run/systemd/system');
  // A masked unit is not started by the package's own script.
  if (hasSystemd) await run('systemctl', ['mask', SERVICE_UNIT], context);
  try {
    const aptGet = [
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-o',
      'DPkg::Lock::Timeout=200',
      '-q',
    ];
    const install = [...aptGet, 'install', '-y', '--no-install-recommends', 'nats-server'];
    await run('/usr/bin/env', install, context).catch(async () => {
      // Lists that are missing or out of date: one more attempt with fresh ones.
      await run('/usr/bin/env', [...aptGet, 'update'], context);
      await run('/usr/bin/env', install, context);
    });
  } finally {
    if (hasSystemd) {
      await run('systemctl', ['unmask', SERVICE_UNIT], context).catch(() => {});
      await run('systemctl', ['disable', SERVICE_UNIT], context).catch(() => {});
    }
  }
  return '/usr/sbin/nats-server';
}

/** What an ordinary user can do: the package's files without installing the package. */
async function unpackDebianPackage(context: InstallContext): Promise<string> {
  const directory = await mkdtemp(join(context.cacheDir, 'nats-package-'));
  try {
    await run('apt-get', ['-q', 'download', 'nats-server'], context, directory).catch(async () => {
      const ownLists = [
        '-q',
        '-o',
        `Dir::State::lists=${join(directory, 'lists')}`,
        '-o',
        `Dir::Cache=${join(directory, 'cache')}`,
        '-o',
        'Debug::NoLocking=1',
      ];
      await run('mkdir', ['-p', 'lists/partial', 'cache/archives/partial'], context, directory);
      await run('apt-get', [...ownLists, 'update'], context, directory);
      await run('apt-get', [...ownLists, 'download', 'nats-server'], context, directory);
    });
    const packageFile = (await readdir(directory)).find((name) => name.endsWith('.deb'));
    if (packageFile === undefined) throw new Error('apt-get download left no package');
    await run('dpkg', ['-x', packageFile, 'unpacked'], context, directory);
    return await keep(join(directory, 'unpacked/usr/sbin/nats-server'), context);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * The checksum comes from the same release, so it guards against a broken transfer; the sender is vouched
 * for by TLS alone.
 */
async function downloadRelease(context: InstallContext): Promise<string> {
  const fileName = releaseFileName();
  if (fileName === undefined) throw new Error('no release for this platform');
  const base = `${RELEASE_URL}/v${RELEASE_VERSION}`;
  const sums = new TextDecoder().decode(await download(`${base}/SHA256SUMS`, context));
  const expected = sums
    .split('\n')
    .map((line) => line.trim().split(/\s+\*?/))
    .find(([, name]) => name === fileName)?.[0];
  if (expected === undefined) throw new Error(`SHA256SUMS does not name ${fileName}`);
  const archive = await download(`${base}/${fileName}`, context);
  const actual = createHash('sha256').update(archive).digest('hex');
  if (actual !== expected) throw new Error(`${fileName} has the wrong checksum ${actual}`);
  const directory = await mkdtemp(join(context.cacheDir, 'nats-release-'));
  try {
    await writeFile(join(directory, fileName), archive);
    await run('tar', ['-xzf', fileName, '--strip-components=1'], context, directory);
    return await keep(join(directory, 'nats-server'), context);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function releaseFileName(): string | undefined {
  const platforms: Partial<Record<NodeJS.Platform, string>> = { linux: 'linux', darwin: 'darwin' };
  const platform = platforms[process.platform];
  const architectures: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };
  const architecture = architectures[process.arch];
  if (platform === undefined || architecture === undefined) return undefined;
  return `nats-server-v${RELEASE_VERSION}-${platform}-${architecture}.tar.gz`;
}

/** Moves a binary to its place at once: another process sees all of it or nothing. */
async function keep(path: string, context: InstallContext): Promise<string> {
  const staging = `${context.cachedBinaryPath}.${process.pid}`;
  await copyFile(path, staging);
  await chmod(staging, 0o755);
  await rename(staging, context.cachedBinaryPath);
  return context.cachedBinaryPath;
}

async function download(url: string, { signal }: InstallContext): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS);
  const response = await fetch(url, {
    signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
  }).catch((cause: unknown) => {
    throw new Error(`cannot download ${url}`, { cause });
  });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  return response.bytes();
}

async function run(
  command: string,
  args: readonly string[],
  { signal }: InstallContext,
  cwd?: string,
): Promise<void> {
  try {
    await promisify(execFile)(command, args, {
      timeout: COMMAND_TIMEOUT_MS,
      maxBuffer: 16 * 1024 * 1024,
      ...(cwd === undefined ? {} : { cwd }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    signal?.throwIfAborted();
    const { stderr = '' } = error as { stderr?: string };
    const lines = stderr.split('\n').filter((line) => line.startsWith('E:'));
    throw new Error(lines.join(' ') || `${command} ${args.join(' ')} failed`, { cause: error });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
