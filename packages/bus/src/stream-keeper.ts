/**
 * Keeps the streams in being: makes those that are missing and notices when their content was lost, by
 * whomever they were made again. The time at which the server made a stream tells one life of it from the next.
 */
import type { JetStreamManager, StreamInfo } from '@nats-io/jetstream';
import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import { errorMessage } from '@tracelake/domain';
import type { BusConnection } from './bus-connection.ts';
import { BusError } from './bus-error.ts';
import type { BusEventListener } from './bus-event.ts';
import {
  differingFields,
  type StreamSettings,
  type WantedStream,
  wantedStreams,
} from './stream-configs.ts';
import { backoffMs, pause, raceAbort } from './waiting.ts';

export interface StreamKeeperOptions {
  readonly connection: BusConnection;
  readonly settings: StreamSettings;
  readonly onEvent: BusEventListener;
  /** Called with the names of streams whose content is gone. */
  readonly onLost: (streams: readonly string[]) => void;
}

export const API_TIMEOUT_MS = 3_000;
const CHECK_INTERVAL_MS = 2_000;
const STREAM_NOT_FOUND = 10_059;
const STREAM_NAME_IN_USE = 10_058;

export class StreamKeeper implements AsyncDisposable {
  readonly #options: StreamKeeperOptions;
  readonly #closing = new AbortController();
  readonly #createdAt = new Map<string, string>();
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | undefined;
  #isSettled = false;
  #lastError: BusError | undefined;

  constructor(options: StreamKeeperOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.check(), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Whether all streams have been there once. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** Why they were not all there at the last look. */
  get lastError(): BusError | undefined {
    return this.#lastError;
  }

  /** Looks after the streams in the background, soon; harmless while that is under way. */
  check(): void {
    if (this.#options.connection.current === undefined) return;
    this.ensure().catch(() => {});
  }

  /**
   * Makes every stream that is missing and returns when all are there. Callers at the same time share one look.
   * Throws `bus.unavailable`, `bus.stream-setup-failed` (retryable), `bus.stream-config-mismatch`.
   */
  ensure(): Promise<void> {
    if (this.#closing.signal.aborted) {
      return Promise.reject(new BusError('bus.closed', 'the bus is closed'));
    }
    this.#running ??= this.#ensureAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Tries until all streams are there or the signal aborts; a mismatch is thrown at once. */
  async ensureUntil(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#options.connection.whenUp(signal);
        return await raceAbort(this.ensure(), signal);
      } catch (error) {
        const isFinal = error instanceof BusError && !error.retryable;
        if (signal.aborted || isFinal) throw error;
        await pause(backoffMs(attempt, 100, 1_000), signal);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#timer);
    await this.#running?.catch(() => {});
  }

  async #ensureAll(): Promise<void> {
    const made: string[] = [];
    const lost: string[] = [];
    try {
      const manager = await jetstreamManager(this.#options.connection.require(), {
        checkAPI: false,
        timeout: API_TIMEOUT_MS,
      });
      for (const wanted of wantedStreams(this.#options.settings)) {
        const info = await this.#ensureOne(manager, wanted, made);
        const before = this.#createdAt.get(wanted.name);
        if (before !== undefined && before !== info.created) lost.push(wanted.name);
        this.#createdAt.set(wanted.name, info.created);
      }
      this.#isSettled = true;
      this.#lastError = undefined;
    } catch (cause) {
      this.#lastError = setupError(cause);
      if (this.#options.connection.current !== undefined) {
        this.#options.onEvent({ type: 'stream-setup-failed', error: this.#lastError });
      }
      throw this.#lastError;
    } finally {
      this.#report(made, lost);
    }
  }

  #report(made: string[], lost: string[]): void {
    if (made.length > 0 || lost.length > 0) {
      this.#options.onEvent({ type: 'streams-made', made, lost });
    }
    if (lost.length > 0) this.#options.onLost(lost);
  }

  async #ensureOne(
    manager: JetStreamManager,
    wanted: WantedStream,
    made: string[],
  ): Promise<StreamInfo> {
    let info: StreamInfo;
    try {
      info = await manager.streams.info(wanted.name);
    } catch (error) {
      if (!isApiError(error, STREAM_NOT_FOUND)) throw error;
      info = await this.#make(manager, wanted, made);
    }
    const { config } = info;
    const differing = differingFields(wanted, { ...config });
    if (differing.length === 0 || this.#isSettled) return info;
    return this.#update(manager, wanted, differing);
  }

  async #make(
    manager: JetStreamManager,
    wanted: WantedStream,
    made: string[],
  ): Promise<StreamInfo> {
    try {
      const info = await manager.streams.add(wanted);
      made.push(wanted.name);
      return info;
    } catch (error) {
      // Another service with other bounds made it in between.
      if (isApiError(error, STREAM_NAME_IN_USE)) return manager.streams.info(wanted.name);
      throw error;
    }
  }

  /**
   * Bounds that were configured otherwise before are brought up to date once, at the start. What the server
   * still has otherwise, it cannot change or does not know.
   */
  async #update(
    manager: JetStreamManager,
    wanted: WantedStream,
    differing: readonly string[],
  ): Promise<StreamInfo> {
    try {
      const info = await manager.streams.update(wanted.name, wanted);
      const { config } = info;
      const left = differingFields(wanted, { ...config });
      if (left.length === 0) return info;
      throw mismatch(wanted.name, left);
    } catch (cause) {
      // 503 passes (no leader yet); anything else the server will refuse again.
      if (!(cause instanceof JetStreamApiError) || cause.status === 503) throw cause;
      throw mismatch(wanted.name, differing, cause);
    }
  }
}

function isApiError(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}

function mismatch(stream: string, fields: readonly string[], cause?: unknown): BusError {
  return new BusError(
    'bus.stream-config-mismatch',
    `the server keeps stream ${stream} with another ${fields.join(', ')} than configured`,
    { cause, details: { stream, fields } },
  );
}

function setupError(cause: unknown): BusError {
  if (cause instanceof BusError) return cause;
  return new BusError(
    'bus.stream-setup-failed',
    `cannot make the streams: ${errorMessage(cause)}`,
    { cause, retryable: true },
  );
}
