export interface MetricSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const line = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const label = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** The samples of an answer in Prometheus' text format, by metric; lines that are none are left out. */
export class MetricSamples {
  readonly #byName = new Map<string, MetricSample[]>();

  constructor(text: string) {
    for (const one of text.split('\n')) {
      if (one.startsWith('#')) continue;
      const match = line.exec(one);
      if (match === null) continue;
      const [, name = '', labelText = '', valueText = ''] = match;
      const labels = Object.fromEntries(
        [...labelText.matchAll(label)].map(([, key = '', value = '']) => [key, unescaped(value)]),
      );
      const samples = this.#byName.get(name) ?? [];
      samples.push({ labels, value: numberOf(valueText) });
      this.#byName.set(name, samples);
    }
  }

  /** Empty for a metric that is not told. */
  all(name: string): readonly MetricSample[] {
    return this.#byName.get(name) ?? [];
  }

  /** The one sample of a metric without labels of its own; undefined when it is not told. */
  find(name: string): number | undefined {
    return this.all(name)[0]?.value;
  }
}

function unescaped(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, character: string) =>
    character === 'n' ? '\n' : character,
  );
}

function numberOf(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}
