/**
 * A durable pull consumer and the tasks that handle its messages. Replicas that name the same durable share its
 * messages. At most `batch` messages are held here, all of them kept alive on the server until they are settled.
 */
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { errorMessage } from '@tracelake/domain';
import type { BusConnection } from './bus-connection.ts';
import type { BusEventListener, ConsumerOutcome } from './bus-event.ts';
import { ensureConsumer, type WantedConsumer } from './consumer-setup.ts';
import { deadLetterOf } from './dead-letter.ts';
import type { Delivery } from './delivery.ts';
import { decodeMessage } from './message-codec.ts';
import type { BusMessage } from './messages.ts';
import type { Publisher } from './publisher.ts';
import { PullInbox } from './pull-inbox.ts';
import { API_TIMEOUT_MS, type StreamKeeper } from './stream-keeper.ts';
import type { StreamName } from './subjects.ts';
import { atMost, backoffMs, pause, raceAbort, Wakeup } from './waiting.ts';

/** The streams whose messages are handled, and what can come from each. */
export interface StreamMessages {
  readonly TELEMETRY: Extract<
    BusMessage,
    { kind: 'process-inserted' | 'stream-inserted' | 'block-inserted' }
  >;
  readonly MATERIALIZE: Extract<BusMessage, { kind: 'materialize-requested' }>;
  readonly PARTITIONS: Extract<BusMessage, { kind: 'partition-event' }>;
}

/**
 * What becomes of a message: done; to come again after a delay (at the delivery limit it is dead instead); or
 * never to be tried again. A handler that throws gives it back with a growing delay.
 */
export type HandlerOutcome =
  | 'ack'
  | { readonly nakDelayMs: number }
  | { readonly deadLetter: string };

export interface HandlerContext {
  /** Aborts when the consumer is stopped without grace or the handler exceeds its time. */
  readonly signal: AbortSignal;
  /** 1 at the first delivery. */
  readonly deliveryCount: number;
  /** When the stream stored the message: nanoseconds since the Unix epoch. */
  readonly storedAtNs: bigint;
  /** Tells the server at once that work goes on; it is told periodically anyway. */
  working(): void;
}

export interface ConsumeOptions<Stream extends keyof StreamMessages> {
  readonly stream: Stream & StreamName;
  /** Name that replicas share: letters, digits, - and _. */
  readonly durable: string;
  /** One subject filter (see `subjectFilters`). */
  readonly filterSubject: string;
  readonly handler: (
    message: StreamMessages[Stream],
    context: HandlerContext,
  ) => HandlerOutcome | Promise<HandlerOutcome>;
  /** Handlers at a time. Default 1: messages are handled one by one, in order of delivery. */
  readonly concurrency?: number;
  /** Messages held here at most. Default: `concurrency`, so that replicas share long work evenly. */
  readonly batch?: number;
  /** Messages that all replicas together may hold. Default 1000. */
  readonly maxAckPending?: number;
  /** How long the server waits for a sign of life before it delivers again. Default 30 s. */
  readonly ackWaitMs?: number;
  /** The delivery at which a failing message becomes a dead letter. Default 5. */
  readonly maxDeliver?: number;
  /** How long a handler may take before its signal aborts. Default 10 minutes. */
  readonly handlerTimeoutMs?: number;
  /** Stops the consumer without grace, as disposing of it does. */
  readonly signal?: AbortSignal;
}

export interface BusConsumer extends AsyncDisposable {
  /** Messages held: being handled or waiting for it. */
  readonly held: number;
  /** Whether messages can come: the consumer exists on the server and is being asked. */
  readonly isLive: boolean;
  /**
   * Takes no more messages and returns when those held are settled. When the signal aborts first, handlers are
   * aborted and their messages given back.
   */
  drain(signal?: AbortSignal): Promise<void>;
}

export interface ConsumerParts {
  readonly connection: BusConnection;
  readonly keeper: StreamKeeper;
  readonly publisher: Publisher;
  readonly onEvent: BusEventListener;
}

const PULL_EXPIRES_MS = 20_000;
const NAK_DELAY_FIRST_MS = 500;
const NAK_DELAY_MAX_MS = 30_000;
const DEAD_LETTER_RETRY_MS = 2_000;
const FLUSH_MAX_MS = 2_000;

export class RunningConsumer<Stream extends keyof StreamMessages> implements BusConsumer {
  readonly #options: ConsumeOptions<Stream>;
  readonly #parts: ConsumerParts;
  readonly #concurrency: number;
  readonly #batch: number;
  readonly #maxDeliver: number;
  readonly #handlerTimeoutMs: number;
  readonly #waiting: Delivery[] = [];
  readonly #held = new Set<Delivery>();
  readonly #changed = new Wakeup();
  /** No more pulls. */
  readonly #draining = new AbortController();
  /** No more handling either. */
  readonly #aborting = new AbortController();
  readonly #keepAlive: NodeJS.Timeout;
  /** Resolves when the consumer has stopped for good. */
  readonly finished: Promise<void>;
  #inbox: PullInbox | undefined;
  #isPulling = true;
  #createdAt: string | undefined;

