import { assert } from '@tracelake/domain';
import type { Received } from './bounded-channel.ts';

/**
 * Puts numbered results back in order. Holds at most `capacity` results; a result too far ahead of the next
 * one wanted waits outside, and the next one wanted is always let in, so that nothing can deadlock.
 */
export class ReorderBuffer<T> {
  readonly #capacity: number;
  readonly #results = new Map<number, T>();
  readonly #room = new Map<number, () => void>();
  #nextWanted = 0;
  #total = Number.POSITIVE_INFINITY;
  #arrived: (() => void) | undefined;

  constructor(capacity: number) {
    assert(Number.isInteger(capacity) && capacity >= 1, 'a reorder buffer holds a result');
    this.#capacity = capacity;
  }

  /** Results that wait now. */
  get depth(): number {
    return this.#results.size;
  }

  /** Hands in result number `sequence` (from 0, each once), waiting while it is too far ahead. */
  async put(sequence: number, result: T, signal: AbortSignal): Promise<void> {
    while (!this.tryPut(sequence, result)) {
      await this.#wait(signal, (wake) => this.#room.set(sequence, wake));
    }
  }

  /** Hands in result number `sequence` unless it is too far ahead. */
  tryPut(sequence: number, result: T): boolean {
    if (sequence >= this.#nextWanted + this.#capacity) return false;
    this.#results.set(sequence, result);
    if (sequence === this.#nextWanted) this.#arrived?.();
    return true;
  }

  /** There will be `total` results in all. */
  endAt(total: number): void {
    this.#total = total;
    if (this.#nextWanted >= total) this.#arrived?.();
  }

  /** Takes the next result in order, waiting for it; `done` past the last. One taker at a time. */
  async take(signal: AbortSignal): Promise<Received<T>> {
    while (!this.#results.has(this.#nextWanted)) {
      if (this.#nextWanted >= this.#total) return { done: true };
      await this.#wait(signal, (wake) => {
        this.#arrived = wake;
      });
    }
    const result = this.#results.get(this.#nextWanted) as T;
    this.#results.delete(this.#nextWanted);
    this.#nextWanted++;
    const admitted = this.#nextWanted + this.#capacity - 1;
    this.#room.get(admitted)?.();
    this.#room.delete(admitted);
    return { done: false, value: result };
  }

  async #wait(signal: AbortSignal, register: (wake: () => void) => void): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      register(() => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
    });
  }
}
