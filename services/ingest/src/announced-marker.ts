/**
 * Takes announced rows off the list of unannounced ones, many in one statement. Nothing depends on it being
 * done: a row that stays on the list is announced once more, which is harmless.
 */
import type { BlockId, ProcessId, StreamId } from '@tracelake/domain';
import type { BlockRepository, ProcessRepository, StreamRepository } from '@tracelake/storage';
import { type Announcement, idOf } from './announcement.ts';
import type { AnnouncedKind, TelemetryEvents } from './telemetry-events.ts';

export interface MarkerPorts {
  readonly processes: ProcessRepository;
  readonly streams: StreamRepository;
  readonly blocks: BlockRepository;
}

export interface AnnouncedMarkerOptions extends MarkerPorts {
  readonly events: TelemetryEvents;
  /** How long ids are gathered before a statement. */
  readonly gatherMs?: number;
}

const BATCH_IDS_MAX = 1000;
const WAITING_IDS_MAX = 20_000;
const STATEMENT_TIMEOUT_MS = 10_000;

export class AnnouncedMarker implements AsyncDisposable {
  readonly #options: Required<AnnouncedMarkerOptions>;
  readonly #waiting: Record<AnnouncedKind, string[]> = { process: [], stream: [], block: [] };
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: AnnouncedMarkerOptions) {
    this.#options = { gatherMs: 100, ...options };
  }

  /** Never waits and never throws; past a bound the id is left to be announced again. */
  mark(announcement: Announcement): void {
    const waiting = this.#waiting[announcement.kind];
    if (waiting.length >= WAITING_IDS_MAX) return;
    waiting.push(idOf(announcement));
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, this.#options.gatherMs);
  }

  /** Marks all that waits; resolves also when the database fails, which is counted. */
  async flush(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing;
    this.#flushing = this.#flushAll();
    await this.#flushing;
    this.#flushing = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.flush();
  }

  async #flushAll(): Promise<void> {
    for (const kind of ['process', 'stream', 'block'] as const) {
      while (this.#waiting[kind].length > 0) {
        const ids = this.#waiting[kind].splice(0, BATCH_IDS_MAX);
        try {
          await markAnnounced(this.#options, kind, ids, AbortSignal.timeout(STATEMENT_TIMEOUT_MS));
        } catch (error) {
          this.#options.events.markingFailed(error);
        }
      }
    }
  }
}

/** Takes rows of one kind off the list of unannounced ones. Throws StorageError. */
export function markAnnounced(
  ports: MarkerPorts,
  kind: AnnouncedKind,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  switch (kind) {
    case 'process':
      return ports.processes.markAnnounced(ids as readonly ProcessId[], signal);
    case 'stream':
      return ports.streams.markAnnounced(ids as readonly StreamId[], signal);
    case 'block':
      return ports.blocks.markAnnounced(ids as readonly BlockId[], signal);
  }
}
