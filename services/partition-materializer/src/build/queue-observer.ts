import type { PipelineObserver } from '@tracelake/channels';
import type { Gauge } from '@tracelake/service-kit';
import type { MaterializerMetrics } from '../telemetry-metrics.ts';

/**
 * Adds one pipeline's queues to the gauges of all, and its waits to the counters; disposing takes what is left of the
 * queues out again.
 */
export function createQueueObserver(metrics: MaterializerMetrics): PipelineObserver & Disposable {
  const cpu = new GaugeShare(metrics.cpuQueueDepth);
  const writer = new GaugeShare(metrics.writerQueueDepth);
  return {
    ...createStageObserver(metrics),
    cpuQueueDepth: (depth) => cpu.set(depth),
    writerQueueDepth: (depth) => writer.set(depth),
    cpuQueueWaitMs: (waitMs) => metrics.cpuQueueWaitMs.observe(waitMs),
    writerQueueWaitMs: (waitMs) => metrics.writerQueueWaitMs.observe(waitMs),
    [Symbol.dispose]: () => {
      cpu.set(0);
      writer.set(0);
    },
  };
}

/** What stages do with their time; one serves any number of pipelines. */
export function createStageObserver({
  stageBlockedSeconds,
  stageBusySeconds,
}: MaterializerMetrics): PipelineObserver {
  return {
    blocked: (stage, waitingFor, waitMs) =>
      stageBlockedSeconds.inc({ stage, waiting_for: waitingFor }, waitMs / 1000),
    busy: (stage, busyMs) => stageBusySeconds.inc({ stage }, busyMs / 1000),
  };
}

class GaugeShare {
  readonly #gauge: Gauge;
  #share = 0;

  constructor(gauge: Gauge) {
    this.#gauge = gauge;
  }

  set(value: number): void {
    this.#gauge.inc(value - this.#share);
    this.#share = value;
  }
}
