/**
 * Announces rows that were committed and never announced: a crash came between, the bus was down, or the
 * queue was full. Runs periodically, at the start, and once more with recent rows when the bus was made anew.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MarkerPorts, markAnnounced } from './announced-marker.ts';
import { type Announcement, idOf, type PublishAnnouncements } from './announcement.ts';
import type { AnnouncedKind, TelemetryEvents } from './telemetry-events.ts';

export interface UnannouncedSweeperOptions extends MarkerPorts {
  readonly publish: PublishAnnouncements;
  readonly events: TelemetryEvents;
  /** Puts rows of the last while back on the list of unannounced ones; resolves with their number. */
  readonly requeueRecent: (withinMs: number, signal: AbortSignal) => Promise<number>;
  readonly intervalMs: number;
  /** Younger rows are on their way already. */
  readonly minimumAgeMs: number;
}

/** Rows looked at in one statement, all of them published at once at most. */
const PAGE_ROWS = 500;
const PAGE_TIMEOUT_MS = 15_000;
/** What the bus keeps anyway is bounded; older rows are found by those who read Postgres. */
const RECENT_MS = 60 * 60 * 1000;

export class UnannouncedSweeper implements AsyncDisposable {
  readonly #options: UnannouncedSweeperOptions;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #requeueWanted = false;
  #running: Promise<void> | undefined;

  constructor(options: UnannouncedSweeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** The bus lost what it had: recent rows are announced once more, soon. */
  announceRecentAgain(): void {
    this.#requeueWanted = true;
    this.#wake.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the sweeper is closed'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#sweep(signal);
      } catch (error) {
        if (!signal.aborted) this.#options.events.sweepFailed(error);
      }
      const wake = AbortSignal.any([signal, this.#wake.signal]);
      await sleep(this.#options.intervalMs, undefined, { signal: wake }).catch(() => {});
      if (this.#wake.signal.aborted) this.#wake = new AbortController();
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    let minimumAgeMs = this.#options.minimumAgeMs;
    if (this.#requeueWanted) {
      const rowCount = await this.#options.requeueRecent(RECENT_MS, signal);
      this.#requeueWanted = false;
      minimumAgeMs = 0;
      this.#options.events.busRecreated(rowCount);
    }
    for (const kind of ['process', 'stream', 'block'] as const) {
      await this.#sweepKind(kind, minimumAgeMs, signal);
    }
  }

  async #sweepKind(kind: AnnouncedKind, minimumAgeMs: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(PAGE_TIMEOUT_MS)]);
      const page = await this.#list(kind, minimumAgeMs, deadline);
      if (page.length === 0) return;
      const announced = await this.#announce(page, deadline);
      await markAnnounced(this.#options, kind, announced, deadline);
      const left = page.length - announced.length;
      this.#options.events.swept({ announced: announced.length, left });
      if (left > 0 || page.length < PAGE_ROWS) return;
    }
  }

  async #list(
    kind: AnnouncedKind,
    olderThanMs: number,
    signal: AbortSignal,
  ): Promise<Announcement[]> {
    const filter = { olderThanMs, limit: PAGE_ROWS };
    switch (kind) {
      case 'process': {
        const rows = await this.#options.processes.listUnannounced(filter, signal);
        return rows.map((row) => ({ kind, ...row }));
      }
      case 'stream': {
        const rows = await this.#options.streams.listUnannounced(filter, signal);
        return rows.map((row) => ({ kind, ...row }));
      }
      case 'block': {
        const rows = await this.#options.blocks.listUnannounced(filter, signal);
        return rows.map((row) => ({ kind, ...row }));
      }
    }
  }

  /** The ids that the bus acknowledged. */
  async #announce(page: readonly Announcement[], signal: AbortSignal): Promise<string[]> {
    const results = await this.#options.publish(page, signal);
    const announced: string[] = [];
    for (const [index, announcement] of page.entries()) {
      const isAnnounced = results[index]?.status === 'fulfilled';
      if (isAnnounced) announced.push(idOf(announcement));
      const outcome = isAnnounced ? 'announced' : 'left-to-sweeper';
      this.#options.events.announced(announcement.kind, 'sweeper', outcome);
    }
    return announced;
  }
}
