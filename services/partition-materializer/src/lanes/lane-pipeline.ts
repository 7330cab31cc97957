/**
 * What one lane runs while this replica holds it: a consumer of its requests, a consumer of its telemetry
 * events, the builds of eager views they lead to, and the merging of small runs, with a reader and a writer of
 * its own. Lanes share nothing but the CPU tokens and the turns to merge.
 */

import { type Bus, type BusConsumer, type PartitionEvent, subjectFilters } from '@tracelake/bus';
import type { ViewSet } from '@tracelake/lakehouse';
import type { Logger } from '@tracelake/service-kit';
import type { BuildReport } from '../build/build-report.ts';
import type { BuildRequest, InstanceBuilds } from '../build/instance-builds.ts';
import { CompactionRunner } from '../compaction/compaction-runner.ts';
import type { InstanceCompactor } from '../compaction/instance-compactor.ts';
import type { DeliveryOutcome } from '../delivery-outcome.ts';
import { EagerRunner } from '../eager/eager-runner.ts';
import { type EagerItem, EagerSchedule } from '../eager/eager-schedule.ts';
import { eagerItemsOf } from '../eager/telemetry-handler.ts';
import { handleMaterializeRequest } from '../requests/materialize-handler.ts';
import type { MaterializerMetrics } from '../telemetry-metrics.ts';

export interface LaneSettings {
  readonly debounceMs: number;
  /** Requests of the lane that are built at a time, and as many eager instances. */
  readonly buildsPerLane: number;
  readonly maxDeliver: number;
  readonly buildTimeoutMs: number;
  readonly laneLeaseMs: number;
}

export interface LanePipelineOptions {
  readonly lane: number;
  readonly bus: Bus;
  readonly builds: InstanceBuilds;
  /** Undefined: small runs are left as they are. */
  readonly compactor: InstanceCompactor | undefined;
  readonly eagerViews: readonly ViewSet[];
  readonly settings: LaneSettings;
  readonly metrics: MaterializerMetrics;
  readonly logger: Logger;
  /** Fires when the lease is lost: work under way stops. */
  readonly signal: AbortSignal;
  /** Fires when draining has taken its share of the time to stop: what is under way is handed back. */
  readonly hardStop: AbortSignal;
}

/** Instances of one lane that may wait to be built eagerly; what does not fit is found by catching up. */
const SCHEDULE_CAPACITY = 10_000;
/** Events only put a name on the schedule, so many may be out at once. */
const EVENTS_IN_FLIGHT = 256;

/** Runs until disposed; disposing stops pulling and finishes what is under way. */
export class LanePipeline implements AsyncDisposable {
  readonly #options: LanePipelineOptions;
  readonly #schedule: EagerSchedule;
  readonly #owned = new AsyncDisposableStack();
  readonly #publish: (event: PartitionEvent) => Promise<void>;
  readonly #compaction: CompactionRunner | undefined;

  constructor(options: LanePipelineOptions) {
    this.#options = options;
    const { builds, bus, compactor, logger, settings, signal, hardStop } = options;
    this.#schedule = new EagerSchedule({
      debounceMs: settings.debounceMs,
      capacity: SCHEDULE_CAPACITY,
    });
    this.#publish = async (event) => {
      await bus.publishPartitionEvent(event);
    };
    this.#owned.use(
      new EagerRunner({
        schedule: this.#schedule,
        builds,
        publish: this.#publish,
        logger,
        signal,
        concurrency: settings.buildsPerLane,
      }),
    );
    for (const consumer of [this.#consumeTelemetry(), this.#consumeRequests()]) {
      this.#owned.defer(() => consumer.drain(hardStop));
    }
    // Last, so that it is the first to stop.
    if (compactor !== undefined) {
      const compact = compactor.compact.bind(compactor);
      this.#compaction = this.#owned.use(new CompactionRunner({ compact, logger, signal }));
    }
  }

  get eagerPending(): number {
    return this.#schedule.size;
  }

  /** Puts an instance on the lane's schedule; false when that is full. */
  note(item: EagerItem): boolean {
    return this.#schedule.note(item);
  }

  /** Tells what a build of an instance of this lane came to, wherever it was asked for. */
  noteBuilt(request: BuildRequest, { partitions }: BuildReport): void {
    this.#compaction?.note(request, partitions);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }

  #consumeTelemetry(): BusConsumer {
    const { bus, lane, eagerViews, signal, settings } = this.#options;
    return bus.consume({
      stream: 'TELEMETRY',
      durable: `materializer-eager-${lane}`,
      filterSubject: subjectFilters.telemetry(lane),
      maxAckPending: EVENTS_IN_FLIGHT,
      batch: EVENTS_IN_FLIGHT,
      maxDeliver: settings.maxDeliver,
      ackWaitMs: settings.laneLeaseMs,
      signal,
      handler: (message) => {
        // Acknowledged before it is built, and when there is no room for it: Postgres holds what there is
        // to build, not the event.
        for (const item of eagerItemsOf(message, eagerViews)) this.note(item);
        return this.#count('eager', 'ack');
      },
    });
  }

  #consumeRequests(): BusConsumer {
    const { bus, lane, builds, logger, signal, settings } = this.#options;
    const { maxDeliver, buildsPerLane, buildTimeoutMs } = settings;
    return bus.consume({
      stream: 'MATERIALIZE',
      durable: `materializer-requests-${lane}`,
      filterSubject: subjectFilters.materialize(lane),
      concurrency: buildsPerLane,
      maxAckPending: buildsPerLane,
      maxDeliver,
      // What a replica that died had taken comes again when its lane does: the next owner has room for no other.
      ackWaitMs: settings.laneLeaseMs,
      // The build's own deadline comes first and is answered with its reason.
      handlerTimeoutMs: buildTimeoutMs + 10_000,
      signal,
      handler: async (request, delivery) => {
        const options = { builds, publish: this.#publish, logger, maxDeliver };
        const { deliveryCount: count, signal: handlerSignal } = delivery;
        const about = { count, signal: handlerSignal };
        return this.#count('request', await handleMaterializeRequest(request, about, options));
      },
    });
  }

  #count(consumer: 'request' | 'eager', outcome: DeliveryOutcome): DeliveryOutcome {
    const name = outcome === 'ack' ? 'ack' : 'nakDelayMs' in outcome ? 'nak' : 'dead';
    this.#options.metrics.deliveries.inc({ consumer, outcome: name });
    return outcome;
  }
}
