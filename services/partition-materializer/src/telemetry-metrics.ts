import type { PipelineStage, StageWait, TokenPool } from '@tracelake/channels';
import type { Counter, Gauge, Histogram, Metrics } from '@tracelake/service-kit';

/** What this service measures; every label has a closed set of values. */
export interface MaterializerMetrics {
  readonly cpuQueueDepth: Gauge;
  readonly writerQueueDepth: Gauge;
  readonly cpuQueueWaitMs: Histogram;
  readonly writerQueueWaitMs: Histogram;
  /** Stage: `reader`, `worker` or `writer`; waiting for: `input`, `room`, `cpu_token` or `io_token`. */
  readonly stageBlockedSeconds: Counter<'stage' | 'waiting_for'>;
  /** Stage: `worker` or `writer`. */
  readonly stageBusySeconds: Counter<'stage'>;
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
  readonly eagerBehindSeconds: Gauge;
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
      help: 'Blocks fetched that wait in the queue of the decode workers, over all pipelines',
    }),
    writerQueueDepth: metrics.gauge({
      name: 'tracelake_writer_queue_depth',
      help: 'Decoded blocks that wait for the writer, over all pipelines',
    }),
    cpuQueueWaitMs: metrics.histogram({
      name: 'tracelake_cpu_queue_wait_ms',
      help: 'Milliseconds a fetched block is in the queue of the decode workers',
    }),
    writerQueueWaitMs: metrics.histogram({
      name: 'tracelake_writer_queue_wait_ms',
      help: 'Milliseconds a decoded block waits for its turn at the writer',
    }),
    ...createStageMetrics(metrics),
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
    eagerBehindSeconds: metrics.gauge({
      name: 'tracelake_materializer_eager_behind_seconds',
      help: 'Age of the oldest block of the last 10 minutes (of all blocks once an hour) that no eager partition covers',
    }),
  };
}

/** What each stage can wait for at all. */
const STAGE_WAITS: Readonly<Record<PipelineStage, readonly StageWait[]>> = {
  reader: ['input', 'room', 'io_token'],
  worker: ['input', 'cpu_token', 'room'],
  writer: ['input', 'cpu_token', 'io_token'],
};

function createStageMetrics(
  metrics: Metrics,
): Pick<MaterializerMetrics, 'stageBlockedSeconds' | 'stageBusySeconds'> {
  const stageBlockedSeconds = metrics.counter({
    name: 'tracelake_stage_blocked_seconds_total',
    help:
      'Seconds that stages of all pipelines waited: for input (a reader: for the store, I/O tokens included), for ' +
      'room in the next queue, for a CPU token, for an I/O token (counted for each of the reads under way)',
    labels: ['stage', 'waiting_for'],
  });
  const stageBusySeconds = metrics.counter({
    name: 'tracelake_stage_busy_seconds_total',
    help: 'Seconds that workers decoded and writers folded and encoded, over all pipelines',
    labels: ['stage'],
  });
  // From the start, so that a rate is right from the first wait on.
  for (const [stage, waits] of Object.entries(STAGE_WAITS)) {
    for (const waitingFor of waits) stageBlockedSeconds.inc({ stage, waiting_for: waitingFor }, 0);
    if (stage !== 'reader') stageBusySeconds.inc({ stage }, 0);
  }
  return { stageBlockedSeconds, stageBusySeconds };
}

/** Shows how many instances are on the schedules of this replica's lanes, as it is at each scrape. */
export function measureEagerPending(metrics: Metrics, count: () => number): void {
  metrics.gauge({
    name: 'tracelake_materializer_eager_pending',
    help: 'Instances of eager views that wait for their quiet time or for a build',
    collect: count,
  });
}

/** Shows tokens in use beside how many there are, and how many wait for one, as they are at each scrape. */
export function measureTokens(metrics: Metrics, kind: 'cpu' | 'io', pool: TokenPool): void {
  const work =
    kind === 'cpu' ? 'decoding, folding and encoding' : 'reads and writes of the object store';
  metrics.gauge({
    name: `tracelake_${kind}_tokens`,
    help: `Tokens for ${work} that all pipelines share`,
    collect: () => pool.size,
  });
  metrics.gauge({
    name: `tracelake_${kind}_tokens_in_use`,
    help: `Tokens for ${work} that are out`,
    collect: () => pool.inUse,
  });
  metrics.gauge({
    name: `tracelake_${kind}_token_waiters`,
    help: `Stages that wait for a token for ${work}`,
    collect: () => pool.waiting,
  });
}
