/**
 * Partition events for whoever waits for a build: one ephemeral consumer a process, made at the first wait,
 * that hands each event to the waiters of its instance. Events may be lost (Postgres decides, and is polled):
 * what is here only saves the time until the next poll.
 */
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import type { BusConnection } from './bus-connection.ts';
import type { BusEventListener } from './bus-event.ts';
import type { Delivery } from './delivery.ts';
import { decodeMessage } from './message-codec.ts';
import type { PartitionEvent } from './messages.ts';
import { PartitionWaiter } from './partition-waiter.ts';
import { PullInbox } from './pull-inbox.ts';
import { API_TIMEOUT_MS, type StreamKeeper } from './stream-keeper.ts';
import { subjectFilters } from './subjects.ts';
import { atMost, backoffMs, pause, Wakeup } from './waiting.ts';

export interface PartitionKey {
  readonly viewSet: string;
  readonly instance: string;
}

export interface WaitOptions {
  readonly signal?: AbortSignal;
  /** When the wait ends by itself. Default 10 minutes. */
  readonly expiresMs?: number;
}

export interface PartitionEventsOptions {
  readonly connection: BusConnection;
  readonly keeper: StreamKeeper;
  readonly onEvent: BusEventListener;
}

const BATCH = 256;
const PULL_EXPIRES_MS = 20_000;
const INACTIVE_MS = 60_000;
const LIVE_WAIT_MS = 2_000;
const EXPIRES_MS = 600_000;

export class PartitionEvents implements AsyncDisposable {
  readonly #options: PartitionEventsOptions;
  readonly #waiters = new Map<string, Set<PartitionWaiter>>();
  readonly #closing = new AbortController();
  readonly #changed = new Wakeup();
  #running: Promise<void> | undefined;
  #inbox: PullInbox | undefined;

  constructor(options: PartitionEventsOptions) {
    this.#options = options;
  }

  get waiterCount(): number {
    return new Set([...this.#waiters.values()].flatMap((waiters) => [...waiters])).size;
  }

  /**
   * Starts a wait. When this returns the subscription is live, or the server was not there for two seconds:
   * then events come once it is.
   */
  async wait(keys: readonly PartitionKey[], options: WaitOptions): Promise<PartitionWaiter> {
    options.signal?.throwIfAborted();
    const names = keys.map(keyText);
    const waiter = new PartitionWaiter({
      expiresMs: options.expiresMs ?? EXPIRES_MS,
      signal: options.signal,
      onEnd: () => this.#remove(names, waiter),
    });
    for (const name of names) {
      const waiters = this.#waiters.get(name) ?? new Set();
      this.#waiters.set(name, waiters.add(waiter));
    }
    this.#running ??= this.#run();
    await atMost(LIVE_WAIT_MS, this.#whenLive(options.signal));
    return waiter;
  }

  /** The server came back or streams were made again. */
  lookAgain(): void {
    this.#inbox?.interrupt();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#inbox?.interrupt();
    this.#changed.notify();
    for (const waiters of [...this.#waiters.values()]) {
      for (const waiter of [...waiters]) waiter.end();
    }
    await this.#running;
  }

  async #whenLive(signal: AbortSignal | undefined): Promise<void> {
    const deadline = AbortSignal.any([
      this.#closing.signal,
      AbortSignal.timeout(LIVE_WAIT_MS),
      ...(signal === undefined ? [] : [signal]),
    ]);
    while (this.#inbox === undefined && !deadline.aborted) await this.#changed.wait(deadline);
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const connection = await this.#options.connection.whenUp(signal);
        await this.#options.keeper.ensureUntil(signal);
        await this.#follow(connection);
        attempt = 0;
      } catch (error) {
        if (signal.aborted) break;
        this.#options.onEvent({
          type: 'consumer-failed',
          stream: 'PARTITIONS',
          durable: '',
          error,
        });
      }
      await pause(backoffMs(attempt + 1, 50, 1_000), signal);
    }
  }

  async #follow(connection: NatsConnection): Promise<void> {
    const manager = await jetstreamManager(connection, {
      checkAPI: false,
      timeout: API_TIMEOUT_MS,
    });
    const { name } = await manager.consumers.add('PARTITIONS', {
      ack_policy: 'none',
      deliver_policy: 'new',
      filter_subject: subjectFilters.partitions,
      // The server removes it when this process is gone.
      inactive_threshold: INACTIVE_MS * 1_000_000,
      mem_storage: true,
    });
    const target = { stream: 'PARTITIONS', consumer: name };
    const inbox = new PullInbox(connection, target, (delivery) => this.#dispatch(delivery));
    this.#inbox = inbox;
    this.#changed.notify();
    try {
      while (!this.#closing.signal.aborted) {
        const end = await inbox.pull({ batch: BATCH, expiresMs: PULL_EXPIRES_MS });
        if (end === 'lost') break;
        if (end === 'busy') await pause(500, this.#closing.signal);
      }
    } finally {
      this.#inbox = undefined;
      await inbox.drain();
      if (this.#options.connection.current === connection) {
        await manager.consumers.delete('PARTITIONS', name).catch(() => {});
      }
    }
  }

  #dispatch(delivery: Delivery): void {
    let event: PartitionEvent;
    try {
      const message = decodeMessage(delivery.subject, delivery.data);
      if (message.kind !== 'partition-event') return;
      const { kind: _, ...fields } = message;
      event = fields;
    } catch {
      // An event that cannot be read wakes nobody; the poll of Postgres does.
      return;
    }
    for (const waiter of this.#waiters.get(keyText(event)) ?? []) waiter.push(event);
  }

  #remove(names: readonly string[], waiter: PartitionWaiter): void {
    for (const name of names) {
      const waiters = this.#waiters.get(name);
      waiters?.delete(waiter);
      if (waiters?.size === 0) this.#waiters.delete(name);
    }
  }
}

function keyText({ viewSet, instance }: PartitionKey): string {
  return `${viewSet}/${instance}`;
}
