/**
 * What eager views wait to have built: an instance is due a fixed time after the first block that asked
 * for it, so a burst costs one build and a steady flow cannot put it off.
 */

export interface EagerItem {
  readonly viewSet: string;
  readonly instance: string;
}

interface Pending extends EagerItem {
  readonly dueMs: number;
}

export interface EagerScheduleOptions {
  readonly debounceMs: number;
  /** Instances that may wait at once. */
  readonly capacity: number;
  /** Monotonic milliseconds; tests bring their own. */
  readonly nowMs?: () => number;
}

/** A bounded set of instances with the time each is due; any number of tasks take them. */
export class EagerSchedule {
  readonly #options: EagerScheduleOptions;
  readonly #pending = new Map<string, Pending>();
  readonly #nowMs: () => number;
  readonly #wakers = new Set<() => void>();

  constructor(options: EagerScheduleOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Notes that an instance has news; false when the schedule is full. `delayMs` puts a retry off. */
  note(item: EagerItem, delayMs: number = this.#options.debounceMs): boolean {
    const key = `${item.viewSet}/${item.instance}`;
    if (this.#pending.has(key)) return true;
    if (this.#pending.size >= this.#options.capacity) return false;
    this.#pending.set(key, { ...item, dueMs: this.#nowMs() + delayMs });
    for (const wake of this.#wakers) wake();
    return true;
  }

  /** Waits for the next instance to be due and takes it; what is noted from then on is news again. */
  async take(signal: AbortSignal): Promise<EagerItem> {
    for (;;) {
      signal.throwIfAborted();
      const [key, first] = this.#earliest();
      const waitMs = first === undefined ? undefined : first.dueMs - this.#nowMs();
      if (key !== undefined && first !== undefined && waitMs !== undefined && waitMs <= 0) {
        this.#pending.delete(key);
        return { viewSet: first.viewSet, instance: first.instance };
      }
      await this.#sleep(waitMs, signal);
    }
  }

  #earliest(): [string, Pending] | [undefined, undefined] {
    let earliest: [string, Pending] | [undefined, undefined] = [undefined, undefined];
    for (const entry of this.#pending) {
      if (earliest[1] === undefined || entry[1].dueMs < earliest[1].dueMs) earliest = entry;
    }
    return earliest;
  }

  async #sleep(ms: number | undefined, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
    this.#wakers.add(resolve);
    const onAbort = () => resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    await promise;
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
    this.#wakers.delete(resolve);
  }
}
