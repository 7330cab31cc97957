/** The bus as a service holds it: one connection with its streams, publisher, consumers and waiters. */
import { assert } from '@tracelake/domain';
import { BusConnection } from './bus-connection.ts';
import { RunningConsumer } from './bus-consumer.ts';
import { BusError } from './bus-error.ts';
import type { BusEventListener } from './bus-event.ts';
import { type BusFigures, readBusFigures } from './bus-figures.ts';
import type { BusConsumer, ConsumeOptions, StreamMessages } from './consume-options.ts';
import { encodeMessage } from './message-codec.ts';
import {
  type BlockInserted,
  type BusMessage,
  type MaterializeRequested,
  messageIdOf,
  type PartitionEvent,
  type ProcessInserted,
  type StreamInserted,
  subjectOf,
} from './messages.ts';
import { PartitionEvents, type PartitionKey, type WaitOptions } from './partition-events.ts';
import type { PartitionWaiter } from './partition-waiter.ts';
import {
  type OutgoingMessage,
  Publisher,
  type PublishOptions,
  type PublishReceipt,
} from './publisher.ts';
import { DEFAULT_STREAM_SETTINGS, type StreamSettings } from './stream-configs.ts';
import { StreamKeeper } from './stream-keeper.ts';
import { atMost, raceAbort } from './waiting.ts';

export interface ConnectBusOptions {
  /** `nats://host:port`, several with commas; `tls://`, `user:password@` and `token@` are understood. */
  readonly servers: string;
  /** How the server's operator sees this connection. */
  readonly name: string;
  /** How many lanes the lake has. */
  readonly lanes: number;
  readonly streams?: Partial<StreamSettings>;
  /** Messages sent and not yet acknowledged, at most. Default 100. */
  readonly publishWindow?: number;
  /** Messages that may wait for the window before more are refused. Default 10,000. */
  readonly publishWaitersMax?: number;
  /** Whether to return only when the server is there with all streams. Default true. */
  readonly waitForServer?: boolean;
  /** Ends the wait for the server. */
  readonly signal?: AbortSignal;
  /** For logs and metrics. */
  readonly onEvent?: BusEventListener;
}

export type RecreatedListener = (streams: readonly string[]) => void;

const READY_TIMEOUT_MS = 2_000;
const WINDOW_SIZE = 100;
const WAITERS_MAX = 10_000;

/**
 * Connects to the bus and keeps connected and the streams in being until disposed of, whatever the server does.
 * With `waitForServer: false` it returns at once. Throws `bus.unavailable` when the signal aborts first, and
 * `bus.stream-config-mismatch` when the server keeps a stream that cannot be brought to the configuration.
 */
export async function connectBus(options: ConnectBusOptions): Promise<Bus> {
  const bus = new Bus(options);
  if (options.waitForServer === false) return bus;
  try {
    await bus.ensureStreams(options.signal === undefined ? {} : { signal: options.signal });
    return bus;
  } catch (error) {
    await bus[Symbol.asyncDispose]();
    throw error;
  }
}

/** Made by {@link connectBus}. */
export class Bus implements AsyncDisposable {
  readonly #lanes: number;
  readonly #onEvent: BusEventListener;
  readonly #connection: BusConnection;
  readonly #keeper: StreamKeeper;
  readonly #publisher: Publisher;
  readonly #partitionEvents: PartitionEvents;
  readonly #consumers = new Set<RunningConsumer<keyof StreamMessages>>();
  readonly #recreatedListeners = new Set<RecreatedListener>();
  #isClosed = false;

