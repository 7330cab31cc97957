import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NatsServer, startNats } from '@tracelake/local-servers';

/** A nats-server of a test's own on a free port, which it keeps over `stop`, `kill` and `start`. */
export interface TestNats extends AsyncDisposable {
  readonly url: string;
  /** JetStream's directory, removed in the end. */
  readonly storeDir: string;
  /** Ends the server in good order. */
  stop(): Promise<void>;
  /** Ends the server as a crash does. */
  kill(): Promise<void>;
  /** Starts it again on the same port with the store as it is; harmless when it runs. */
  start(): Promise<void>;
  /** Kills it, removes the whole JetStream store and starts it empty on the same port. */
  wipeStore(): Promise<void>;
}

export interface TestNatsOptions {
  readonly log?: (line: string) => void;
}

/** Starts a real nats-server; the first call on a machine without one installs it. */
export async function startTestNats(options: TestNatsOptions = {}): Promise<TestNats> {
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-test-nats-'));
  const fixture = new RestartableNats(directory, options);
  try {
    await fixture.start();
    return fixture;
  } catch (error) {
    await fixture[Symbol.asyncDispose]();
    throw error;
  }
}

class RestartableNats implements TestNats {
  readonly storeDir: string;
  readonly #directory: string;
  readonly #options: TestNatsOptions;
  #server: NatsServer | undefined;
  #port = 0;

  constructor(directory: string, options: TestNatsOptions) {
    this.#directory = directory;
    this.#options = options;
    this.storeDir = join(directory, 'store');
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    if (this.#server !== undefined) return;
    await mkdir(this.storeDir, { recursive: true });
    this.#server = await startNats({
      ...this.#options,
      storeDir: this.storeDir,
      configDir: join(this.#directory, 'config'),
      cacheDir: join(import.meta.dirname, '../../../node_modules/.cache/tracelake'),
      port: this.#port,
      searchPath: process.env.PATH ?? '',
      keepsProcessAlive: false,
      removeWhenOrphaned: [this.#directory],
    });
    this.#port = this.#server.port;
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
  }

  async kill(): Promise<void> {
    await this.#server?.kill();
    this.#server = undefined;
  }

  async wipeStore(): Promise<void> {
    await this.kill();
    await rm(this.storeDir, { recursive: true, force: true });
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
