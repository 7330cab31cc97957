import type { LocalServer } from '@tracelake/local-servers';
import { Backoff, pause } from './backoff.ts';

export interface KeptServerOptions {
  readonly name: string;
  /** Starts it; later starts are given the port of the first, so that its URL stays. */
  readonly start: (port: number | undefined) => Promise<LocalServer>;
  readonly say: (line: string) => void;
}

/** Postgres or nats-server as part of the stack: started again, on its port, when it ends unasked. */
export class KeptServer implements AsyncDisposable {
  readonly url: string;
  readonly description: string;
  readonly #options: KeptServerOptions;
  readonly #stopping = new AbortController();
  readonly #backoff = new Backoff();
  readonly #watched: Promise<void>;
  #server: LocalServer;

  private constructor(options: KeptServerOptions, server: LocalServer) {
    this.#options = options;
    this.#server = server;
    this.url = server.url;
    this.description = server.description;
    this.#watched = this.#watch();
  }

  static async start(options: KeptServerOptions): Promise<KeptServer> {
    return new KeptServer(options, await options.start(undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#server.stop();
    await this.#watched;
  }

  async #watch(): Promise<void> {
    const { name, say } = this.#options;
    this.#backoff.noteStart(Date.now());
    for (;;) {
      const { code, signal } = await this.#server.exited;
      if (this.#stopping.signal.aborted) return;
      say(`${name} ended (${signal ?? `exit status ${code}`}) and is started again`);
      await this.#startAgain();
      if (this.#stopping.signal.aborted) {
        await this.#server.stop();
        return;
      }
    }
  }

  async #startAgain(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await pause(this.#backoff.noteEnd(Date.now()), this.#stopping.signal);
      if (this.#stopping.signal.aborted) return;
      try {
        this.#backoff.noteStart(Date.now());
        this.#server = await this.#options.start(Number(new URL(this.url).port));
        return;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        this.#options.say(`${this.#options.name} does not start again: ${reason}`);
      }
    }
  }
}