  constructor(parts: ConsumerParts, options: ConsumeOptions<Stream>) {
    this.#parts = parts;
    this.#options = options;
    this.#concurrency = options.concurrency ?? 1;
    this.#batch = Math.max(options.batch ?? this.#concurrency, this.#concurrency);
    this.#maxDeliver = options.maxDeliver ?? 5;
    this.#handlerTimeoutMs = options.handlerTimeoutMs ?? 600_000;
    this.#keepAlive = setInterval(() => this.#sayWorking(), this.#ackWaitMs / 3);
    this.#keepAlive.unref();
    this.finished = this.#run();
    const stop = (): void => this.#abort();
    if (options.signal?.aborted) stop();
    options.signal?.addEventListener('abort', stop, { once: true, signal: this.#draining.signal });
  }

  get held(): number {
    return this.#held.size;
  }

  get isLive(): boolean {
    return this.#inbox !== undefined && this.#parts.connection.current !== undefined;
  }

  get #ackWaitMs(): number {
    return this.#options.ackWaitMs ?? 30_000;
  }

  /** The server came back or streams were made again: what is asked for may be gone. */
  lookAgain(): void {
    this.#inbox?.interrupt();
  }

  async drain(signal?: AbortSignal): Promise<void> {
    this.#draining.abort();
    void this.#inbox?.drain();
    this.#changed.notify();
    if (signal !== undefined) {
      await raceAbort(this.finished, signal).catch(() => this.#abort());
    }
    await this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort();
    await this.drain();
  }

  #abort(): void {
    this.#aborting.abort(new DOMException('the consumer is stopped', 'AbortError'));
    this.#draining.abort();
    void this.#inbox?.drain();
    this.#changed.notify();
  }

  async #run(): Promise<void> {
    const workers = Array.from({ length: this.#concurrency }, () => this.#work());
    await this.#keepPulling();
    this.#isPulling = false;
    this.#changed.notify();
    await Promise.all(workers);
    clearInterval(this.#keepAlive);
    // What was settled last must reach the server before anybody closes the connection.
    const connection = this.#parts.connection.current;
    if (connection !== undefined) await atMost(FLUSH_MAX_MS, connection.flush());
  }

  async #keepPulling(): Promise<void> {
    const { signal } = this.#draining;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const connection = await this.#parts.connection.whenUp(signal);
        await this.#parts.keeper.ensureUntil(signal);
        await this.#ensureConsumer(connection);
        if (await this.#pullWhileLive(connection)) attempt = 0;
      } catch (error) {
        if (signal.aborted) break;
        const { stream, durable } = this.#options;
        this.#parts.onEvent({ type: 'consumer-failed', stream, durable, error });
      }
      await pause(backoffMs(attempt + 1, 50, 1_000), signal);
    }
  }

  /** Returns when the consumer may be gone, and whether it was there. */
  async #pullWhileLive(connection: NatsConnection): Promise<boolean> {
    const { signal } = this.#draining;
    const target = { stream: this.#options.stream, consumer: this.#options.durable };
    const inbox = new PullInbox(connection, target, (delivery) => this.#accept(delivery));
    this.#inbox = inbox;
    let wasLive = false;
    try {
      while (!signal.aborted) {
        await this.#awaitRoom(signal);
        if (signal.aborted) break;
        const batch = this.#batch - this.#held.size;
        const end = await inbox.pull({ batch, expiresMs: PULL_EXPIRES_MS });
        if (end === 'lost') break;
        wasLive = true;
        if (end === 'busy') await pause(500, signal);
      }
      return wasLive;
    } finally {
      this.#inbox = undefined;
      await inbox.drain();
    }
  }

  /** Half of the batch at a time: asking for each single message would cost a round trip for each. */
  async #awaitRoom(signal: AbortSignal): Promise<void> {
    while (this.#held.size > this.#batch / 2 && !signal.aborted) await this.#changed.wait(signal);
  }

  #accept(delivery: Delivery): void {
    if (this.#aborting.signal.aborted) {
      delivery.nak(0);
      return;
    }
    this.#held.add(delivery);
    this.#waiting.push(delivery);
    this.#changed.notify();
  }

  async #work(): Promise<void> {
    for (;;) {
      const delivery = this.#waiting.shift();
      if (delivery === undefined) {
        if (!this.#isPulling) return;
        await this.#changed.wait();
        continue;
      }
      await this.#settle(delivery);
      this.#held.delete(delivery);
      this.#changed.notify();
    }
  }

  async #settle(delivery: Delivery): Promise<void> {
    if (this.#aborting.signal.aborted) {
      delivery.nak(0);
      return;
    }
    const startMs = performance.now();
    const { outcome, error } = await this.#decideAndAnswer(delivery);
    const { stream, durable } = this.#options;
    this.#parts.onEvent({
      type: 'handled',
      stream,
      durable,
      outcome,
      deliveryCount: delivery.info.deliveryCount,
      durationMs: performance.now() - startMs,
      ...(error === undefined ? {} : { error }),
    });
  }

  async #decideAndAnswer(
    delivery: Delivery,
  ): Promise<{ outcome: ConsumerOutcome; error?: unknown }> {
    const { deliveryCount } = delivery.info;
    if (deliveryCount > this.#maxDeliver) {
      // Whoever had it last died of it or was cut off: handling it once more could go on for ever.
      const reason = `delivered ${deliveryCount} times without an outcome`;
      return { outcome: await this.#bury(delivery, reason) };
    }
    let message: StreamMessages[Stream];
    try {
      message = decodeMessage(delivery.subject, delivery.data) as StreamMessages[Stream];
    } catch (error) {
      return { outcome: await this.#bury(delivery, errorMessage(error)), error };
    }
    try {
      const outcome = await this.#handle(message, delivery);
      if (outcome === 'ack') {
        delivery.ack();
        return { outcome: 'ack' };
      }
      if ('deadLetter' in outcome) {
        return { outcome: await this.#bury(delivery, outcome.deadLetter) };
      }
      const reason = `given back at delivery ${deliveryCount}, the last one`;
      return { outcome: await this.#giveBack(delivery, outcome.nakDelayMs, reason) };
    } catch (error) {
      const delayMs = backoffMs(deliveryCount, NAK_DELAY_FIRST_MS, NAK_DELAY_MAX_MS);
      return { outcome: await this.#giveBack(delivery, delayMs, errorMessage(error)), error };
    }
  }

  async #handle(message: StreamMessages[Stream], delivery: Delivery): Promise<HandlerOutcome> {
    const timeout = new AbortController();
    const timer = setTimeout(() => {
      timeout.abort(new DOMException('the handler took too long', 'TimeoutError'));
      // From here on the server may give the message to another replica.
      this.#held.delete(delivery);
    }, this.#handlerTimeoutMs);
    try {
      return await this.#options.handler(message, {
        signal: AbortSignal.any([timeout.signal, this.#aborting.signal]),
        deliveryCount: delivery.info.deliveryCount,
        storedAtNs: delivery.info.storedAtNs,
        working: () => delivery.working(),
      });
    } finally {
      clearTimeout(timer);
    }
  }

  async #giveBack(delivery: Delivery, delayMs: number, reason: string): Promise<ConsumerOutcome> {
    if (this.#aborting.signal.aborted) {
      delivery.nak(0);
      return 'nak';
    }
    if (delivery.info.deliveryCount >= this.#maxDeliver) return this.#bury(delivery, reason);
    delivery.nak(delayMs);
    return 'nak';
  }

  /** The dead letter is stored before the message leaves its stream; while it cannot be, the message stays. */
  async #bury(delivery: Delivery, reason: string): Promise<ConsumerOutcome> {
    try {
      await this.#parts.publisher.publish(deadLetterOf(delivery, reason), {
        signal: this.#aborting.signal,
      });
    } catch {
      delivery.nak(DEAD_LETTER_RETRY_MS);
      return 'nak';
    }
    delivery.term();
    const { stream, durable } = this.#options;
    this.#parts.onEvent({
      type: 'dead-lettered',
      stream,
      durable,
      subject: delivery.subject,
      reason,
    });
    return 'dead-letter';
  }

  #sayWorking(): void {
    if (this.#parts.connection.current === undefined) return;
    for (const delivery of this.#held) delivery.working();
  }

  async #ensureConsumer(connection: NatsConnection): Promise<void> {
    const { stream, durable, filterSubject } = this.#options;
    const wanted: WantedConsumer = {
      durable_name: durable,
      filter_subject: filterSubject,
      ack_policy: 'explicit',
      deliver_policy: 'all',
      ack_wait: this.#ackWaitMs * 1_000_000,
      // The limit is kept here: the server would leave the message in the queue, out of everybody's reach.
      max_deliver: -1,
      max_ack_pending: this.#options.maxAckPending ?? 1_000,
    };
    const manager = await jetstreamManager(connection, {
      checkAPI: false,
      timeout: API_TIMEOUT_MS,
    });
    const info = await ensureConsumer(manager, stream, wanted);
    if (info.created === this.#createdAt) return;
    this.#createdAt = info.created;
    this.#parts.onEvent({ type: 'consumer-made', stream, durable });
  }
}
