/**
 * What becomes of one delivered message: read, handled, answered. A message leaves its stream only when it was
 * handled or its dead letter is stored.
 */
import { errorMessage } from '@tracelake/domain';
import type { BusEventListener, ConsumerOutcome } from './bus-event.ts';
import type { ConsumeOptions, HandlerOutcome, StreamMessages } from './consume-options.ts';
import { deadLetterOf } from './dead-letter.ts';
import type { Delivery } from './delivery.ts';
import { decodeMessage } from './message-codec.ts';
import type { Publisher } from './publisher.ts';
import { backoffMs } from './waiting.ts';

export interface MessageSettlementOptions<Stream extends keyof StreamMessages> {
  readonly consume: ConsumeOptions<Stream>;
  readonly publisher: Publisher;
  readonly onEvent: BusEventListener;
  /** Aborted when the consumer is stopped without grace: what is not done by then is given back. */
  readonly aborting: AbortSignal;
  /** Called when a handler exceeds its time: the message is not to be kept alive any longer. */
  readonly onOverdue: (delivery: Delivery) => void;
}

const MAX_DELIVER = 5;
const HANDLER_TIMEOUT_MS = 600_000;
const NAK_DELAY_FIRST_MS = 500;
const NAK_DELAY_MAX_MS = 30_000;
const DEAD_LETTER_RETRY_MS = 2_000;

export class MessageSettlement<Stream extends keyof StreamMessages> {
  readonly #options: MessageSettlementOptions<Stream>;
  readonly #consume: ConsumeOptions<Stream>;
  readonly #maxDeliver: number;
  readonly #handlerTimeoutMs: number;

  constructor(options: MessageSettlementOptions<Stream>) {
    this.#options = options;
    this.#consume = options.consume;
    this.#maxDeliver = options.consume.maxDeliver ?? MAX_DELIVER;
    this.#handlerTimeoutMs = options.consume.handlerTimeoutMs ?? HANDLER_TIMEOUT_MS;
  }

  /** Returns when the message has its answer; never rejects. */
  async settle(delivery: Delivery): Promise<void> {
    if (this.#options.aborting.aborted) {
      delivery.nak(0);
      return;
    }
    const startMs = performance.now();
    const { outcome, error } = await this.#decideAndAnswer(delivery);
    const { stream, durable } = this.#consume;
    this.#options.onEvent({
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
      this.#options.onOverdue(delivery);
    }, this.#handlerTimeoutMs);
    try {
      return await this.#consume.handler(message, {
        signal: AbortSignal.any([timeout.signal, this.#options.aborting]),
        deliveryCount: delivery.info.deliveryCount,
        storedAtNs: delivery.info.storedAtNs,
        working: () => delivery.working(),
      });
    } finally {
      clearTimeout(timer);
    }
  }

  async #giveBack(delivery: Delivery, delayMs: number, reason: string): Promise<ConsumerOutcome> {
    if (this.#options.aborting.aborted) {
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
      await this.#options.publisher.publish(deadLetterOf(delivery, reason), {
        signal: this.#options.aborting,
      });
    } catch {
      delivery.nak(DEAD_LETTER_RETRY_MS);
      return 'nak';
    }
    delivery.term();
    const { stream, durable } = this.#consume;
    this.#options.onEvent({
      type: 'dead-lettered',
      stream,
      durable,
      subject: delivery.subject,
      reason,
    });
    return 'dead-letter';
  }
}
