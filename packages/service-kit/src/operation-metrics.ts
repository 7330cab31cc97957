/** What every service tells of itself: its version, and whether each thing it depends on serves it. */

import { readFileSync } from 'node:fs';
import type { Metrics } from './metrics.ts';
import type { CheckReport, Readiness } from './readiness.ts';

/**
 * Adds `tracelake_build_info` and, asked anew at each scrape in the time that `/readyz` may take, one series for each
 * dependency of `tracelake_ready` and `tracelake_dependency_check_seconds`.
 */
export function registerOperationMetrics(metrics: Metrics, readiness: Readiness): void {
  metrics
    .gauge({
      name: 'tracelake_build_info',
      help: 'Always 1; its label tells the version that runs',
      labels: ['version'],
    })
    .set({ version: readVersion() }, 1);
  // Both gauges are collected at the same time, and callers that come while a check runs share its result.
  const eachCheck = async (set: (dependency: string, report: CheckReport) => void) => {
    const { checks } = await readiness.check();
    for (const [dependency, report] of Object.entries(checks)) set(dependency, report);
  };
  metrics.gauge({
    name: 'tracelake_ready',
    help: 'Whether a dependency serves: 1 or 0; those that the service can do without for a while included',
    labels: ['dependency'],
    collectAll: (gauge) =>
      eachCheck((dependency, { status }) => gauge.set({ dependency }, status === 'ok' ? 1 : 0)),
  });
  metrics.gauge({
    name: 'tracelake_dependency_check_seconds',
    help: 'How long the check of a dependency took at this scrape; at most the time a check may take',
    labels: ['dependency'],
    collectAll: (gauge) =>
      eachCheck((dependency, { durationMs }) => gauge.set({ dependency }, durationMs / 1000)),
  });
}

/** All packages have one version, which is also that of the images. */
function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version?: unknown }).version);
}
