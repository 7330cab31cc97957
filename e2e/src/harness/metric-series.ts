/** What services export at `/metrics`, and what a PromQL expression asks for of it. */

import { parser } from '@prometheus-io/lezer-promql';

type Labels = Readonly<Record<string, string>>;

/** Every series by metric name; a metric without a series yet is there too. */
export type ExportedMetrics = ReadonlyMap<string, readonly Labels[]>;

/** Labels that Prometheus adds to whatever it scrapes, and that of a histogram's buckets. */
const SCRAPE_LABELS: ReadonlySet<string> = new Set(['instance', 'job']);

export async function readExportedMetrics(urls: readonly string[]): Promise<ExportedMetrics> {
  const metrics = new Map<string, Labels[]>();
  const seriesOf = (name: string) => {
    const series = metrics.get(name) ?? [];
    metrics.set(name, series);
    return series;
  };
  for (const url of urls) {
    const response = await fetch(`${url}/metrics`);
    for (const line of (await response.text()).split('\n')) {
      const declared = /^# TYPE (\S+) /.exec(line)?.[1];
      if (declared !== undefined) seriesOf(declared);
      const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line);
      if (sample !== null) seriesOf(sample[1] ?? '').push(parseLabels(sample[2] ?? ''));
    }
  }
  return metrics;
}

function parseLabels(text: string): Labels {
  const pairs = text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, value]));
}

interface Matcher {
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
  readonly from: number;
  readonly to: number;
}

/**
 * Says what an expression asks for that no service exports: a metric, a label, or a value of a label. Grafana's variables
 * stand for anything. `alsoLabels` are asked of every metric of the expression, as a legend does.
 */
export function findMissing(
  expression: string,
  metrics: ExportedMetrics,
  alsoLabels: readonly string[] = [],
): readonly string[] {
  const query = expression.replaceAll(/\$__(?:rate_)?interval\b/g, '5m');
  const { selectors, groupings, problems } = readExpression(query);
  if (selectors.length === 0) problems.push('asks for no metric');
  for (const { metric, matchers, from, to } of selectors) {
    const series = metrics.get(metric);
    if (series === undefined) {
      problems.push(`no service exports ${metric}`);
      continue;
    }
    const grouped = groupings
      .filter((group) => group.from <= from && to <= group.to)
      .map(({ label }) => label);
    for (const label of new Set([...grouped, ...alsoLabels, ...matchers.map((m) => m.label)])) {
      if (SCRAPE_LABELS.has(label) || series.some((labels) => label in labels)) continue;
      problems.push(`${metric} has no label ${label}`);
    }
    for (const matcher of matchers) {
      if (matchesSome(matcher, series)) continue;
      const { label, operator, value } = matcher;
      problems.push(`${metric} has no ${label} ${operator} "${value}"`);
    }
  }
  return problems;
}

/** HTTP statuses, any of which a service may come to answer. */
const STATUSES: readonly string[] = [...Array(500).keys()].map((index) => String(100 + index));

function matchesSome({ label, operator, value }: Matcher, series: readonly Labels[]): boolean {
  if (value.includes('$') || SCRAPE_LABELS.has(label) || operator.startsWith('!')) return true;
  const pattern = operator === '=~' ? new RegExp(`^(?:${value})$`) : undefined;
  // Faults have series only once they happen: of statuses and codes only the form can be checked.
  if (label === 'status') return STATUSES.some((one) => pattern?.test(one) ?? one === value);
  if (label === 'code') return /^[a-z]+(?:-[a-z]+)*\.[a-z]+(?:-[a-z]+)*$/.test(value);
  return series.some((labels) => {
    const actual = labels[label];
    return actual !== undefined && (pattern?.test(actual) ?? actual === value);
  });
}

interface ReadExpression {
  readonly selectors: readonly Selector[];
  /** Labels of `by`, `on` and their like, with the part of the query that must have them. */
  readonly groupings: readonly {
    readonly label: string;
    readonly from: number;
    readonly to: number;
  }[];
  readonly problems: string[];
}

function readExpression(query: string): ReadExpression {
  const selectors: Selector[] = [];
  const groupings: { label: string; from: number; to: number }[] = [];
  const problems: string[] = [];
  parser.parse(query).iterate({
    enter: ({ type, from, to, node }) => {
      if (type.isError) problems.push(`is no PromQL at "${query.slice(from, to + 20)}"`);
      if (type.name === 'VectorSelector') selectors.push(readSelector(query, from, to));
      if (type.name !== 'GroupingLabels') return;
      // The clause stands inside of what it groups.
      const whole = node.parent?.parent ?? node;
      for (const label of query.slice(from, to).match(/\w+/g) ?? []) {
        groupings.push({ label, from: whole.from, to: whole.to });
      }
    },
  });
  return { selectors, groupings, problems };
}

function readSelector(query: string, from: number, to: number): Selector {
  const text = query.slice(from, to);
  const metric = /^[\w:]*/.exec(text)?.[0] ?? '';
  const found = text.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g);
  const matchers = [...found].map(([, label = '', operator = '', value = '']) => {
    return { label, operator, value };
  });
  return { metric, matchers, from, to };
}
