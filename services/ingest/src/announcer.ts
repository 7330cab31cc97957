/**
 * Tells the bus of new rows after they are durable, without anybody waiting for it. A window of messages is
 * unacknowledged at a time and a bounded queue waits behind it. What does not fit, or fails, is left: its row
 * is still marked as unannounced, and the sweeper finds it.
 */
import type { Announcement, PublishAnnouncement } from './announcement.ts';
import type { TelemetryEvents } from './telemetry-events.ts';

export interface AnnouncerOptions {
  readonly publish: PublishAnnouncement;
  /** Called once the bus has acknowledged. */
  readonly onAnnounced: (announcement: Announcement) => void;
  readonly events: TelemetryEvents;
  /** Announcements that may wait for a place in the window. */
  readonly queueMessages: number;
  /** Messages published and not yet acknowledged. */
  readonly windowMessages?: number;
  /** How long the bus may take to acknowledge one message. */
  readonly acknowledgeTimeoutMs?: number;
  /** How long nothing is tried after a failure. */
  readonly pauseMs?: number;
}

export class Announcer implements AsyncDisposable {
  readonly #options: Required<AnnouncerOptions>;
  readonly #queue: Announcement[] = [];
  readonly #stopped = new AbortController();
  #unacknowledged = 0;
  #pausedUntilMs = 0;
  #isPaused = false;
  #isClosed = false;
  #onIdle: (() => void) | undefined;

  constructor(options: AnnouncerOptions) {
    this.#options = {
      windowMessages: 100,
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
    this.#pump();
  }

  /** Publishes what is queued, for as long as the signal allows; the rest is left to the sweeper. */
  async drain(signal: AbortSignal): Promise<void> {
    this.#isClosed = true;
    if (this.#isIdle()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle = resolve;
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
    while (this.#unacknowledged < this.#options.windowMessages) {
      const announcement = this.#queue.shift();
      if (announcement === undefined) break;
      this.#unacknowledged += 1;
      void this.#publish(announcement);
    }
    if (this.#isIdle()) this.#onIdle?.();
  }

  async #publish(announcement: Announcement): Promise<void> {
    const { publish, onAnnounced, events, acknowledgeTimeoutMs } = this.#options;
    using deadline = new Deadline(acknowledgeTimeoutMs, this.#stopped.signal);
    try {
      await publish(announcement, deadline.signal);
      events.announced(announcement.kind, 'request', 'announced');
      onAnnounced(announcement);
      this.#resume();
    } catch (error) {
      events.announced(announcement.kind, 'request', 'left-to-sweeper');
      this.#pause(error);
    } finally {
      this.#unacknowledged -= 1;
      this.#pump();
    }
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
