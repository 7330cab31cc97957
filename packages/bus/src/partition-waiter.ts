import type { PartitionEvent } from './messages.ts';
import { raceAbort, Wakeup } from './waiting.ts';

export interface PartitionWaiterOptions {
  readonly expiresMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onEnd: () => void;
}

export interface NextOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

const QUEUE_LENGTH_MAX = 64;

/** The partition events that one wait is for, until it is disposed of or expires; the oldest go when 64 wait. */
export class PartitionWaiter implements AsyncIterable<PartitionEvent>, AsyncDisposable {
  readonly #options: PartitionWaiterOptions;
  readonly #queue: PartitionEvent[] = [];
  readonly #changed = new Wakeup();
  readonly #timer: NodeJS.Timeout;
  readonly #onAbort = (): void => this.end();
  #isEnded = false;

  constructor(options: PartitionWaiterOptions) {
    this.#options = options;
    this.#timer = setTimeout(() => this.end(), options.expiresMs);
    this.#timer.unref();
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  push(event: PartitionEvent): void {
    if (this.#isEnded) return;
    if (this.#queue.length >= QUEUE_LENGTH_MAX) this.#queue.shift();
    this.#queue.push(event);
    this.#changed.notify();
  }

  /** The next event, or undefined after the timeout, on abort, and when the wait is over. */
  async next(options: NextOptions = {}): Promise<PartitionEvent | undefined> {
    const timeout = new AbortController();
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => timeout.abort(), options.timeoutMs);
    const signals = options.signal === undefined ? [] : [options.signal];
    try {
      const signal = AbortSignal.any([timeout.signal, ...signals]);
      while (this.#queue.length === 0 && !this.#isEnded && !signal.aborted) {
        await raceAbort(this.#changed.wait(), signal).catch(() => {});
      }
      return this.#queue.shift();
    } finally {
      clearTimeout(timer);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PartitionEvent> {
    try {
      for (;;) {
        const event = await this.next();
        if (event === undefined) return;
        yield event;
      }
    } finally {
      this.end();
    }
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#options.onEnd();
    this.#changed.notify();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
  }
}