  constructor(options: ConnectBusOptions) {
    assert(Number.isSafeInteger(options.lanes) && options.lanes > 0, 'there is at least one lane');
    this.#lanes = options.lanes;
    const onEvent = options.onEvent ?? (() => {});
    this.#onEvent = onEvent;
    this.#connection = new BusConnection({
      servers: options.servers,
      name: options.name,
      onEvent,
      onUp: () => this.#lookAgain(),
    });
    const connection = this.#connection;
    this.#keeper = new StreamKeeper({
      connection,
      settings: { ...DEFAULT_STREAM_SETTINGS, ...options.streams },
      onEvent,
      onLost: (streams) => this.#tellRecreated(streams),
    });
    const keeper = this.#keeper;
    this.#publisher = new Publisher({
      connection,
      keeper,
      onEvent,
      windowSize: options.publishWindow ?? WINDOW_SIZE,
      waitersMax: options.publishWaitersMax ?? WAITERS_MAX,
    });
    this.#partitionEvents = new PartitionEvents({ connection, keeper, onEvent });
  }

  get lanes(): number {
    return this.#lanes;
  }

  /** Messages sent and not yet acknowledged, and those that wait for a place among them. */
  get publishQueue(): { readonly inFlight: number; readonly waiting: number } {
    return { inFlight: this.#publisher.inFlight, waiting: this.#publisher.waiting };
  }

  /** For readiness: the server answers and all streams are there. Throws a BusError otherwise. */
  async checkReady(signal?: AbortSignal): Promise<void> {
    const connection = this.#connection.require();
    const timeout = AbortSignal.timeout(READY_TIMEOUT_MS);
    const either = signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
    try {
      await raceAbort(connection.rtt(), either);
    } catch (cause) {
      throw new BusError('bus.unavailable', 'the NATS server does not answer', {
        cause,
        retryable: true,
      });
    }
    if (!this.#keeper.isSettled || this.#keeper.lastError !== undefined) {
      await this.#keeper.ensure();
    }
  }

  /**
   * What the server holds now, for metrics. Throws `bus.unavailable`, `bus.closed`, and the signal's reason.
   */
  async readFigures(signal: AbortSignal): Promise<BusFigures> {
    return readBusFigures(this.#connection.require(), signal);
  }

  /**
   * Returns when all streams are there; they are made in the background anyway, whenever the server is reached.
   * Throws `bus.unavailable` when the signal aborts first, and `bus.stream-config-mismatch`.
   */
  async ensureStreams(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#keeper.ensureUntil(options.signal ?? new AbortController().signal);
  }

  /** Calls the listener whenever streams were found empty and made again, so that it can fill them again. */
  onRecreated(listener: RecreatedListener): Disposable {
    this.#recreatedListeners.add(listener);
    return { [Symbol.dispose]: () => void this.#recreatedListeners.delete(listener) };
  }

  /**
   * Resolves when the message is stored. A window of messages is on the way at a time; callers beyond it wait,
   * in order. Throws `bus.unavailable`, `bus.publish-timeout`, `bus.stream-full`, `bus.overloaded` (all
   * retryable), `bus.publish-refused`, `bus.bad-subject`, `bus.closed`.
   */
  async publish(message: BusMessage, options: PublishOptions = {}): Promise<PublishReceipt> {
    return this.#publisher.publish(this.#outgoing(message), options);
  }

  /**
   * Publishes messages together, which costs the connection less than one after the other; the result at each index
   * is of the message there. The options hold for all of them. Throws `bus.bad-subject`, with nothing sent.
   */
  async publishAll(
    messages: readonly BusMessage[],
    options: PublishOptions = {},
  ): Promise<PromiseSettledResult<PublishReceipt>[]> {
    const outgoing = messages.map((message) => this.#outgoing(message));
    return this.#publisher.publishAll(outgoing, options);
  }

  #outgoing(message: BusMessage): OutgoingMessage {
    return {
      subject: subjectOf(message, this.#lanes),
      data: encodeMessage(message),
      messageId: messageIdOf(message),
    };
  }

  announceProcess(message: ProcessInserted, options?: PublishOptions): Promise<PublishReceipt> {
    return this.publish({ kind: 'process-inserted', ...message }, options);
  }

  announceStream(message: StreamInserted, options?: PublishOptions): Promise<PublishReceipt> {
    return this.publish({ kind: 'stream-inserted', ...message }, options);
  }

  announceBlock(message: BlockInserted, options?: PublishOptions): Promise<PublishReceipt> {
    return this.publish({ kind: 'block-inserted', ...message }, options);
  }

  requestMaterialization(
    message: MaterializeRequested,
    options?: PublishOptions,
  ): Promise<PublishReceipt> {
    return this.publish({ kind: 'materialize-requested', ...message }, options);
  }

  publishPartitionEvent(
    message: PartitionEvent,
    options?: PublishOptions,
  ): Promise<PublishReceipt> {
    return this.publish({ kind: 'partition-event', ...message }, options);
  }

  /**
   * Handles the messages of a durable consumer, which replicas of that name share, until the returned consumer
   * is drained or disposed of. It starts in the background, and again whenever the server, the stream or the
   * consumer on it was gone.
   */
  consume<Stream extends keyof StreamMessages>(options: ConsumeOptions<Stream>): BusConsumer {
    if (this.#isClosed) throw new BusError('bus.closed', 'the bus is closed');
    const consumer = new RunningConsumer<Stream>(
      {
        connection: this.#connection,
        keeper: this.#keeper,
        publisher: this.#publisher,
        onEvent: this.#onEvent,
      },
      options,
    );
    const entry = consumer as unknown as RunningConsumer<keyof StreamMessages>;
    this.#consumers.add(entry);
    void consumer.finished.then(() => this.#consumers.delete(entry));
    return consumer;
  }

  /**
   * Starts to listen for what becomes of partitions: subscribe with this first, then look in Postgres, then
   * request, then wait. Events can be lost, so Postgres is to be polled as well.
   */
  async waitForPartitionEvents(
    wanted: PartitionKey | readonly PartitionKey[],
    options: WaitOptions = {},
  ): Promise<PartitionWaiter> {
    if (this.#isClosed) throw new BusError('bus.closed', 'the bus is closed');
    const keys = 'viewSet' in wanted ? [wanted] : wanted;
    return this.#partitionEvents.wait(keys, options);
  }

  /**
   * For shutdown: consumers take no more and finish what they hold, what is being published is acknowledged,
   * then the connection closes. What is not done when the signal aborts is given back.
   */
  async drain(signal: AbortSignal = new AbortController().signal): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#consumers].map((consumer) => consumer.drain(signal)));
    await this.#publisher.drain(signal);
    await this.#partitionEvents[Symbol.asyncDispose]();
    await this.#keeper[Symbol.asyncDispose]();
    await this.#connection.drain();
  }

  /** Stops at once: handlers are aborted, messages given back, publishers refused. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#consumers].map((consumer) => consumer[Symbol.asyncDispose]()));
    this.#publisher.close();
    await this.#partitionEvents[Symbol.asyncDispose]();
    await this.#connection.drain();
    await atMost(READY_TIMEOUT_MS, this.#keeper[Symbol.asyncDispose]());
  }

  #lookAgain(): void {
    // The first connection can come while the constructor still runs.
    queueMicrotask(() => {
      this.#keeper.check();
      for (const consumer of this.#consumers) consumer.lookAgain();
      this.#partitionEvents.lookAgain();
    });
  }

  #tellRecreated(streams: readonly string[]): void {
    for (const consumer of this.#consumers) consumer.lookAgain();
    this.#partitionEvents.lookAgain();
    for (const listener of this.#recreatedListeners) listener(streams);
  }
}
