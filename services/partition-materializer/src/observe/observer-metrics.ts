import type { BusFigures } from '@tracelake/bus';
import type { Counter, Gauge, Metrics } from '@tracelake/service-kit';
import type { LakeFigures } from '@tracelake/storage';

/** What a look can fail at. */
export type ObservedSource = 'lake' | 'bus';

/** What the lake and the bus hold, the same from every replica. A figure that is not known now is left out. */
export interface ObserverMetrics {
  showLake(figures: LakeFigures | undefined): void;
  showBus(figures: BusFigures | undefined): void;
  readonly failures: Counter<'source'>;
}

/** What each gauge of the lake shows, and how exact that is (see LakeFigures). */
const LAKE_GAUGES: readonly {
  readonly name: string;
  readonly help: string;
  readonly of: (figures: LakeFigures) => number | undefined;
}[] = [
  {
    name: 'blocks',
    help: 'Blocks stored; an estimate when they are many',
    of: ({ blocks }) => blocks,
  },
  {
    name: 'blob_bytes',
    help: 'Bytes of stored payloads; an estimate from a sample when blocks are many',
    of: ({ blobBytes }) => blobBytes,
  },
  {
    name: 'partition_bytes',
    help: 'Bytes of the files of partitions; an estimate from a sample when partitions are many',
    of: ({ partitionBytes }) => partitionBytes,
  },
  {
    name: 'oldest_block_timestamp_seconds',
    help: 'When the oldest block came, Unix time; no series without blocks',
    of: ({ oldestBlockUs }) =>
      oldestBlockUs === undefined ? undefined : Number(oldestBlockUs) / 1e6,
  },
  {
    name: 'unannounced_rows',
    help: 'Rows that the bus has not been told of; exact up to 100,000',
    of: ({ unannouncedRows }) => unannouncedRows,
  },
  {
    name: 'unannounced_oldest_seconds',
    help: 'How long the oldest row waits to be announced; 0 without any',
    of: ({ unannouncedOldestMs }) => unannouncedOldestMs / 1000,
  },
  {
    name: 'pending_blocks',
    help: 'Blocks without their stream or process, of the latest 20,000 of the last hour',
    of: ({ pendingBlocks }) => pendingBlocks,
  },
  {
    name: 'rejected_blocks',
    help: 'Blocks that a view could not decode, once for each view; exact up to 100,000',
    of: ({ rejectedBlocks }) => rejectedBlocks,
  },
  {
    name: 'lanes_without_owner',
    help: 'Lanes that no replica holds a lease on',
    of: ({ lanesWithoutOwner }) => lanesWithoutOwner,
  },
];

export function createObserverMetrics(metrics: Metrics): ObserverMetrics {
  const lake = LAKE_GAUGES.map(({ name, help, of }) => {
    return { gauge: withoutSeries(metrics.gauge({ name: `tracelake_lake_${name}`, help })), of };
  });
  const observedAt = withoutSeries(
    metrics.gauge({
      name: 'tracelake_lake_observed_timestamp_seconds',
      help: 'When the figures of the lake were read, Unix time',
    }),
  );
  const failures = metrics.counter({
    name: 'tracelake_lake_observe_failures_total',
    help: 'Looks at the lake or the bus that failed or took too long; their figures are left out until the next',
    labels: ['source'],
  });
  for (const source of ['lake', 'bus'] satisfies ObservedSource[]) failures.inc({ source }, 0);
  return {
    failures,
    showLake(figures) {
      for (const { gauge, of } of lake) setOrRemove(gauge, figures && of(figures));
      setOrRemove(observedAt, figures && Date.now() / 1000);
    },
    showBus: createBusGauges(metrics),
  };
}

function createBusGauges(metrics: Metrics): ObserverMetrics['showBus'] {
  const ofConsumers = ['stream', 'consumer'] as const;
  const pending = metrics.gauge({
    name: 'tracelake_bus_consumer_pending',
    help: 'Messages of a durable consumer that no replica has taken yet',
    labels: ofConsumers,
  });
  const unacknowledged = metrics.gauge({
    name: 'tracelake_bus_consumer_unacknowledged',
    help: 'Messages of a durable consumer that are taken and not settled',
    labels: ofConsumers,
  });
  const messages = metrics.gauge({
    name: 'tracelake_bus_stream_messages',
    help: 'Messages in a stream; those of DEAD are dead letters',
    labels: ['stream'],
  });
  const bytes = metrics.gauge({
    name: 'tracelake_bus_stream_bytes',
    help: 'Bytes in a stream',
    labels: ['stream'],
  });
  return (figures) => {
    // Consumers and streams that are gone must not leave their last figure behind.
    for (const gauge of [pending, unacknowledged, messages, bytes]) gauge.reset();
    for (const one of figures?.streams ?? []) {
      messages.set({ stream: one.stream }, one.messages);
      bytes.set({ stream: one.stream }, one.bytes);
    }
    for (const { stream, consumer, ...one } of figures?.consumers ?? []) {
      pending.set({ stream, consumer }, one.pending);
      unacknowledged.set({ stream, consumer }, one.unacknowledged);
    }
  };
}

/** A gauge without labels begins with a 0 that nobody measured. */
function withoutSeries(gauge: Gauge): Gauge {
  gauge.remove();
  return gauge;
}

function setOrRemove(gauge: Gauge, value: number | undefined): void {
  if (value === undefined) gauge.remove();
  else gauge.set(value);
}
