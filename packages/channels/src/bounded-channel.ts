/**
 * A queue with a capacity between one or more senders and one or more receivers of the same process.
 * `send` waits while it is full: that wait is the backpressure. Either side can end it: the sender with
 * `close` or `fail`, the receiver with `cancel`, and nobody stays waiting after that.
 */

import { assert } from '@tracelake/domain';
import { ChannelClosedError } from './channel-error.ts';

export interface BoundedChannelOptions {
  /** How many items wait at most. */
  readonly capacity: number;
  /** Stands in errors. */
  readonly name?: string;
}

export interface ChannelStats {
  readonly sentCount: number;
  readonly maxDepth: number;
  /** Time senders waited for room, milliseconds, added up. */
  readonly sendBlockedMs: number;
  /** Time receivers waited for an item, milliseconds, added up. */
  readonly receiveWaitMs: number;
}

export type Received<T> = { readonly done: false; readonly value: T } | { readonly done: true };

interface WaitingSender<T> {
  readonly item: T;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface WaitingReceiver<T> {
  readonly resolve: (received: Received<T>) => void;
  readonly reject: (error: unknown) => void;
}

type Ending =
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'cancelled'; readonly reason: unknown };

const DONE = { done: true } as const;

/** A first-in, first-out channel that holds at most `capacity` items. */
export class BoundedChannel<T> implements AsyncIterable<T> {
  readonly capacity: number;
  readonly #name: string;
  readonly #items: T[] = [];
  readonly #senders = new Set<WaitingSender<T>>();
  readonly #receivers = new Set<WaitingReceiver<T>>();
  #ending: Ending | undefined;
  #sentCount = 0;
  #maxDepth = 0;
  #sendBlockedMs = 0;
  #receiveWaitMs = 0;

  constructor(options: BoundedChannelOptions) {
    assert(Number.isInteger(options.capacity) && options.capacity >= 1, 'a channel holds an item');
    this.capacity = options.capacity;
    this.#name = options.name ?? 'channel';
  }

  /** Items that wait now. */
  get depth(): number {
    return this.#items.length;
  }

  get stats(): ChannelStats {
    return {
      sentCount: this.#sentCount,
      maxDepth: this.#maxDepth,
      sendBlockedMs: this.#sendBlockedMs,
      receiveWaitMs: this.#receiveWaitMs,
    };
  }

  /**
   * Hands an item over, waiting while the channel is full.
   * Throws `ChannelClosedError` with the item once either side has ended the channel, and the signal's
   * reason when it aborts first; in both cases the item was not taken.
   */
  async send(item: T, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.trySend(item)) return;
    const startMs = performance.now();
    try {
      await this.#waitForRoom(item, signal);
    } finally {
      this.#sendBlockedMs += performance.now() - startMs;
    }
  }

  /** Hands an item over if there is room now. Throws `ChannelClosedError` when the channel has ended. */
  trySend(item: T): boolean {
    if (this.#ending !== undefined) throw this.#closedError(item);
    const receiver = first(this.#receivers);
    if (receiver !== undefined) {
      this.#receivers.delete(receiver);
      this.#sentCount++;
      receiver.resolve({ done: false, value: item });
      return true;
    }
    if (this.#items.length >= this.capacity) return false;
    this.#enqueue(item);
    return true;
  }

  /**
   * Takes the oldest item, waiting for one. Gives `done` once the sender closed and all items are taken;
   * throws the sender's error after `fail`, and the signal's reason when it aborts first.
   */
  async receive(signal?: AbortSignal): Promise<Received<T>> {
    signal?.throwIfAborted();
    if (this.#items.length > 0) {
      const value = this.#items.shift() as T;
      this.#admitSender();
      return { done: false, value };
    }
    if (this.#ending?.kind === 'failed') throw this.#ending.error;
    if (this.#ending !== undefined) return DONE;
    const startMs = performance.now();
    try {
      return await this.#waitForItem(signal);
    } finally {
      this.#receiveWaitMs += performance.now() - startMs;
    }
  }

  /** The sender has no more items. What waits is still received. */
  close(): void {
    if (this.#ending !== undefined) return;
    this.#end({ kind: 'closed' });
    for (const receiver of drain(this.#receivers)) receiver.resolve(DONE);
  }

  /** The sender failed: items that wait are dropped and the receiver gets the error. */
  fail(error: unknown): void {
    if (this.#ending !== undefined && this.#ending.kind !== 'closed') return;
    this.#items.length = 0;
    this.#end({ kind: 'failed', error });
    for (const receiver of drain(this.#receivers)) receiver.reject(error);
  }

  /** The receiver wants no more: items that wait are dropped and senders wake with `ChannelClosedError`. */
  cancel(reason?: unknown): void {
    this.#items.length = 0;
    if (this.#ending !== undefined) return;
    this.#end({ kind: 'cancelled', reason });
    for (const receiver of drain(this.#receivers)) receiver.resolve(DONE);
  }

  /**
   * Receives until done; leaving the loop early cancels the channel. Unlike a generator's, its `return` does not
   * wait for a `next` under way: that one ends at once.
   */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined, undefined> {
    return {
      next: async () => {
        const received = await this.receive();
        return received.done ? { done: true, value: undefined } : received;
      },
      return: async () => {
        this.cancel();
        return { done: true, value: undefined };
      },
    };
  }

  #enqueue(item: T): void {
    this.#items.push(item);
    this.#sentCount++;
    this.#maxDepth = Math.max(this.#maxDepth, this.#items.length);
  }

  #admitSender(): void {
    const sender = first(this.#senders);
    if (sender === undefined) return;
    this.#senders.delete(sender);
    this.#enqueue(sender.item);
    sender.resolve();
  }

  #end(ending: Ending): void {
    this.#ending = ending;
    for (const sender of drain(this.#senders)) sender.reject(this.#closedError(sender.item));
  }

  #closedError(item: unknown): ChannelClosedError {
    const ending = this.#ending;
    const cause =
      ending?.kind === 'failed'
        ? ending.error
        : ending?.kind === 'cancelled'
          ? ending.reason
          : undefined;
    return new ChannelClosedError(this.#name, item, cause);
  }

  #waitForRoom(item: T, signal: AbortSignal | undefined): Promise<void> {
    return waitIn(this.#senders, signal, (resolve: () => void, reject) => ({
      item,
      resolve,
      reject,
    }));
  }

  #waitForItem(signal: AbortSignal | undefined): Promise<Received<T>> {
    return waitIn(this.#receivers, signal, (resolve: (received: Received<T>) => void, reject) => ({
      resolve,
      reject,
    }));
  }
}

/** Stands in `waiting` until somebody settles the entry or the signal aborts; then it is gone from there. */
function waitIn<W, R>(
  waiting: Set<W>,
  signal: AbortSignal | undefined,
  makeEntry: (resolve: (value: R) => void, reject: (error: unknown) => void) => W,
): Promise<R> {
  return new Promise((resolve, reject) => {
    const release = () => signal?.removeEventListener('abort', onAbort);
    const entry = makeEntry(
      (value) => {
        release();
        resolve(value);
      },
      (error) => {
        release();
        reject(error);
      },
    );
    const onAbort = () => {
      waiting.delete(entry);
      reject(signal?.reason);
    };
    waiting.add(entry);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

function first<W>(waiting: ReadonlySet<W>): W | undefined {
  const { value } = waiting.values().next();
  return value;
}

function drain<W>(waiting: Set<W>): W[] {
  const all = [...waiting];
  waiting.clear();
  return all;
}
