import type { BusMessage } from './messages.ts';
import type { StreamName } from './subjects.ts';

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
