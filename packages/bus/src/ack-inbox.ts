/**
 * Sends messages to streams and hears their acknowledgements, all on one subscription of the connection. In place of a
 * request for each: that makes an error with its stack and a timer of its own for every message, needed or not.
 */
import { JetStreamApiError, type PubAck } from '@nats-io/jetstream';
import {
  createInbox,
  errors,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
} from '@nats-io/nats-core';
import { errorMessage } from '@tracelake/domain';

export interface SentMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: MsgHdrs;
}

interface Pending {
  readonly subject: string;
  readonly untilMs: number;
  readonly resolve: (ack: PubAck) => void;
  readonly reject: (error: unknown) => void;
}

export class AckInbox {
  readonly #connection: NatsConnection;
  readonly #timeoutMs: number;
  readonly #prefix = `${createInbox()}.`;
  /** In the order in which they were sent, and so in that of their time. */
  readonly #pending = new Map<string, Pending>();
  #sentCount = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(connection: NatsConnection, timeoutMs: number) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    connection.subscribe(`${this.#prefix}*`, {
      callback: (error, message) => {
        if (error) this.#rejectAll(error);
        else this.#receive(message);
      },
    });
  }

  /**
   * Rejects with a `JetStreamApiError` when the stream refuses, a `NoRespondersError` when no stream takes the
   * subject, and a `TimeoutError` when nothing is heard, whatever became of the message then.
   */
  send({ subject, data, headers }: SentMessage): Promise<PubAck> {
    const { promise, resolve, reject } = Promise.withResolvers<PubAck>();
    this.#sentCount += 1;
    const reply = `${this.#prefix}${this.#sentCount}`;
    this.#connection.publish(subject, data, { reply, headers });
    const untilMs = performance.now() + this.#timeoutMs;
    this.#pending.set(reply, { subject, untilMs, resolve, reject });
    this.#watchOldest();
    return promise;
  }

  #receive(message: Msg): void {
    const pending = this.#pending.get(message.subject);
    if (pending === undefined) return;
    this.#pending.delete(message.subject);
    try {
      pending.resolve(readAck(message, pending.subject));
    } catch (error) {
      pending.reject(error);
    }
  }

  #watchOldest(): void {
    if (this.#timer !== undefined) return;
    const [oldest] = this.#pending.values();
    if (oldest === undefined) return;
    const waitMs = Math.max(1, Math.ceil(oldest.untilMs - performance.now()));
    this.#timer = setTimeout(() => this.#rejectLate(), waitMs);
    // The connection keeps the process alive for as long as an answer can come.
    this.#timer.unref();
  }

  #rejectLate(): void {
    this.#timer = undefined;
    const nowMs = performance.now();
    for (const [reply, { untilMs, reject }] of this.#pending) {
      if (untilMs > nowMs) break;
      this.#pending.delete(reply);
      reject(new errors.TimeoutError());
    }
    this.#watchOldest();
  }

  #rejectAll(error: Error): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}

function readAck(message: Msg, subject: string): PubAck {
  if (message.data.length === 0 && message.headers?.code === 503) {
    throw new errors.NoRespondersError(subject);
  }
  let answer: Partial<PubAck> & {
    readonly error?: ConstructorParameters<typeof JetStreamApiError>[0];
  };
  try {
    answer = message.json();
  } catch (cause) {
    throw new Error(`cannot read an acknowledgement: ${errorMessage(cause)}`, { cause });
  }
  if (answer.error !== undefined) throw new JetStreamApiError(answer.error);
  const { stream, seq } = answer;
  if (stream === undefined || seq === undefined) {
    throw new Error('an acknowledgement names no stream');
  }
  return { ...answer, stream, seq, duplicate: answer.duplicate === true } as PubAck;
}
