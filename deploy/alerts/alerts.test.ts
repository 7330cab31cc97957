/**
 * Scenario: the rules and their tests, read as data, and by promtool where it is installed.
 * Guarantees: whoever is alerted finds a page that says what to do, and each alert is known to fire and to be quiet.
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import {
  alertsDir,
  findPromtool,
  type PrometheusRule,
  readRules,
} from '../../e2e/src/harness/alert-rules.ts';
import { runTool } from '../../e2e/src/harness/helm-tool.ts';

interface TestFile {
  readonly tests: readonly {
    readonly promql_expr_test?: readonly {
      readonly expr: string;
      readonly exp_samples: readonly { readonly value: number }[];
    }[];
  }[];
}

const rootDir = path.join(alertsDir, '../..');
const runbooksDir = path.join(rootDir, 'deploy/runbooks');
const alerts = readRules().filter((rule) => rule.alert !== undefined);
const promtool = await findPromtool();
const skip = promtool === undefined && 'promtool is not installed (Debian: prometheus)';

/** TracelakeDeadLetters has its page in dead-letters.md. */
function pageOf({ alert = '' }: PrometheusRule): string {
  const words = alert.replace(/^Tracelake/, '').match(/[A-Z][a-z]+/g) ?? [];
  return `${words.join('-').toLowerCase()}.md`;
}

for (const rule of alerts) {
  describe(`${rule.alert}`, () => {
    test('says how urgent it is, what is wrong and where the page is', () => {
      assert.match(rule.alert ?? '', /^Tracelake(?:[A-Z][a-z]+)+$/);
      assert.ok(
        ['page', 'ticket'].includes(rule.labels?.severity ?? ''),
        `severity ${rule.labels?.severity}`,
      );
      assert.ok((rule.annotations?.summary ?? '').length > 10);
      assert.ok((rule.annotations?.description ?? '').length > 30);
      assert.ok(rule.annotations?.runbook_url?.endsWith(`/${pageOf(rule)}`));
    });

    test('has a page among the runbooks', {
      skip: !existsSync(runbooksDir) && 'there are no runbooks',
    }, () => {
      assert.ok(existsSync(path.join(runbooksDir, pageOf(rule))), pageOf(rule));
    });

    test('is tested to fire and not to fire too early', () => {
      const text = readFileSync(path.join(alertsDir, 'tracelake.tests.yaml'), 'utf8');
      const asked = (parse(text) as TestFile).tests
        .flatMap(({ promql_expr_test: questions = [] }) => questions)
        .filter(({ expr }) => expr.includes(`alertname="${rule.alert}"`));
      assert.ok(asked.some((question) => question.exp_samples[0]?.value === 1));
      assert.ok(asked.some((question) => question.exp_samples.length === 0));
    });
  });
}

test('each page of an alert among the runbooks has its alert', {
  skip: !existsSync(runbooksDir) && 'there are no runbooks',
}, () => {
  const known = new Set(alerts.map(({ alert }) => alert));
  for (const file of readdirSync(runbooksDir)) {
    const text = readFileSync(path.join(runbooksDir, file), 'utf8');
    const named = /^# (Tracelake\w+)/.exec(text)?.[1];
    // "# Tracelake: …" is no alert's page.
    if (named !== undefined && named !== 'Tracelake') assert.ok(known.has(named), file);
  }
});

test('names are given once', () => {
  const names = readRules().map(({ alert, record }) => alert ?? record);
  assert.equal(new Set(names).size, names.length);
});

test('problem codes that rules ask for are codes of the services', () => {
  const codes = readRules().flatMap(({ expr }) =>
    [...expr.matchAll(/code="([^"]+)"/g)].map(([, code = '']) => code),
  );
  assert.ok(codes.length > 0);
  const sources = globSync('services/*/src/**/*.ts', { cwd: rootDir })
    .filter((file) => !file.endsWith('.test.ts'))
    .map((file) => readFileSync(path.join(rootDir, file), 'utf8'))
    .join('\n');
  for (const code of codes) assert.ok(sources.includes(`'${code}'`), code);
});

test('promtool takes the rules', { skip }, async () => {
  assert.ok(promtool);
  const file = path.join(alertsDir, 'tracelake.rules.yaml');
  const { ok, output } = await runTool(promtool.command, ['check', 'rules', file]);
  assert.ok(ok, output);
});

test('promtool finds each alert firing for its fault and quiet in health', { skip }, async () => {
  assert.ok(promtool);
  const file = path.join(alertsDir, 'tracelake.tests.yaml');
  const { ok, output } = await runTool(promtool.command, ['test', 'rules', file]);
  assert.ok(ok, output);
});
