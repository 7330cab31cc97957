/** Puts messages into streams: a window of them is on the way at a time, each answered by the server. */
import { JetStreamApiError, type PubAck, PubHeaders } from '@nats-io/jetstream';
import { errors, headers, type MsgHdrs, type NatsConnection } from '@nats-io/nats-core';
import { errorMessage } from '@tracelake/domain';
import { AckInbox } from './ack-inbox.ts';
import type { BusConnection } from './bus-connection.ts';
import { BusError } from './bus-error.ts';
import type { BusEventListener } from './bus-event.ts';
import { PublishWindow } from './publish-window.ts';
import type { StreamKeeper } from './stream-keeper.ts';
import { backoffMs, pause, raceAbort } from './waiting.ts';

export interface PublishOptions {
  readonly signal?: AbortSignal;
  /** How long the message may take in all, the wait for the window included. Default 10 s. */
  readonly timeoutMs?: number;
  /** With the server down: `reject` at once (default) or `wait` for it within the timeout. */
  readonly whenDown?: 'reject' | 'wait';
}

export interface PublishReceipt {
  readonly stream: string;
  readonly sequence: number;
  /** Whether the stream held a message of that id already and kept that one. */
  readonly isDuplicate: boolean;
}

export interface OutgoingMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly messageId: string | undefined;
  readonly headers?: ReadonlyMap<string, readonly string[]>;
}

export interface PublisherOptions {
  readonly connection: BusConnection;
  /** Told when no stream takes a subject; without one, streams are somebody else's. */
  readonly keeper?: Pick<StreamKeeper, 'check'>;
  readonly onEvent: BusEventListener;
  readonly windowSize: number;
  readonly waitersMax: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const ACK_TIMEOUT_MS = 2_000;

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #window: PublishWindow;
  readonly #closing = new AbortController();
  readonly #onTheWay = new Set<Promise<unknown>>();
  readonly #inboxes = new WeakMap<NatsConnection, AckInbox>();

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#window = new PublishWindow(options.windowSize, options.waitersMax);
  }

  /** Messages sent and not yet acknowledged, at most the window's size. */
  get inFlight(): number {
    return this.#window.inFlight;
  }

  get waiting(): number {
    return this.#window.waiting;
  }

  /**
   * Resolves when the stream has stored the message. A message with an id is sent again when its
   * acknowledgement stays out: the stream keeps one of them.
   */
  async publish(message: OutgoingMessage, options: PublishOptions = {}): Promise<PublishReceipt> {
    using deadline = this.#deadlineOf(options);
    return await this.#publishAndTell(message, options, deadline.signal);
  }

  /** As `publish` does, with one deadline for all, and on the wire together as far as the window has places. */
  async publishAll(
    messages: readonly OutgoingMessage[],
    options: PublishOptions = {},
  ): Promise<PromiseSettledResult<PublishReceipt>[]> {
    using deadline = this.#deadlineOf(options);
    return await Promise.allSettled(
      messages.map((message) => this.#publishAndTell(message, options, deadline.signal)),
    );
  }

  #deadlineOf({ timeoutMs = DEFAULT_TIMEOUT_MS, signal }: PublishOptions) {
    return publishDeadline(timeoutMs, [this.#closing.signal, signal]);
  }

  async #publishAndTell(
    message: OutgoingMessage,
    options: PublishOptions,
    signal: AbortSignal,
  ): Promise<PublishReceipt> {
    const startMs = performance.now();
    const work = this.#publish(message, options, signal);
    this.#onTheWay.add(work);
    try {
      const receipt = await work;
      this.#options.onEvent({
        type: 'published',
        stream: receipt.stream,
        durationMs: performance.now() - startMs,
        isDuplicate: receipt.isDuplicate,
      });
      return receipt;
    } catch (cause) {
      const error = publishError(message.subject, cause, options.signal?.aborted === true);
      this.#options.onEvent({ type: 'publish-failed', subject: message.subject, error });
      throw error;
    } finally {
      this.#onTheWay.delete(work);
    }
  }

  /** Waits for what is on the way; new messages are refused from now on. */
  async drain(signal: AbortSignal): Promise<void> {
    const work = Promise.allSettled([...this.#onTheWay]);
    await raceAbort(work, signal).catch(() => {});
    this.close();
  }

  close(): void {
    this.#closing.abort(new BusError('bus.closed', 'the bus is closed'));
  }

  async #publish(
    message: OutgoingMessage,
    options: PublishOptions,
    signal: AbortSignal,
  ): Promise<PublishReceipt> {
    if (options.whenDown !== 'wait') this.#options.connection.require();
    using _place = await this.#window.enter(signal);
    for (let attempt = 1; ; attempt++) {
      const connection =
        options.whenDown === 'wait'
          ? await this.#options.connection.whenUp(signal)
          : this.#options.connection.require();
      try {
        const sent = this.#inboxOf(connection).send({
          subject: message.subject,
          data: message.data,
          headers: natsHeaders(message),
        });
        return receiptOf(await raceAbort(sent, signal));
      } catch (error) {
        signal.throwIfAborted();
        if (!isWorthAnotherAttempt(error)) throw error;
        // No stream takes the subject, or its server is gone: both are for the keeper to find out.
        if (!(error instanceof errors.TimeoutError)) this.#options.keeper?.check();
        await pause(backoffMs(attempt, 50, 500), signal);
        signal.throwIfAborted();
      }
    }
  }

  #inboxOf(connection: NatsConnection): AckInbox {
    const known = this.#inboxes.get(connection);
    if (known !== undefined) return known;
    const inbox = new AckInbox(connection, ACK_TIMEOUT_MS);
    this.#inboxes.set(connection, inbox);
    return inbox;
  }
}

