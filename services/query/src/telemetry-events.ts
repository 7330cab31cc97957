/** Every event this service counts or logs, each once. Nothing here throws. */

import type { BusEvent } from '@tracelake/bus';
import { AppError } from '@tracelake/domain';
import type { ObjectCacheStats } from '@tracelake/lake-reading';
import type { Counter, Histogram, Logger, Metrics } from '@tracelake/service-kit';
import type { ResultFormat } from './engine/protocol.ts';
import type { ResolvedSources } from './planning/source-resolver.ts';

/** `aborted`: it failed after the first byte, and the connection was cut. */
export type QueryOutcome = 'completed' | 'refused' | 'client-gone' | 'client-stalled' | 'aborted';

/** What is known of a query, filled in as it goes. */
export interface QueryFacts {
  readonly format: ResultFormat;
  readonly startedMs: number;
  sourceCount?: number;
  rowCount?: number;
  byteCount?: number;
}

export interface QueryGauges {
  readonly running: () => number;
  readonly waiting: () => number;
  readonly waitingMax: number;
  readonly cache: () => ObjectCacheStats;
}

const OUTCOMES: readonly QueryOutcome[] = [
  'completed',
  'refused',
  'client-gone',
  'client-stalled',
  'aborted',
];

export class TelemetryEvents {
  readonly #logger: Logger;
  readonly #queries: Counter<'outcome'>;
  readonly #rows: Counter;
  readonly #bytes: Counter;
  readonly #instancesBuilt: Counter;
  readonly #durationMs: Histogram;
  readonly #stepMs: Histogram<'step'>;
  #isBusDown = false;

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger;
    this.#queries = metrics.counter({
      name: 'tracelake_queries_total',
      help: 'Queries by how they ended',
      labels: ['outcome'],
    });
    this.#rows = metrics.counter({
      name: 'tracelake_query_rows_total',
      help: 'Rows of completed queries',
    });
    this.#bytes = metrics.counter({
      name: 'tracelake_query_bytes_total',
      help: 'Body bytes of completed queries',
    });
    this.#instancesBuilt = metrics.counter({
      name: 'tracelake_query_instances_built_total',
      help: 'View instances a query waited for',
    });
    this.#durationMs = metrics.histogram({
      name: 'tracelake_query_duration_ms',
      help: 'Milliseconds from request to last byte of completed queries, their wait in the queue included',
    });
    this.#stepMs = metrics.histogram({
      name: 'tracelake_query_step_ms',
      help: 'Milliseconds that queries spent in planning, waiting for builds and fetching objects',
      labels: ['step'],
    });
    for (const outcome of OUTCOMES) this.#queries.inc({ outcome }, 0);
  }

  registerGauges(metrics: Metrics, { running, waiting, waitingMax, cache }: QueryGauges): void {
    const gauge = (name: string, help: string, collect: () => number) =>
      metrics.gauge({ name: `tracelake_query_${name}`, help, collect });
    gauge('running', 'Queries under way', running);
    gauge('queue_depth', 'Queries that wait for their turn', waiting);
    gauge('queue_max', 'Queries that may wait; those beyond are refused', () => waitingMax);
    gauge('cache_bytes', 'Bytes of remote objects held on this machine', () => cache().heldBytes);
    gauge('cache_fetches', 'Remote objects fetched since the start', () => cache().fetches);
    gauge('cache_hits', 'Remote objects found on this machine since the start', () => cache().hits);
  }

  sourcesReady(facts: QueryFacts, { tables, builtCount, times }: ResolvedSources): void {
    this.#instancesBuilt.inc(builtCount);
    for (const [step, ms] of Object.entries(times)) this.#stepMs.observe({ step }, ms);
    const fileCount = tables.reduce((sum, one) => sum + ('files' in one ? one.files.length : 0), 0);
    this.#logger.debug('sources of a query ready', { ...facts, fileCount, builtCount, ...times });
  }

  queryEnded(outcome: QueryOutcome, facts: Partial<QueryFacts>, error?: unknown): void {
    this.#queries.inc({ outcome });
    const { startedMs, ...told } = facts;
    const durationMs = startedMs === undefined ? undefined : performance.now() - startedMs;
    if (outcome === 'completed' && durationMs !== undefined) {
      this.#durationMs.observe(durationMs);
      this.#rows.inc(facts.rowCount ?? 0);
      this.#bytes.inc(facts.byteCount ?? 0);
    }
    const fields = { ...told, durationMs: durationMs && Math.round(durationMs) };
    if (outcome === 'completed') this.#logger.info('query answered', fields);
    else if (outcome === 'refused') {
      const code = error instanceof AppError ? error.code : undefined;
      this.#logger.info('query refused', { ...fields, code });
    } else if (outcome === 'aborted') this.#logger.warn('query aborted', { ...fields, error });
    else this.#logger.info('query left by its reader', { ...fields, outcome });
  }

  busEvent(event: BusEvent): void {
    if (event.type === 'connected') {
      this.#isBusDown = false;
      this.#logger.info('bus connected', { server: event.server, version: event.serverVersion });
    } else if (event.type === 'disconnected' || event.type === 'connect-failed') {
      // Attempts go on for as long as the bus is away: the first one tells it all.
      if (!this.#isBusDown) this.#logger.warn('bus is away', { event });
      this.#isBusDown = true;
    } else if (event.type === 'stream-setup-failed' || event.type === 'consumer-failed') {
      this.#logger.warn('bus does not serve, the catalog is polled', { error: event.error });
    }
  }
}
