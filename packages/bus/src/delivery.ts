/** One delivery of a stored message to a consumer, as the server's reply subject describes it. */
import type { Msg, MsgHdrs } from '@nats-io/nats-core';

export interface DeliveryInfo {
  readonly stream: string;
  readonly consumer: string;
  /** 1 at the first delivery. */
  readonly deliveryCount: number;
  readonly streamSequence: number;
  /** When the stream stored the message: nanoseconds since the Unix epoch. */
  readonly storedAtNs: bigint;
}

const ACK = '+ACK';
const NAK = '-NAK';
const WORKING = '+WPI';
const TERM = '+TERM';

export class Delivery {
  readonly info: DeliveryInfo;
  readonly #message: Msg;
  #isSettled = false;

  constructor(message: Msg, info: DeliveryInfo) {
    this.#message = message;
    this.info = info;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  get headers(): MsgHdrs | undefined {
    return this.#message.headers;
  }

  ack(): void {
    this.#settle(ACK);
  }

  /** Gives the message back; it comes again after the delay. */
  nak(delayMs: number): void {
    const delayNs = Math.max(0, Math.round(delayMs * 1_000_000));
    this.#settle(delayNs === 0 ? NAK : `${NAK} ${JSON.stringify({ delay: delayNs })}`);
  }

  /** Takes the message out of the consumer for good. */
  term(): void {
    this.#settle(TERM);
  }

  /** Has the server wait a full `ack_wait` again. */
  working(): void {
    if (!this.#isSettled) this.#answer(WORKING);
  }

  #settle(answer: string): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#answer(answer);
  }

  /** An answer that a lost or closed connection swallows costs a redelivery and no more. */
  #answer(answer: string): void {
    try {
      this.#message.respond(answer);
    } catch {
      // The connection is closed: the server gives the message to somebody else.
    }
  }
}

/**
 * Reads the subject that a delivery is answered on; undefined for anything else. It has 9 parts, or 11 and more
 * where the server names its domain and account.
 */
export function parseDeliveryInfo(reply: string): DeliveryInfo | undefined {
  const parts = reply.split('.');
  if (parts[0] !== '$JS' || parts[1] !== 'ACK') return undefined;
  const start = parts.length === 9 ? 2 : parts.length >= 11 ? 4 : undefined;
  if (start === undefined) return undefined;
  const [stream, consumer, deliveryCount, streamSequence, , storedAt] = parts.slice(start);
  if (stream === undefined || consumer === undefined || storedAt === undefined) return undefined;
  if (!/^\d+$/.test(storedAt)) return undefined;
  return {
    stream,
    consumer,
    deliveryCount: Number(deliveryCount),
    streamSequence: Number(streamSequence),
    storedAtNs: BigInt(storedAt),
  };
}
