/** Every event this service counts or logs, each once. Nothing here throws. */
import type { BusEvent } from '@tracelake/bus';
import type { BlockId, ProcessId, StreamId } from '@tracelake/domain';
import type { ByteBudget, Counter, Histogram, Logger, Metrics } from '@tracelake/service-kit';

/**
 * What writing a block met, by (object, row): `stored` (created, inserted), `row-restored` (existed,
 * inserted: a crash came between the two), `object-restored` (created, existed: the object had been lost),
 * `duplicate` (existed, existed).
 */
export type BlockOutcome = 'stored' | 'row-restored' | 'object-restored' | 'duplicate';

export type AnnouncedKind = 'process' | 'stream' | 'block';

/** `left-to-sweeper`: the queue was full or the bus down, and the row stays marked as unannounced. */
export type AnnouncementOutcome = 'announced' | 'left-to-sweeper';

export interface WrittenBlock {
  readonly blockId: BlockId;
  readonly streamId: StreamId;
  readonly processId: ProcessId;
  readonly payloadBytes: number;
  readonly objectCount: number;
}

export interface TelemetryGauges {
  readonly budget: ByteBudget;
  /** Rows that wait for a statement. */
  readonly rowQueueDepth: () => number;
  readonly announceQueueDepth: () => number;
  readonly announcementsUnacknowledged: () => number;
}

