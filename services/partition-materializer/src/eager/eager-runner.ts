import type { PartitionEvent } from '@tracelake/bus';
import type { Logger } from '@tracelake/service-kit';
import type { InstanceBuilds } from '../build/instance-builds.ts';
import { isPermanent } from '../delivery-outcome.ts';
import { eventOfReport } from '../requests/materialize-handler.ts';
import type { EagerItem, EagerSchedule } from './eager-schedule.ts';

export interface EagerRunnerOptions {
  readonly schedule: EagerSchedule;
  readonly builds: InstanceBuilds;
  readonly publish: (event: PartitionEvent) => Promise<void>;
  readonly logger: Logger;
  /** Fires when the lane is lost: the build under way stops. */
  readonly signal: AbortSignal;
  /** Builds at a time: a long one does not keep the others of its lane waiting. */
  readonly concurrency: number;
}

/** After a failed build, before the next try; the catch-up would come to it as well. */
const RETRY_DELAY_MS = 5000;

/** Builds what falls due in one lane. Disposing finishes the builds under way. */
export class EagerRunner implements AsyncDisposable {
  readonly #options: EagerRunnerOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(options: EagerRunnerOptions) {
    this.#options = options;
    const tasks = Array.from({ length: options.concurrency }, () => this.#run());
    this.#running = Promise.all(tasks);
  }

  async #run(): Promise<void> {
    const { schedule, signal } = this.#options;
    const untilStopped = AbortSignal.any([signal, this.#stop.signal]);
    for (;;) {
      let item: EagerItem;
      try {
        item = await schedule.take(untilStopped);
      } catch {
        // Only an abort ends the wait.
        return;
      }
      await this.#build(item);
    }
  }

  async #build(item: EagerItem): Promise<void> {
    const { builds, publish, logger, schedule, signal } = this.#options;
    const { viewSet: view, instance } = item;
    try {
      const report = await builds.build(item, signal);
      if (report.decision === 'current') return;
      await publish(eventOfReport(item, report)).catch((error) => {
        logger.warn('partition event not published', { view, instance, error });
      });
    } catch (error) {
      if (signal.aborted) return;
      const willRetry = !isPermanent(error);
      logger.warn('eager build failed', { view, instance, willRetry, error });
      if (willRetry) schedule.note(item, RETRY_DELAY_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the lane stops'));
    await this.#running;
  }
}
