/** The rules of deploy/alerts as data, and what is needed to try them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { findTool, type Tool } from './helm-tool.ts';
import type { ExportedMetrics } from './metric-series.ts';

export const alertsDir = join(import.meta.dirname, '../../../deploy/alerts');

export interface PrometheusRule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface RulesFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly PrometheusRule[] }[];
}

export function readRules(): readonly PrometheusRule[] {
  const text = readFileSync(join(alertsDir, 'tracelake.rules.yaml'), 'utf8');
  return (parse(text) as RulesFile).groups.flatMap(({ rules }) => rules);
}

/** Series that do not come from a service: Prometheus' own, and what rules record with the labels they group by. */
export function seriesBesideServices(rules: readonly PrometheusRule[]): ExportedMetrics {
  const recorded = rules.flatMap(({ record, expr }) => {
    if (record === undefined) return [];
    const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(
      ([, labels = '']) => labels.match(/\w+/g) ?? [],
    );
    return [[record, grouped] as const];
  });
  return new Map([
    ['up', [{}]],
    // The values of their labels are those of the series they are made from.
    ...recorded.map(
      ([name, labels]) =>
        [
          name,
          [...STREAMS].map((stream) =>
            Object.fromEntries(labels.map((label) => [label, label === 'stream' ? stream : ''])),
          ),
        ] as const,
    ),
  ]);
}

const STREAMS = ['TELEMETRY', 'MATERIALIZE'];

/** `promtool` of Debian's package `prometheus`; undefined where it is not installed. */
export async function findPromtool(): Promise<Tool | undefined> {
  return await findTool(['promtool'], ['--version']);
}

/** `prometheus` of the same package. */
export async function findPrometheus(): Promise<Tool | undefined> {
  return await findTool(['prometheus'], ['--version']);
}
