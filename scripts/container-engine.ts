/**
 * The container engine of the end-to-end tests: the one that answers already, else one of their own. As root
 * on Debian what is missing is installed. An engine started here has its own socket and its own images, knows
 * no default bridge, and is stopped afterwards; its images stay, so that the next run builds nothing anew.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

export interface ContainerEngine extends AsyncDisposable {
  /** What a client needs to find it. */
  readonly env: Readonly<Record<string, string>>;
}

export interface EngineOptions {
  /** Where an engine of our own keeps its images. */
  readonly stateDir: string;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

const execute = promisify(execFile);
const startMs = 60_000;
const stopMs = 30_000;

/** Gives an engine that answers, or what is missing for one. */
export async function ensureContainerEngine(
  options: EngineOptions,
): Promise<ContainerEngine | { readonly missing: string }> {
  const problem = await findEngineProblem({});
  if (problem === undefined) return { env: {}, [Symbol.asyncDispose]: async () => {} };
  if (process.platform !== 'linux') return { missing: `${problem}; start Docker Desktop` };
  if (process.getuid?.() !== 0) {
    return {
      missing: `${problem}; start one, let this user use it (group "docker"), or run as root`,
    };
  }
  if (!(await hasProgram('dockerd')) || !(await hasProgram('iptables'))) {
    const failure = await installEngine(options);
    if (failure !== undefined) return { missing: failure };
    // Where services may start at installation, the distribution's own engine is up by now.
    if ((await findEngineProblem({})) === undefined) {
      return { env: {}, [Symbol.asyncDispose]: async () => {} };
    }
  }
  return await startEngine(options);
}

async function findEngineProblem(
  env: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  try {
    await execute('docker', ['version', '--format', '{{.Server.Version}}'], {
      timeout: 15_000,
      env: { ...process.env, ...env },
    });
    return undefined;
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return isAbsent ? 'Docker is not installed' : 'no container engine answers';
  }
}

async function hasProgram(name: string): Promise<boolean> {
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .concat('/usr/sbin', '/sbin')
    .some((directory) => directory !== '' && existsSync(path.join(directory, name)));
}

/** Installs Debian's engine; gives the reason when that cannot be. */
async function installEngine({ say, signal }: EngineOptions): Promise<string | undefined> {
  if (!(await hasProgram('apt-get'))) return 'install a Docker engine; this is no Debian';
  say('installing the container engine (docker.io, iptables)');
  const apt = (...args: string[]) =>
    execute('apt-get', args, {
      signal,
      maxBuffer: 64 << 20,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  const install = () => apt('install', '-y', '--no-install-recommends', 'docker.io', 'iptables');
  try {
    // The package lists may be absent or old: a second try brings them up to date first.
    await install().catch(async () => {
      await apt('update');
      await install();
    });
    return undefined;
  } catch (error) {
    const { stderr = String(error) } = error as { stderr?: string };
    return `apt-get cannot install docker.io and iptables: ${lastLines(stderr, 3)}`;
  }
}

async function startEngine(
  options: EngineOptions,
): Promise<ContainerEngine | { readonly missing: string }> {
  // The path of a socket is limited to 107 bytes, wherever the clone lies.
  const name = createHash('sha256').update(options.stateDir).digest('hex').slice(0, 12);
  const runDir = path.join(tmpdir(), `tracelake-docker-${name}`);
  await stopLeftover(runDir);
  rmSync(runDir, { recursive: true, force: true });
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  mkdirSync(options.stateDir, { recursive: true });
  const host = `unix://${runDir}/docker.sock`;
  const logPath = path.join(runDir, 'dockerd.log');
  const log = openSync(logPath, 'a');
  options.say('starting a container engine for the tests');
  // Its own session: Ctrl-C must not end it before the containers are gone.
  const child = spawn('dockerd', engineArguments(host, runDir, options.stateDir), {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const stop = async () => {
    await stopProcess(child.pid, exited);
    rmSync(runDir, { recursive: true, force: true });
  };
  const env = { DOCKER_HOST: host, TESTCONTAINERS_HOST_OVERRIDE: '127.0.0.1' };
  const isUp = await waitForEngine(env, exited, options.signal);
  if (isUp) return { env, [Symbol.asyncDispose]: stop };
  const reason = lastLines(await readFile(logPath, 'utf8').catch(() => ''), 3);
  await stop();
  return { missing: `dockerd does not run here: ${reason}` };
}

function engineArguments(host: string, runDir: string, stateDir: string): string[] {
  return [
    ...['-H', host],
    ...['--data-root', path.join(stateDir, 'data')],
    ...['--exec-root', path.join(runDir, 'exec')],
    ...['--pidfile', path.join(runDir, 'pid')],
    // The tests make networks of their own; a second engine's default bridge would get in the way.
    ...['--bridge', 'none'],
  ];
}

async function waitForEngine(
  env: Readonly<Record<string, string>>,
  exited: Promise<void>,
  signal: AbortSignal,
): Promise<boolean> {
  let hasExited = false;
  exited.then(() => {
    hasExited = true;
  });
  const deadline = Date.now() + startMs;
  while (!hasExited && !signal.aborted && Date.now() < deadline) {
    if ((await findEngineProblem(env)) === undefined) return true;
    await delay(200);
  }
  return false;
}

async function stopProcess(pid: number | undefined, exited: Promise<void>): Promise<void> {
  if (pid === undefined) return;
  const kill = (signal: NodeJS.Signals) => {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended already.
    }
  };
  kill('SIGTERM');
  const timer = setTimeout(() => kill('SIGKILL'), stopMs);
  await exited;
  clearTimeout(timer);
}

/** A run that was killed left its engine: its pid file and its command line name it. */
async function stopLeftover(runDir: string): Promise<void> {
  let pid: number;
  try {
    pid = Number(readFileSync(path.join(runDir, 'pid'), 'utf8'));
    if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(runDir)) return;
  } catch {
    return;
  }
  await stopProcess(pid, waitUntilGone(pid));
}

async function waitUntilGone(pid: number): Promise<void> {
  while (existsSync(`/proc/${pid}`)) await delay(100);
}

function lastLines(text: string, count: number): string {
  return text.trim().split('\n').slice(-count).join(' / ').slice(0, 600);
}
