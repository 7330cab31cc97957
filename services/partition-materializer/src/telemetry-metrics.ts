import type { Counter, Gauge, Histogram, Metrics } from '@tracelake/service-kit';

/** What this service measures; every label has a closed set of values. */
export interface MaterializerMetrics {
  readonly cpuQueueDepth: Gauge;
  readonly writerQueueDepth: Gauge;
  readonly cpuQueueWaitMs: Histogram;
  readonly writerQueueWaitMs: Histogram;
  readonly blocksRead: Counter<'view'>;
  readonly payloadBytesRead: Counter<'view'>;
  readonly blocksRejected: Counter<'view'>;
  readonly blocksFolded: Counter<'view'>;
  readonly rowsWritten: Counter<'view'>;
  readonly bytesWritten: Counter<'view'>;
  /** Outcome: `current`, `written` or `failed`. */
  readonly builds: Counter<'view' | 'outcome'>;
  readonly partitionsBuilt: Counter<'view'>;
  readonly partitionsKept: Counter<'view'>;
  readonly buildMs: Histogram<'view'>;
  readonly commitConflicts: Counter<'view'>;
  /** From a block's row to the commit of the partition that covers it. */
  readonly lagMs: Histogram<'view'>;
  readonly buildsInFlight: Gauge;
  readonly lanesHeld: Gauge;
  /** Consumer: `request` or `eager`; outcome: `ack`, `nak` or `dead`. */
  readonly deliveries: Counter<'consumer' | 'outcome'>;
  readonly workersReplaced: Counter;
  /** Kind: `retired` or `orphan`. */
  readonly objectsSwept: Counter<'kind'>;
  readonly eagerPending: Gauge;
}

const LAG_BUCKETS_MS = [
  100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 3_600_000,
];

export function createMaterializerMetrics(metrics: Metrics): MaterializerMetrics {
  const counter = (name: string, help: string) =>
    metrics.counter({ name: `tracelake_${name}_total`, help, labels: ['view'] });
  return {
    cpuQueueDepth: metrics.gauge({
      name: 'tracelake_cpu_queue_depth',
      help: 'Blocks fetched that wait for a decode worker, over all pipelines',
    }),
    writerQueueDepth: metrics.gauge({
      name: 'tracelake_writer_queue_depth',
      help: 'Decoded blocks that wait for the writer, over all pipelines',
    }),
    cpuQueueWaitMs: metrics.histogram({
      name: 'tracelake_cpu_queue_wait_ms',
      help: 'Milliseconds a fetched block waits for a decode worker',
    }),
    writerQueueWaitMs: metrics.histogram({
      name: 'tracelake_writer_queue_wait_ms',
      help: 'Milliseconds a decoded block waits for its turn at the writer',
    }),
    blocksRead: counter('materializer_blocks_read', 'Block payloads fetched to be decoded'),
    payloadBytesRead: counter('materializer_payload_bytes_read', 'Bytes of payloads fetched'),
    blocksRejected: counter('materializer_blocks_rejected', 'Blocks that cannot be decoded'),
    blocksFolded: counter('materializer_blocks_folded', 'Blocks decoded into a partition'),
    rowsWritten: counter('materializer_rows_written', 'Rows of partitions written'),
    bytesWritten: counter('materializer_bytes_written', 'Bytes of Parquet written'),
    builds: metrics.counter({
      name: 'tracelake_materializer_builds_total',
      help: 'Instances looked at, by outcome: current, written or failed',
      labels: ['view', 'outcome'],
    }),
    partitionsBuilt: counter('materializer_partitions_built', 'Partitions built and committed'),
    partitionsKept: counter('materializer_partitions_kept', 'Partitions found current and kept'),
    buildMs: metrics.histogram({
      name: 'tracelake_materializer_build_ms',
      help: 'Milliseconds from the first look at an instance to its last commit',
      labels: ['view'],
    }),
    commitConflicts: counter('materializer_commit_conflicts', 'Commits lost to another writer'),
    lagMs: metrics.histogram({
      name: 'tracelake_materializer_lag_ms',
      help: "Milliseconds from a block's row to the commit of its partition",
      labels: ['view'],
      buckets: LAG_BUCKETS_MS,
    }),
    buildsInFlight: metrics.gauge({
      name: 'tracelake_materializer_builds_in_flight',
      help: 'Builds under way',
    }),
    lanesHeld: metrics.gauge({
      name: 'tracelake_materializer_lanes_held',
      help: 'Lanes this replica owns',
    }),
    deliveries: metrics.counter({
      name: 'tracelake_materializer_deliveries_total',
      help: 'Bus messages handled, by consumer and outcome',
      labels: ['consumer', 'outcome'],
    }),
    workersReplaced: metrics.counter({
      name: 'tracelake_materializer_workers_replaced_total',
      help: 'Decode workers that crashed or hung',
    }),
    objectsSwept: metrics.counter({
      name: 'tracelake_materializer_objects_swept_total',
      help: 'Objects deleted: retired ones without a reader, orphans without a partition',
      labels: ['kind'],
    }),
    eagerPending: metrics.gauge({
      name: 'tracelake_materializer_eager_pending',
      help: 'Instances of eager views that wait for their quiet time or for a build',
    }),
  };
}
