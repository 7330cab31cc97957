import { type Counter, createMetrics, type Histogram, type Metrics } from '@tracelake/service-kit';
import { createMaterializerMetrics, type MaterializerMetrics } from '../telemetry-metrics.ts';

/** What merging runs costs and saves, apart from what is built. */
export interface CompactionMetrics {
  /** Outcome: `merged`; `dropped`, when another writer was first; `refused`, when rows would differ; `failed`. */
  readonly compactions: Counter<'view' | 'outcome'>;
  /** Direction: `in` for runs merged, `out` for runs they became. */
  readonly runs: Counter<'view' | 'direction'>;
  /** Direction: `in` for files of the runs merged, `out` for files of the runs they became. */
  readonly bytes: Counter<'view' | 'direction'>;
  readonly payloadBytes: Counter<'view'>;
  readonly compactionMs: Histogram<'view'>;
}

export function createCompactionMetrics(metrics: Metrics): CompactionMetrics {
  const counter = <Label extends string>(
    name: string,
    help: string,
    labels: readonly (Label | 'view')[],
  ) => metrics.counter({ name: `tracelake_materializer_${name}_total`, help, labels });
  return {
    compactions: counter('compactions', 'Groups of runs taken on to be merged, by outcome', [
      'view',
      'outcome',
    ]),
    runs: counter('compaction_runs', 'Runs merged (in) and runs they became (out)', [
      'view',
      'direction',
    ]),
    bytes: counter('compaction_bytes', 'Bytes of Parquet merged (in) and written (out)', [
      'view',
      'direction',
    ]),
    payloadBytes: counter('compaction_payload_bytes', 'Bytes of payloads read again', ['view']),
    compactionMs: metrics.histogram({
      name: 'tracelake_materializer_compaction_ms',
      help: 'Milliseconds a group of runs takes to be merged, waits for builds included',
      labels: ['view'],
    }),
  };
}

/** Metrics for the stages of a merge: queues and waits are those of all, the rest counts what is built and is nobody's. */
export function metricsBesideBuilds(metrics: MaterializerMetrics): MaterializerMetrics {
  const { cpuQueueDepth, writerQueueDepth, cpuQueueWaitMs, writerQueueWaitMs } = metrics;
  const { stageBlockedSeconds, stageBusySeconds } = metrics;
  const uncounted = createMaterializerMetrics(createMetrics({ service: 'compaction' }));
  const queues = { cpuQueueDepth, writerQueueDepth, cpuQueueWaitMs, writerQueueWaitMs };
  return { ...uncounted, ...queues, stageBlockedSeconds, stageBusySeconds };
}