/** Maximum of messages, of bytes, of messages per subject, and of the account's storage. */
const STREAM_FULL_CODES: ReadonlySet<number> = new Set([10_023, 10_047, 10_054, 10_077]);

/** The server is there and may take it in a moment: no stream yet, no leader yet, no answer yet. */
function isWorthAnotherAttempt(error: unknown): boolean {
  if (error instanceof JetStreamApiError) {
    return error.status >= 500 && !STREAM_FULL_CODES.has(error.code);
  }
  if (!(error instanceof Error)) return false;
  return (
    error instanceof errors.TimeoutError ||
    error instanceof errors.RequestError ||
    error instanceof errors.NoRespondersError ||
    error instanceof errors.ClosedConnectionError ||
    error.name === 'JetStreamNotEnabled' ||
    error.name === 'DrainingConnectionError'
  );
}

function publishError(subject: string, cause: unknown, isAborted: boolean): BusError {
  if (cause instanceof BusError) return cause;
  const details = { subject };
  if (cause instanceof JetStreamApiError) {
    const isFull = STREAM_FULL_CODES.has(cause.code);
    return new BusError(
      isFull ? 'bus.stream-full' : 'bus.publish-refused',
      `the server refused a message on ${subject}: ${cause.message}`,
      { cause, details, retryable: isFull || cause.status >= 500 },
    );
  }
  const isTime = cause instanceof Error && cause.name === 'TimeoutError';
  if (isAborted || isTime || isWorthAnotherAttempt(cause)) {
    return new BusError(
      'bus.publish-timeout',
      `no acknowledgement for a message on ${subject}: ${errorMessage(cause)}`,
      { cause, details, retryable: true },
    );
  }
  return new BusError(
    'bus.publish-refused',
    `cannot publish on ${subject}: ${errorMessage(cause)}`,
    {
      cause,
      details,
    },
  );
}

/** Aborts after the time or as soon as another does. By hand: `AbortSignal.any` costs several times as much. */
function publishDeadline(
  timeoutMs: number,
  others: readonly (AbortSignal | undefined)[],
): Disposable & { readonly signal: AbortSignal } {
  const deadline = new AbortController();
  const timer = setTimeout(
    () => deadline.abort(new DOMException(`not within ${timeoutMs} ms`, 'TimeoutError')),
    timeoutMs,
  );
  const links = others.map((other) => {
    const abort = (): void => deadline.abort(other?.reason);
    if (other?.aborted) abort();
    other?.addEventListener('abort', abort, { once: true });
    return () => other?.removeEventListener('abort', abort);
  });
  return {
    signal: deadline.signal,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      for (const unlink of links) unlink();
    },
  };
}

function natsHeaders({ headers: entries, messageId }: OutgoingMessage): MsgHdrs {
  const result = headers();
  for (const [name, values] of entries ?? []) {
    for (const value of values) result.append(name, value);
  }
  if (messageId !== undefined) result.set(PubHeaders.MsgIdHdr, messageId);
  return result;
}

function receiptOf(ack: PubAck): PublishReceipt {
  return { stream: ack.stream, sequence: ack.seq, isDuplicate: ack.duplicate };
}
