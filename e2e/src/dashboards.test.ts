/**
 * Scenario: the services take, build, refuse and export telemetry; then every file of deploy/dashboards is read.
 * Guarantees: each is a dashboard that Grafana can show, each expression is PromQL, and every metric, label and value of
 * a label that it names is exported, so that no panel stays empty without anybody noticing.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Dashboard, problemsOfDashboard, questionsOf } from './harness/dashboard-model.ts';
import { type MeasuredStack, startMeasuredStack } from './harness/measured-stack.ts';
import { type ExportedMetrics, findMissing } from './harness/metric-series.ts';

const dashboardsDir = join(import.meta.dirname, '../../deploy/dashboards');

function readDashboards(): { readonly file: string; readonly dashboard: Dashboard }[] {
  const files = readdirSync(dashboardsDir).filter((name) => name.endsWith('.json'));
  assert.notEqual(files.length, 0);
  return files.map((file) => {
    const text = readFileSync(join(dashboardsDir, file), 'utf8');
    return { file, dashboard: JSON.parse(text) as Dashboard };
  });
}

describe('dashboards', () => {
  let stack: MeasuredStack;
  let metrics: ExportedMetrics;

  before(async () => {
    stack = await startMeasuredStack();
    metrics = stack.metrics;
  });

  after(() => stack?.[Symbol.asyncDispose]());

  for (const { file, dashboard } of readDashboards()) {
    test(`${file} is a dashboard that Grafana can show`, () => {
      assert.deepEqual(problemsOfDashboard(dashboard), []);
    });

    test(`${file} asks for nothing that the services do not export`, () => {
      const questions = questionsOf(dashboard);
      const missing = questions.flatMap(({ where, expression, legendLabels }) =>
        findMissing(expression, metrics, legendLabels).map((problem) => `${where}: ${problem}`),
      );
      assert.deepEqual(missing, []);
    });
  }

  test('the pipeline dashboard shows the metrics of every stage', () => {
    const text = readFileSync(join(dashboardsDir, 'pipeline.json'), 'utf8');
    for (const name of ['cpu_queue_depth', 'writer_queue_depth', 'cpu_queue_wait_ms'])
      assert(text.includes(`tracelake_${name}`), name);
    assert(text.includes('tracelake_writer_queue_wait_ms'));
    const blocked = metrics.get('tracelake_stage_blocked_seconds_total') ?? [];
    for (const stage of new Set(blocked.map(({ stage = '' }) => stage)))
      assert(text.includes(`stage=\\"${stage}\\"`), stage);
  });

  test('what is not exported, or is no PromQL, is named', () => {
    const depth = 'tracelake_cpu_queue_depth';
    const blocked = 'tracelake_stage_blocked_seconds_total';
    const cases: [expression: string, problem: RegExp | undefined][] = [
      [`sum by (service) (${depth}{instance=~"$instance"})`, undefined],
      [`rate(${blocked}{stage="reader",waiting_for=~"room|in.*"}[$__rate_interval])`, undefined],
      ['sum(tracelake_cpu_queue_depht)', /no service exports tracelake_cpu_queue_depht/],
      [`${depth}{lane="1"}`, /no label lane/],
      [`sum by (view) (${depth})`, /no label view/],
      [`sum(${depth}) / on (view) sum by (service) (${depth})`, /no label view/],
      [`${blocked}{stage="parser"}`, /no stage = "parser"/],
      [`${blocked}{waiting_for=~"lock|luck"}`, /no waiting_for =~/],
      ['tracelake_http_requests_total{status=~"5.."}', undefined],
      ['tracelake_http_requests_total{status="5xx"}', /no status = "5xx"/],
      [`sum(rate(${blocked}[5m])`, /is no PromQL/],
      ['1 + 1', /no metric/],
    ];
    for (const [expression, problem] of cases) {
      const missing = findMissing(expression, metrics).join('; ');
      if (problem === undefined) assert.equal(missing, '', expression);
      else assert.match(missing, problem, expression);
    }
    assert.match(findMissing(depth, metrics, ['view']).join(), /no label view/);
  });
});
