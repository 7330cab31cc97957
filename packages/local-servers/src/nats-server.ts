/** Runs a real nats-server with JetStream as a direct child of this process, on 127.0.0.1 only. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { resolve as absolutePath, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type LocalServer, LocalServerError, type ServerExit } from './local-server.ts';
import { findNatsBinary, type NatsBinary } from './nats-binary.ts';
import { guardAgainstParentDeath } from './parent-guard.ts';

export interface NatsServerOptions {
  /** JetStream's directory; made when it does not exist. */
  readonly storeDir: string;
  /** Where a downloaded nats-server is kept, and found again without the network. */
  readonly cacheDir: string;
  /** A free one is taken when it is left out or 0. */
  readonly port?: number;
  /** Where the configuration file is written; a temporary directory when left out. */
  readonly configDir?: string;
  /** Gets each line that the server logs, and what an installation does. */
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Directories to look for a nats-server of the machine's own, as in `PATH`. */
  readonly searchPath?: string;
  /** Whether a missing nats-server may be installed. Default true. */
  readonly mayInstall?: boolean;
  /** Bytes that all streams together may reserve on disk. Default 16 GiB. */
  readonly storeBytesMax?: number;
  /** Whether the running server keeps this process alive. Default true. */
  readonly keepsProcessAlive?: boolean;
  /** Directories removed when this process dies without stopping the server. */
  readonly removeWhenOrphaned?: readonly string[];
}

/** A nats-server that this process started. */
export interface NatsServer extends LocalServer {
  readonly port: number;
  /** Ends the server at once, as a crash does, and waits for its process. */
  kill(): Promise<void>;
}

const READY_TIMEOUT_MS = 30_000;
const SHUTDOWN_MS = 15_000;
const BUSY_PORT_WAIT_MS = 5_000;
const PAYLOAD_BYTES_MAX = 1024 * 1024;
const STORE_BYTES_MAX = 16 * 1024 ** 3;

/**
 * Starts a nats-server with JetStream: the machine's own (`searchPath`, /usr/sbin), one kept in `cacheDir`,
 * else Debian's package or the official release, installed. The server ends with this process.
 * Errors: `local-server.not-found`, `local-server.port-busy`, `local-server.start-failed`.
 */
export async function startNats(options: NatsServerOptions): Promise<NatsServer> {
  const binary = await findNatsBinary({
    searchPath: options.searchPath ?? '',
    cacheDir: absolutePath(options.cacheDir),
    signal: options.signal,
    log: options.log,
    mayInstall: options.mayInstall ?? true,
  });
  const deadline = Date.now() + BUSY_PORT_WAIT_MS;
  for (;;) {
    try {
      return await startOnce(options, binary);
    } catch (error) {
      // The server that held the port a moment ago (one that was just killed) may still be on its way out.
      const isBusy = error instanceof LocalServerError && error.code === 'local-server.port-busy';
      if (!isBusy || Date.now() > deadline) throw error;
      await delay(200, undefined, options.signal && { signal: options.signal });
    }
  }
}

async function startOnce(options: NatsServerOptions, binary: NatsBinary): Promise<NatsServer> {
  const ownsConfigDir = options.configDir === undefined;
  const configDir = await (options.configDir === undefined
    ? mkdtemp(join(tmpdir(), 'tracelake-nats-'))
    : mkdir(options.configDir, { recursive: true }).then(() => options.configDir ?? ''));
  await mkdir(options.storeDir, { recursive: true });
  const serverName = `tracelake-${randomUUID()}`;
  const configFile = join(await realpath(configDir), 'nats-server.conf');
  await writeFile(
    configFile,
    configText({ ...options, storeDir: await realpath(options.storeDir) }, serverName, configDir),
  );
  const child = spawn(binary.path, ['-c', configFile], {
    // A session of its own: Ctrl-C in a terminal must reach this process alone, which stops its parts in order.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const server = new ChildNatsServer(child, binary, {
    options,
    serverName,
    configDir,
    ownsConfigDir,
  });
  try {
    await server.awaitReady();
    return server;
  } catch (error) {
    await server.kill();
    throw error;
  }
}

