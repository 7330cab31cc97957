/**
 * Looks at what the lake and the bus hold, for metrics. Every replica does, so that the figures do not end with one of
 * them; a look costs Postgres some milliseconds however large the lake is.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '@tracelake/bus';
import type { Logger } from '@tracelake/service-kit';
import { type Database, readLakeFigures } from '@tracelake/storage';
import type { ObservedSource, ObserverMetrics } from './observer-metrics.ts';

export interface LakeObserverOptions {
  readonly database: Pick<Database, 'transaction'>;
  readonly bus: Pick<Bus, 'readFigures'>;
  readonly lanes: number;
  readonly intervalMs: number;
  readonly metrics: ObserverMetrics;
  readonly logger: Logger;
}

/** A look that takes longer is given up: figures of a sick store are not worth more of its time. */
const LOOK_MAX_MS = 5000;

/** Before the first look, in which the connection to the bus is made. */
const START_MS = 1000;

/** Looks soon and then at its interval until disposed. */
export class LakeObserver implements AsyncDisposable {
  readonly #options: LakeObserverOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #failing = new Set<ObservedSource>();

  constructor(options: LakeObserverOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const { intervalMs } = this.#options;
    const pause = (ms: number) => sleep(ms, undefined, { signal, ref: false }).catch(() => {});
    await pause(Math.min(START_MS, intervalMs));
    while (!signal.aborted) {
      await Promise.all([this.#lookAtLake(), this.#lookAtBus()]);
      await pause(intervalMs);
    }
  }

  async #lookAtLake(): Promise<void> {
    const { database, lanes, metrics } = this.#options;
    const figures = await this.#look('lake', (signal) =>
      database.transaction((transaction) => readLakeFigures(transaction, { lanes }), {
        isolation: 'repeatable read',
        readOnly: true,
        signal,
      }),
    );
    metrics.showLake(figures);
  }

  async #lookAtBus(): Promise<void> {
    const { bus, metrics } = this.#options;
    metrics.showBus(await this.#look('bus', (signal) => bus.readFigures(signal)));
  }

  /** Undefined when it fails, which is logged once for each time that a source goes away. */
  async #look<T>(
    source: ObservedSource,
    read: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(LOOK_MAX_MS)]);
    try {
      const figures = await read(signal);
      this.#failing.delete(source);
      return figures;
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined;
      const { metrics, logger } = this.#options;
      metrics.failures.inc({ source });
      if (!this.#failing.has(source)) logger.warn('figures cannot be read', { source, error });
      this.#failing.add(source);
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the observer stops'));
    await this.#running;
  }
}
