import { BlockRecorder } from './block-recorder.ts';

export interface MetricSpec {
  /** Relative to the process's start. */
  readonly ticks: number;
  readonly target?: string;
  readonly name: string;
  readonly unit?: string;
  /** A bigint makes an integer metric, a number a float one. */
  readonly value: number | bigint;
  readonly properties?: Readonly<Record<string, string>>;
}

const INTEGER_METRIC_EVENT = 0;
const FLOAT_METRIC_EVENT = 1;
const TAGGED_FLOAT_METRIC_EVENT = 2;
const TAGGED_INTEGER_METRIC_EVENT = 3;

const METRIC_METADATA_DEPENDENCY = 2;
const PROPERTY_SET_DEPENDENCY = 3;

/** A synthetic `metrics` stream. */
export class MetricRecorder extends BlockRecorder {
  metric(entry: MetricSpec): void {
    const { value, ticks } = entry;
    const description = this.#sendDescription(entry);
    const properties =
      entry.properties && this.sendProperties(PROPERTY_SET_DEPENDENCY, entry.properties);
    const isInteger = typeof value === 'bigint';
    if (properties === undefined) {
      this.beginEvent(isInteger ? INTEGER_METRIC_EVENT : FLOAT_METRIC_EVENT, ticks);
    } else {
      this.beginEvent(isInteger ? TAGGED_INTEGER_METRIC_EVENT : TAGGED_FLOAT_METRIC_EVENT, ticks);
    }
    this.objects.pointer(description);
    if (properties !== undefined) this.objects.pointer(properties);
    if (isInteger) this.objects.bigint64(value);
    else this.objects.f64(value);
    this.writeTime(ticks);
  }

  #sendDescription({ name, unit = '', target = '' }: MetricSpec): number {
    const pointer = this.context.pointerOf(`metric ${JSON.stringify([name, unit, target])}`);
    if (!this.mustSend(pointer)) return pointer;
    const texts = [name, unit, target, target].map((text) => this.sendText(text));
    this.dependencies.u8(METRIC_METADATA_DEPENDENCY);
    this.dependencies.pointer(pointer);
    for (const text of texts) this.dependencies.pointer(text);
    this.dependencies.u32(1);
    this.dependencies.u32(2);
    return pointer;
  }
}
