import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type { Counter, Gauge, Histogram } from 'prom-client';

/** A metric's name, help text and closed set of label names (never process or block ids). */
export interface MetricOptions<Label extends string> {
  /** `tracelake_<noun>_<unit>`, counters end in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly Label[];
}

/** From half a millisecond to a minute: waits and durations in milliseconds. */
export const durationBucketsMs: readonly number[] = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
];

/**
 * The metrics of one service, in a registry of its own so that several services can live in one process.
 */
export class Metrics {
  readonly #registry = new Registry();

  constructor(options: { readonly service: string }) {
    this.#registry.setDefaultLabels({ service: options.service });
  }

  counter<Label extends string = never>(options: MetricOptions<Label>): Counter<Label> {
    return new Counter({
      name: options.name,
      help: options.help,
      labelNames: options.labels ?? [],
      registers: [this.#registry],
    });
  }

  /**
   * `collect` is called at each scrape to read the present value, undefined when there is none to tell now. `collectAll`
   * sets all series of a gauge with labels; the scrape waits for it, so it must be bounded in time and never reject.
   */
  gauge<Label extends string = never>(
    options: MetricOptions<Label> & {
      readonly collect?: () => number | undefined;
      readonly collectAll?: (gauge: Gauge<Label>) => Promise<void>;
    },
  ): Gauge<Label> {
    const { collect, collectAll } = options;
    return new Gauge({
      name: options.name,
      help: options.help,
      labelNames: options.labels ?? [],
      registers: [this.#registry],
      ...(collect === undefined
        ? {}
        : {
            collect() {
              const value = collect();
              if (value === undefined) this.remove();
              else this.set(value);
            },
          }),
      ...(collectAll === undefined
        ? {}
        : {
            async collect() {
              await collectAll(this as Gauge<Label>);
            },
          }),
    });
  }

  histogram<Label extends string = never>(
    options: MetricOptions<Label> & { readonly buckets?: readonly number[] },
  ): Histogram<Label> {
    return new Histogram({
      name: options.name,
      help: options.help,
      labelNames: options.labels ?? [],
      buckets: [...(options.buckets ?? durationBucketsMs)],
      registers: [this.#registry],
    });
  }

  /** Adds what every Node process can tell: memory, event loop lag, garbage collection. */
  collectProcessMetrics(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The Prometheus text of all metrics. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }
}

/** Makes a service's metrics; process metrics are added by `runService`, once a process. */
export function createMetrics(options: { readonly service: string }): Metrics {
  return new Metrics(options);
}
