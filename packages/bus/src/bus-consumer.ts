/**
 * A durable pull consumer and the tasks that handle its messages. Replicas that name the same durable share its
 * messages. At most `batch` messages are held here, all of them kept alive on the server until they are settled.
 */
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import type { BusConnection } from './bus-connection.ts';
import type { BusEventListener } from './bus-event.ts';
import type { BusConsumer, ConsumeOptions, StreamMessages } from './consume-options.ts';
import { ensureConsumer, type WantedConsumer } from './consumer-setup.ts';
import type { Delivery } from './delivery.ts';
import { MessageSettlement } from './message-settlement.ts';
import type { Publisher } from './publisher.ts';
import { PullInbox } from './pull-inbox.ts';
import { API_TIMEOUT_MS, type StreamKeeper } from './stream-keeper.ts';
import { atMost, backoffMs, pause, raceAbort, Wakeup } from './waiting.ts';

export interface ConsumerParts {
  readonly connection: BusConnection;
  readonly keeper: StreamKeeper;
  readonly publisher: Publisher;
  readonly onEvent: BusEventListener;
}

const PULL_EXPIRES_MS = 20_000;
const FLUSH_MAX_MS = 2_000;

export class RunningConsumer<Stream extends keyof StreamMessages> implements BusConsumer {
  readonly #options: ConsumeOptions<Stream>;
  readonly #parts: ConsumerParts;
  readonly #concurrency: number;
  readonly #batch: number;
  readonly #settlement: MessageSettlement<Stream>;
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
    this.#settlement = new MessageSettlement({
      consume: options,
      publisher: parts.publisher,
      onEvent: parts.onEvent,
      aborting: this.#aborting.signal,
      // From then on the server may give the message to another replica.
      onOverdue: (delivery) => this.#held.delete(delivery),
    });
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
      await this.#settlement.settle(delivery);
      this.#held.delete(delivery);
      this.#changed.notify();
    }
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
