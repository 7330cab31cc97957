/**
 * Asks a consumer on the server for messages, so many at a time. No more than was asked for ever waits here,
 * and `drain` lets in what was already sent, so that nothing is left to time out on the server.
 */
import { createInbox, type Msg, type NatsConnection, type Subscription } from '@nats-io/nats-core';
import { Delivery, parseDeliveryInfo } from './delivery.ts';
import { atMost } from './waiting.ts';

/**
 * How a pull ended: all messages came; the time was over; the server has too many pulls of this consumer; or
 * there is nobody to answer (consumer or stream gone, connection lost).
 */
export type PullEnd = 'complete' | 'expired' | 'busy' | 'lost';

export interface PullOptions {
  readonly batch: number;
  readonly expiresMs: number;
}

const HEARTBEAT_MS = 1_000;
const HEARTBEATS_MISSED_MAX_MS = 2.5 * HEARTBEAT_MS;
const DRAIN_MAX_MS = 1_000;

interface Pull {
  readonly subject: string;
  readonly end: (how: PullEnd) => void;
  remaining: number;
}

export class PullInbox {
  readonly #connection: NatsConnection;
  readonly #requestSubject: string;
  readonly #onDelivery: (delivery: Delivery) => void;
  readonly #inbox = createInbox();
  readonly #subscription: Subscription;
  #pull: Pull | undefined;
  #pullCount = 0;
  #silence: NodeJS.Timeout | undefined;

  constructor(
    connection: NatsConnection,
    target: { readonly stream: string; readonly consumer: string },
    onDelivery: (delivery: Delivery) => void,
  ) {
    this.#connection = connection;
    this.#requestSubject = `$JS.API.CONSUMER.MSG.NEXT.${target.stream}.${target.consumer}`;
    this.#onDelivery = onDelivery;
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error) this.interrupt();
        else this.#receive(message);
      },
    });
  }

  /** Asks once and resolves when that is over; never rejects. One pull at a time. */
  pull(options: PullOptions): Promise<PullEnd> {
    return new Promise((resolve) => {
      this.#pullCount++;
      const subject = `${this.#inbox}.${this.#pullCount}`;
      this.#pull = {
        subject,
        remaining: options.batch,
        end: (how) => {
          this.#pull = undefined;
          clearTimeout(this.#silence);
          resolve(how);
        },
      };
      this.#restartSilence();
      const body = {
        batch: options.batch,
        expires: options.expiresMs * 1_000_000,
        // The server wants an expiry of at least two heartbeats.
        idle_heartbeat: Math.min(HEARTBEAT_MS, Math.floor(options.expiresMs / 2)) * 1_000_000,
      };
      try {
        this.#connection.publish(this.#requestSubject, JSON.stringify(body), { reply: subject });
      } catch {
        this.interrupt();
      }
    });
  }

  /** Ends the pull under way: whoever pulls is to look at what is there. */
  interrupt(): void {
    this.#pull?.end('lost');
  }

  /** Stops asking; returns when everything that was sent before has been received. */
  async drain(): Promise<void> {
    // Without a server nothing is on the way, and the subscription would wait for one.
    await atMost(DRAIN_MAX_MS, this.#subscription.drain());
    this.interrupt();
  }

  #receive(message: Msg): void {
    const pull = this.#pull;
    this.#restartSilence();
    if (message.subject.startsWith(this.#inbox)) {
      // A status of an earlier pull says nothing of this one.
      if (pull?.subject === message.subject) this.#receiveStatus(message, pull);
      return;
    }
    const info = parseDeliveryInfo(message.reply ?? '');
    if (info === undefined) return;
    this.#onDelivery(new Delivery(message, info));
    if (pull === undefined) return;
    pull.remaining--;
    if (pull.remaining <= 0) pull.end('complete');
  }

  #receiveStatus(message: Msg, pull: Pull): void {
    const code = message.headers?.code ?? 0;
    const description = message.headers?.description.toLowerCase() ?? '';
    if (code === 100) return;
    if (code === 404 || code === 408) pull.end('expired');
    else if (code === 409 && description.includes('batch completed')) pull.end('complete');
    else if (code === 409 && description.includes('exceeded')) pull.end('busy');
    else pull.end('lost');
  }

  #restartSilence(): void {
    clearTimeout(this.#silence);
    if (this.#pull === undefined) return;
    this.#silence = setTimeout(() => this.interrupt(), HEARTBEATS_MISSED_MAX_MS);
  }
}
