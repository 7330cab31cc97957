/**
 * One connection to the server that is made again for as long as its owner wants it: at the start, after a
 * loss, and after the server has closed it for good.
 */
import type { ConnectionOptions, NatsConnection } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { errorMessage } from '@tracelake/domain';
import { BusError } from './bus-error.ts';
import type { BusEventListener } from './bus-event.ts';
import { atMost, backoffMs, pause, Wakeup } from './waiting.ts';

export interface BusConnectionOptions {
  /** `nats://host:port`, several with commas; `tls://`, `user:password@` and `token@` are understood. */
  readonly servers: string;
  readonly name: string;
  readonly onEvent: BusEventListener;
  /** Called after each time that the server is reached, the first included. */
  readonly onUp: () => void;
}

const CONNECT_TIMEOUT_MS = 2_000;
const BACKOFF_MAX_MS = 2_000;
const PING_INTERVAL_MS = 5_000;
const DRAIN_MAX_MS = 3_000;

export class BusConnection implements AsyncDisposable {
  readonly #options: BusConnectionOptions;
  readonly #closing = new AbortController();
  readonly #changed = new Wakeup();
  readonly #finished: Promise<void>;
  #connection: NatsConnection | undefined;
  #isUp = false;
  #lastError: unknown;

  constructor(options: BusConnectionOptions) {
    this.#options = options;
    // A bad address is the caller's mistake: it fails here, not again and again in the background.
    this.#finished = this.#keepConnected(connectionOptions(options));
  }

  /** The connection while the server is there, else undefined. */
  get current(): NatsConnection | undefined {
    return this.#isUp ? this.#connection : undefined;
  }

  /** The connection while the server is there. Throws `bus.unavailable`, `bus.closed`. */
  require(): NatsConnection {
    if (this.#closing.signal.aborted) throw new BusError('bus.closed', 'the bus is closed');
    return this.current ?? this.#throwUnavailable();
  }

  /** Waits until the server is there or the signal aborts. Throws `bus.unavailable`, `bus.closed`. */
  async whenUp(signal: AbortSignal): Promise<NatsConnection> {
    while (this.current === undefined && !signal.aborted && !this.#closing.signal.aborted) {
      await this.#changed.wait(signal);
    }
    return this.require();
  }

  /** Sends what is buffered, waits for the server to have taken it, and closes. */
  async drain(): Promise<void> {
    const connection = this.current;
    this.#closing.abort();
    if (connection !== undefined) await atMost(DRAIN_MAX_MS, connection.drain());
    await this.close();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#changed.notify();
    await this.#connection?.close();
    await this.#finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #keepConnected(options: ConnectionOptions): Promise<void> {
    for (let attempt = 1; !this.#closing.signal.aborted; attempt++) {
      try {
        const connection = await connect(options);
        attempt = 0;
        await this.#follow(connection);
      } catch (error) {
        this.#lastError = error;
        this.#options.onEvent({ type: 'connect-failed', error });
      }
      await pause(backoffMs(attempt + 1, 100, BACKOFF_MAX_MS), this.#closing.signal);
    }
  }

  async #follow(connection: NatsConnection): Promise<void> {
    this.#connection = connection;
    const statuses = connection.status();
    if (this.#closing.signal.aborted) await connection.close();
    else this.#setUp();
    const closed = connection.closed();
    // The statuses end with the connection.
    for await (const status of statuses) {
      if (status.type === 'disconnect') this.#setDown();
      else if (status.type === 'reconnect') this.#setUp();
      else if (status.type === 'error') this.#lastError = status.error;
      else if (status.type === 'close') break;
    }
    const error = await closed;
    if (error) this.#lastError = error;
    this.#connection = undefined;
    this.#setDown();
  }

  #setUp(): void {
    this.#isUp = true;
    this.#lastError = undefined;
    this.#options.onEvent({
      type: 'connected',
      server: this.#connection?.getServer() ?? '',
      serverVersion: this.#connection?.info?.version ?? '',
    });
    this.#changed.notify();
    this.#options.onUp();
  }

  #setDown(): void {
    if (this.#isUp && !this.#closing.signal.aborted) {
      this.#options.onEvent({ type: 'disconnected' });
    }
    this.#isUp = false;
    this.#changed.notify();
  }

  #throwUnavailable(): never {
    const why = this.#lastError === undefined ? '' : `: ${errorMessage(this.#lastError)}`;
    throw new BusError('bus.unavailable', `no NATS server answers${why}`, {
      retryable: true,
      cause: this.#lastError,
    });
  }
}

function connectionOptions({ servers, name }: BusConnectionOptions): ConnectionOptions {
  const urls = servers
    .split(',')
    .map((server) => server.trim())
    .filter((server) => server !== '')
    .map((server) => new URL(server.includes('://') ? server : `nats://${server}`));
  const first = urls[0];
  if (first === undefined) throw new BusError('bus.unavailable', 'no NATS server is configured');
  return {
    servers: urls.map((url) => url.host),
    name,
    ...credentialsOf(first),
    ...(first.protocol === 'tls:' ? { tls: {} } : {}),
    timeout: CONNECT_TIMEOUT_MS,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    ignoreAuthErrorAbort: true,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: 2,
  };
}

function credentialsOf(url: URL): Pick<ConnectionOptions, 'user' | 'pass' | 'token'> {
  const user = decodeURIComponent(url.username);
  if (user === '') return {};
  if (url.password === '') return { token: user };
  return { user, pass: decodeURIComponent(url.password) };
}
