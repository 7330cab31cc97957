/** Every event this service counts or logs, each once. Nothing here throws. */

import type { BusEvent } from '@tracelake/bus';
import type { ChannelStats } from '@tracelake/channels';
import type { ProcessId } from '@tracelake/domain';
import type { Counter, Gauge, Histogram, Logger, Metrics } from '@tracelake/service-kit';
import type { SentBody } from './chunked-response.ts';
import type { ExportFormat, SpanChoice, TraceCompression } from './export-request.ts';
import type { GeneratedTrace } from './trace-generation.ts';

/** `aborted`: it failed after the first byte, and the connection was destroyed. */
export type ExportOutcome = 'completed' | 'refused' | 'client-gone' | 'client-stalled' | 'aborted';

export interface ExportFacts {
  readonly processId: ProcessId;
  readonly spans: SpanChoice;
  readonly compress: TraceCompression;
  readonly format: ExportFormat;
}

const OUTCOMES: readonly ExportOutcome[] = [
  'completed',
  'refused',
  'client-gone',
  'client-stalled',
  'aborted',
];

export class TelemetryEvents {
  readonly #logger: Logger;
  readonly #exports: Counter<'outcome'>;
  readonly #chunks: Counter;
  readonly #bytes: Counter;
  readonly #spans: Counter;
  readonly #instants: Counter;
  readonly #endsWithoutBegin: Counter;
  readonly #instancesBuilt: Counter;
  readonly #waitMs: Histogram;
  readonly #blockedMs: Histogram;
  readonly #channelDepthMax: Gauge;
  readonly #openSpansMax: Gauge;
  #depthMax = 0;
  #openMax = 0;
  #isBusDown = false;

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger;
    const counter = (name: string, help: string) =>
      metrics.counter({ name: `tracelake_export_${name}`, help });
    this.#exports = metrics.counter({
      name: 'tracelake_exports_total',
      help: 'Exports by how they ended',
      labels: ['outcome'],
    });
    this.#chunks = counter('chunks_total', 'Chunks sent to readers');
    this.#bytes = counter('bytes_total', 'Body bytes sent to readers');
    this.#spans = counter('spans_total', 'Spans written into completed traces');
    this.#instants = counter('instants_total', 'Spans written as instants, too many being open');
    this.#endsWithoutBegin = counter(
      'ends_without_begin_total',
      'Async end events left out because no block has their begin',
    );
    this.#instancesBuilt = counter('instances_built_total', 'View instances an export waited for');
    this.#waitMs = metrics.histogram({
      name: 'tracelake_export_build_wait_ms',
      help: 'Milliseconds until the partitions of an export were current',
    });
    this.#blockedMs = metrics.histogram({
      name: 'tracelake_export_channel_blocked_ms',
      help: 'Milliseconds that the generator of an export waited for its reader, added up',
    });
    this.#channelDepthMax = metrics.gauge({
      name: 'tracelake_export_channel_depth_max_chunks',
      help: 'Most chunks that ever waited in one channel',
    });
    this.#openSpansMax = metrics.gauge({
      name: 'tracelake_export_open_spans_max',
      help: 'Most async spans that were ever open at once in one export',
    });
    for (const outcome of OUTCOMES) this.#exports.inc({ outcome }, 0);
  }

  registerGauges(metrics: Metrics, exportsInFlight: () => number): void {
    metrics.gauge({
      name: 'tracelake_exports_in_flight',
      help: 'Exports under way, those that wait for a build included',
      collect: exportsInFlight,
    });
  }

  partitionsReady(facts: ExportFacts, { builtCount, waitMs }: PartitionsReady): void {
    this.#waitMs.observe(waitMs);
    this.#instancesBuilt.inc(builtCount);
    const message = builtCount === 0 ? 'partitions current' : 'partitions built for an export';
    this.#logger.info(message, { ...facts, builtCount, waitMs: Math.round(waitMs) });
  }

  exportCompleted(facts: ExportFacts, result: ExportResult): void {
    this.#exports.inc({ outcome: 'completed' });
    const { trace, durationMs } = result;
    this.#spans.inc(trace.spanCount);
    this.#instants.inc(trace.instantCount);
    this.#endsWithoutBegin.inc(trace.endsWithoutBegin);
    this.#openMax = Math.max(this.#openMax, trace.openSpansMax);
    this.#openSpansMax.set(this.#openMax);
    this.#logger.info('trace exported', {
      ...facts,
      ...trace,
      ...result.body,
      durationMs: Math.round(durationMs),
    });
  }

  exportEnded(outcome: ExportOutcome, facts: Partial<ExportFacts>, error: unknown): void {
    this.#exports.inc({ outcome });
    if (outcome === 'aborted') this.#logger.error('export aborted', { ...facts, error });
    else if (outcome === 'refused') this.#logger.debug('export refused', { ...facts });
    else this.#logger.info('export left by its reader', { ...facts, outcome });
  }

  chunksSent(body: SentBody): void {
    this.#chunks.inc(body.chunkCount);
    this.#bytes.inc(body.byteCount);
  }

  channelClosed(stats: ChannelStats): void {
    this.#blockedMs.observe(stats.sendBlockedMs);
    this.#depthMax = Math.max(this.#depthMax, stats.maxDepth);
    this.#channelDepthMax.set(this.#depthMax);
  }

  busEvent(event: BusEvent): void {
    if (event.type === 'connected') {
      this.#isBusDown = false;
      this.#logger.info('bus connected', { server: event.server, version: event.serverVersion });
    } else if (event.type === 'disconnected' || event.type === 'connect-failed') {
      // Attempts go on for as long as the bus is away: the first one tells it all.
      if (!this.#isBusDown) this.#logger.warn('bus is away', { event });
      this.#isBusDown = true;
    } else if (event.type === 'streams-made') {
      this.#logger.info('bus streams made', { made: event.made, lost: event.lost });
    } else if (event.type === 'stream-setup-failed' || event.type === 'consumer-failed') {
      this.#logger.warn('bus does not serve, the catalog is polled', { error: event.error });
    }
  }
}

export interface PartitionsReady {
  readonly builtCount: number;
  readonly waitMs: number;
}

export interface ExportResult {
  readonly trace: GeneratedTrace;
  readonly body: SentBody;
  readonly durationMs: number;
}