export class TelemetryEvents {
  readonly #logger: Logger;
  readonly #blocks: Counter<'outcome'>;
  readonly #blockConflicts: Counter;
  readonly #blockBytes: Counter;
  readonly #events: Counter;
  readonly #metadata: Counter<'kind' | 'outcome'>;
  readonly #announcements: Counter<'kind' | 'via' | 'outcome'>;
  readonly #sweepFailures: Counter;
  readonly #stageMs: Histogram<'stage'>;
  readonly #batchRows: Histogram;
  readonly #publishMs: Histogram;
  #isBusDown = false;

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger;
    this.#blocks = metrics.counter({
      name: 'tracelake_ingest_blocks_total',
      help: 'Blocks acknowledged, by what writing them met',
      labels: ['outcome'],
    });
    this.#blockConflicts = metrics.counter({
      name: 'tracelake_ingest_block_conflicts_total',
      help: 'Blocks refused because their id is known with other content',
    });
    this.#blockBytes = metrics.counter({
      name: 'tracelake_ingest_block_payload_bytes_total',
      help: 'Payload bytes of blocks stored for the first time',
    });
    this.#events = metrics.counter({
      name: 'tracelake_ingest_block_events_total',
      help: 'Telemetry events in blocks stored for the first time, as their envelopes declare',
    });
    this.#metadata = metrics.counter({
      name: 'tracelake_ingest_metadata_total',
      help: 'Processes and streams acknowledged; the first write of an id wins',
      labels: ['kind', 'outcome'],
    });
    this.#announcements = metrics.counter({
      name: 'tracelake_ingest_announcements_total',
      help: 'Attempts to announce a row on the bus',
      labels: ['kind', 'via', 'outcome'],
    });
    this.#sweepFailures = metrics.counter({
      name: 'tracelake_ingest_sweep_failures_total',
      help: 'Looks for unannounced rows that ended in an error',
    });
    this.#stageMs = metrics.histogram({
      name: 'tracelake_ingest_write_stage_ms',
      help: 'Milliseconds that one stage of a write took',
      labels: ['stage'],
    });
    this.#batchRows = metrics.histogram({
      name: 'tracelake_ingest_batch_rows',
      help: 'Block rows that one statement inserted and one commit made durable',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 500],
    });
    this.#publishMs = metrics.histogram({
      name: 'tracelake_ingest_publish_ms',
      help: 'Milliseconds until the bus had acknowledged a message',
    });
    for (const outcome of ['stored', 'row-restored', 'object-restored', 'duplicate'] as const) {
      this.#blocks.inc({ outcome }, 0);
    }
  }

  registerGauges(metrics: Metrics, gauges: TelemetryGauges): void {
    metrics.gauge({
      name: 'tracelake_ingest_in_flight_bytes',
      help: 'Bytes of request bodies held now, with an overhead for each request',
      collect: () => gauges.budget.usedBytes,
    });
    metrics.gauge({
      name: 'tracelake_ingest_in_flight_bytes_max',
      help: 'Bytes that may be held; requests beyond them are refused',
      collect: () => gauges.budget.capacityBytes,
    });
    metrics.gauge({
      name: 'tracelake_ingest_row_queue_depth',
      help: 'Block rows that wait to be looked up or inserted',
      collect: gauges.rowQueueDepth,
    });
    metrics.gauge({
      name: 'tracelake_ingest_announce_queue_depth',
      help: 'Announcements waiting to be published',
      collect: gauges.announceQueueDepth,
    });
    metrics.gauge({
      name: 'tracelake_ingest_announcements_unacknowledged',
      help: 'Announcements published and not yet acknowledged by the bus',
      collect: gauges.announcementsUnacknowledged,
    });
  }

  blockWritten(outcome: BlockOutcome, block: WrittenBlock, { raced }: { raced: boolean }): void {
    this.#blocks.inc({ outcome });
    if (outcome === 'stored' || outcome === 'row-restored') {
      this.#blockBytes.inc(block.payloadBytes);
      this.#events.inc(block.objectCount);
    }
    const facts = { outcome, raced, ...block };
    // Concurrent writers of one block meet each other's object or row; only without them it tells of harm.
    if (outcome === 'object-restored' && !raced)
      this.#logger.warn('lost block object restored', facts);
    else if (outcome === 'row-restored' && !raced) this.#logger.info('block row restored', facts);
    else this.#logger.debug('block written', facts);
  }

  blockConflicted(block: WrittenBlock, facts: Readonly<Record<string, unknown>>): void {
    this.#blockConflicts.inc();
    this.#logger.warn('block refused, its id is known with other content', { ...block, ...facts });
  }

  metadataWritten(kind: 'process' | 'stream', outcome: 'inserted' | 'exists', id: string): void {
    this.#metadata.inc({ kind, outcome });
    this.#logger.debug('metadata written', { kind, outcome, id });
  }

  announced(kind: AnnouncedKind, via: 'request' | 'sweeper', outcome: AnnouncementOutcome): void {
    this.#announcements.inc({ kind, via, outcome });
  }

  announcingPaused(error: unknown): void {
    this.#logger.warn('announcing paused, the sweeper will announce what is left', { error });
  }

  announcingResumed(): void {
    this.#logger.info('announcing resumed');
  }

  swept(facts: { readonly announced: number; readonly left: number }): void {
    // With the bus away every look ends like this.
    if (facts.announced === 0) this.#logger.debug('unannounced rows left', facts);
    else this.#logger.info('unannounced rows announced', facts);
  }

  sweepFailed(error: unknown): void {
    this.#sweepFailures.inc();
    this.#logger.warn('look for unannounced rows failed', { error });
  }

  busEvent(event: BusEvent): void {
    switch (event.type) {
      case 'connected':
        this.#isBusDown = false;
        this.#logger.info('bus connected', { server: event.server, version: event.serverVersion });
        return;
      case 'disconnected':
      case 'connect-failed':
        // Attempts go on for as long as the bus is away: the first one tells it all.
        if (!this.#isBusDown) this.#logger.warn('bus is away', { event });
        this.#isBusDown = true;
        return;
      case 'streams-made':
        this.#logger.info('bus streams made', { made: event.made, lost: event.lost });
        return;
      case 'stream-setup-failed':
        this.#logger.warn('bus streams cannot be made', { error: event.error });
        return;
      case 'published':
        this.#publishMs.observe(event.durationMs);
        return;
      default:
        // Failed publishing is logged by the announcer; ingest consumes nothing.
        return;
    }
  }

  busNotReady(error: unknown): void {
    this.#logger.warn('started without the bus', { error });
  }

  markingFailed(error: unknown): void {
    this.#logger.warn('announced rows not marked, they will be announced again', { error });
  }

  busRecreated(rowCount: number): void {
    this.#logger.warn('bus streams were made anew, recent rows are announced again', { rowCount });
  }

  rowsBatched(rowCount: number): void {
    this.#batchRows.observe(rowCount);
  }

  stageTook(stage: 'decode' | 'find-row' | 'put-object' | 'insert-row', ms: number): void {
    this.#stageMs.observe({ stage }, ms);
  }
}