function configText(options: NatsServerOptions, serverName: string, portsDir: string): string {
  return [
    `server_name: ${JSON.stringify(serverName)}`,
    'host: "127.0.0.1"',
    // The server itself takes a free port and says which: nobody can take it in between.
    `port: ${options.port || -1}`,
    `ports_file_dir: ${JSON.stringify(portsDir)}`,
    `max_payload: ${PAYLOAD_BYTES_MAX}`,
    'max_connections: 1024',
    'jetstream {',
    `  store_dir: ${JSON.stringify(options.storeDir)}`,
    `  max_file_store: ${options.storeBytesMax ?? STORE_BYTES_MAX}`,
    '  max_memory_store: 268435456',
    '}',
    '',
  ].join('\n');
}

interface ChildState {
  readonly options: NatsServerOptions;
  readonly serverName: string;
  readonly configDir: string;
  readonly ownsConfigDir: boolean;
}

class ChildNatsServer implements NatsServer {
  readonly description: string;
  readonly pid: number;
  readonly exited: Promise<ServerExit>;
  readonly #child: ChildProcess;
  readonly #state: ChildState;
  readonly #lastLines: string[] = [];
  #exit: ServerExit | undefined;
  #spawnError: Error | undefined;
  #port = 0;

  constructor(child: ChildProcess, binary: NatsBinary, state: ChildState) {
    this.description = `nats-server ${binary.version} ${binary.source}`;
    this.pid = child.pid ?? 0;
    this.#child = child;
    this.#state = state;
    const guard = this.#guard();
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#exit ??= { code, signal };
        guard?.[Symbol.dispose]();
        resolve(this.#exit);
      };
      child.once('exit', end);
      child.once('error', (error) => {
        this.#spawnError = error;
        if (child.pid === undefined) end(null, null);
      });
    });
    this.#readLog();
    if (state.options.keepsProcessAlive === false) {
      child.unref();
      (child.stderr as unknown as { unref?(): void } | null)?.unref?.();
    }
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  async awaitReady(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      this.#state.options.signal?.throwIfAborted();
      if (this.#exit !== undefined) throw this.#startFailed('ended at once');
      if (this.#port === 0) this.#port = await this.#readPort();
      if (this.#port !== 0 && (await answers(this.#port, this.#state.serverName))) return;
      if (Date.now() > deadline) throw this.#startFailed('is not ready after half a minute');
      await delay(10);
    }
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#child.ref();
    if (this.#exit === undefined) this.#child.kill(signal);
    const timer = new AbortController();
    await Promise.race([
      this.exited,
      delay(SHUTDOWN_MS, undefined, { signal: timer.signal }).catch(() => {}),
    ]);
    timer.abort();
    if (this.#exit === undefined) this.#child.kill('SIGKILL');
    await this.exited;
    await rm(this.#portsFile(), { force: true });
    if (this.#state.ownsConfigDir) {
      await rm(this.#state.configDir, { recursive: true, force: true });
    }
  }

  #guard(): Disposable | undefined {
    if (this.pid === 0) return undefined;
    const { options, ownsConfigDir, configDir } = this.#state;
    return guardAgainstParentDeath({
      pid: this.pid,
      signal: 'TERM',
      removeAfter: [...(ownsConfigDir ? [configDir] : []), ...(options.removeWhenOrphaned ?? [])],
    });
  }

  #readLog(): void {
    if (this.#child.stderr === null) return;
    createInterface({ input: this.#child.stderr }).on('line', (line) => {
      this.#lastLines.push(line);
      if (this.#lastLines.length > 20) this.#lastLines.shift();
      this.#state.options.log?.(line);
    });
  }

  #portsFile(): string {
    return join(this.#state.configDir, `nats-server_${this.pid}.ports`);
  }

  async #readPort(): Promise<number> {
    const text = await readFile(this.#portsFile(), 'utf8').catch(() => '');
    return Number(/nats:\/\/[^"]*:(\d+)"/.exec(text)?.[1] ?? 0);
  }

  #startFailed(what: string): LocalServerError {
    const { port, storeDir } = this.#state.options;
    const lines = this.#lastLines.join(' | ');
    if (/address already in use/.test(lines)) {
      return new LocalServerError(
        'local-server.port-busy',
        `port ${port} on 127.0.0.1 is taken by another program: stop it or choose another port`,
        { details: { port } },
      );
    }
    return new LocalServerError(
      'local-server.start-failed',
      `nats-server ${what}: ${this.#spawnError?.message ?? lines}`,
      { details: { storeDir }, cause: this.#spawnError },
    );
  }
}

/** Whether the server of that name answers on the port, with JetStream: its first line says so. */
function answers(port: number, serverName: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('end', () => finish(false));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (!text.includes('\r\n')) return;
      finish(text.includes(`"${serverName}"`) && text.includes('"jetstream":true'));
    });
  });
}
