/**
 * Tells the bus of new rows after they are durable, without anybody waiting for it. What comes within a few
 * milliseconds goes out together, which costs the connection and the server less. A window of messages is
 * unacknowledged at a time and a bounded queue waits behind it. What does not fit, or fails, is left: its row
 * is still marked as unannounced, and the sweeper finds it.
 */
import type { Announcement, PublishAnnouncements } from './announcement.ts';
import type { TelemetryEvents } from './telemetry-events.ts';

export interface AnnouncerOptions {
  readonly publish: PublishAnnouncements;
  /** Called once the bus has acknowledged. */
  readonly onAnnounced: (announcement: Announcement) => void;
  readonly events: TelemetryEvents;
  /** Announcements that may wait for a place in the window. */
  readonly queueMessages: number;
  /** Messages published and not yet acknowledged. */
  readonly windowMessages?: number;
  /** How long the first of those that go out together waits for the others. */
  readonly gatherMs?: number;
  /** How long the bus may take to acknowledge what went out together. */
  readonly acknowledgeTimeoutMs?: number;
  /** How long nothing is tried after a failure. */
  readonly pauseMs?: number;
}

export class Announcer implements AsyncDisposable {
  readonly #options: Required<AnnouncerOptions>;
  readonly #queue: Announcement[] = [];
  readonly #stopped = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #unacknowledged = 0;
  #pausedUntilMs = 0;
  #isPaused = false;
  #isClosed = false;
  #onIdle: (() => void) | undefined;

  constructor(options: AnnouncerOptions) {
    this.#options = {
      windowMessages: 100,
      gatherMs: 5,
      acknowledgeTimeoutMs: 5000,
      pauseMs: 1000,
      ...options,
    };
  }

  /** Announcements waiting for a place in the window. */
  get queueDepth(): number {
    return this.#queue.length;
  }

  get unacknowledged(): number {
    return this.#unacknowledged;
  }

  /** Never waits and never throws. */
  announce(announcement: Announcement): void {
    const isFull = this.#queue.length >= this.#options.queueMessages;
    if (this.#isClosed || isFull || performance.now() < this.#pausedUntilMs) {
      this.#options.events.announced(announcement.kind, 'request', 'left-to-sweeper');
      return;
    }
    this.#queue.push(announcement);
    this.#timer ??= setTimeout(() => this.#pump(), this.#options.gatherMs);
  }

  /** Publishes what is queued, for as long as the signal allows; the rest is left to the sweeper. */
  async drain(signal: AbortSignal): Promise<void> {
    this.#isClosed = true;
    if (this.#isIdle()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle = resolve;
    this.#pump();
    const onAbort = () => {
      this.#leaveQueued();
      this.#stopped.abort(signal.reason);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    await promise;
    signal.removeEventListener('abort', onAbort);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain(AbortSignal.abort(new Error('the announcer is closed')));
  }

  #pump(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const places = this.#options.windowMessages - this.#unacknowledged;
    const batch = this.#queue.splice(0, places);
    if (batch.length > 0) {
      this.#unacknowledged += batch.length;
      void this.#publish(batch);
    }
    if (this.#isIdle()) this.#onIdle?.();
  }

  async #publish(batch: readonly Announcement[]): Promise<void> {
    const { publish, onAnnounced, events, acknowledgeTimeoutMs } = this.#options;
    using deadline = new Deadline(acknowledgeTimeoutMs, this.#stopped.signal);
    const results = await publish(batch, deadline.signal).catch((reason: unknown) =>
      batch.map(() => ({ status: 'rejected' as const, reason })),
    );
    let failure: PromiseRejectedResult | undefined;
    for (const [index, announcement] of batch.entries()) {
      const result = results[index];
      const isAnnounced = result?.status === 'fulfilled';
      events.announced(announcement.kind, 'request', isAnnounced ? 'announced' : 'left-to-sweeper');
      if (isAnnounced) onAnnounced(announcement);
      else failure ??= result;
    }
    if (failure === undefined) this.#resume();
    else this.#pause(failure.reason);
    this.#unacknowledged -= batch.length;
    // What waits for a place goes at once, what gathers at its time.
    if (this.#timer === undefined) this.#pump();
  }

  /** With the bus down every attempt costs its timeout: the queue is left to the sweeper for a while. */
  #pause(error: unknown): void {
    this.#pausedUntilMs = performance.now() + this.#options.pauseMs;
    this.#leaveQueued();
    if (this.#isPaused || this.#stopped.signal.aborted) return;
    this.#isPaused = true;
    this.#options.events.announcingPaused(error);
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#pausedUntilMs = 0;
    this.#options.events.announcingResumed();
  }

  #leaveQueued(): void {
    for (const { kind } of this.#queue.splice(0)) {
      this.#options.events.announced(kind, 'request', 'left-to-sweeper');
    }
  }

  #isIdle(): boolean {
    return this.#unacknowledged === 0 && this.#queue.length === 0;
  }
}

/** Aborts after the time or with the other signal. By hand: `AbortSignal.any` costs several times as much. */
class Deadline implements Disposable {
  readonly #abort = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #other: AbortSignal;
  readonly #onOther = () => this.#abort.abort(this.#other.reason);

  constructor(timeoutMs: number, other: AbortSignal) {
    this.#other = other;
    this.#timer = setTimeout(
      () => this.#abort.abort(new DOMException(`not within ${timeoutMs} ms`, 'TimeoutError')),
      timeoutMs,
    );
    if (other.aborted) this.#onOther();
    other.addEventListener('abort', this.#onOther, { once: true });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#other.removeEventListener('abort', this.#onOther);
  }
}
