import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { judgeSchema } from './backend-findings.ts';
import { type Finding, runbookPath } from './finding.ts';
import { judgeLake } from './lake-findings.ts';
import { MetricSamples } from './metric-samples.ts';
import { judgeServices } from './service-findings.ts';
import type { ServiceLook } from './service-look.ts';

const healthy = {
  tracelake_lake_unannounced_rows: '0',
  tracelake_lake_unannounced_oldest_seconds: '0',
  tracelake_lake_lanes_without_owner: '0',
  tracelake_lake_rejected_blocks: '0',
  tracelake_lake_pending_blocks: '0',
  'tracelake_bus_stream_messages{stream="DEAD"}': '0',
  'tracelake_bus_consumer_pending{stream="TELEMETRY",consumer="lane-3"}': '2',
};

const samplesOf = (changes: Readonly<Record<string, string>>) =>
  new MetricSamples(
    Object.entries({ ...healthy, ...changes })
      .map(([name, value]) => `${name} ${value}`)
      .join('\n'),
  );

const lookAt = (changes: Partial<ServiceLook> = {}): ServiceLook => ({
  service: 'ingest',
  url: 'http://127.0.0.1:4318',
  unreachable: undefined,
  isReady: true,
  failing: [],
  answer: '',
  metrics: undefined,
  version: '0.1.0',
  answeredAs: 'ingest',
  isOurs: true,
  clockAheadMs: 300,
  ...changes,
});

/** What is not well, as `verdict runbook`, and that its page is there. */
function troubles(findings: readonly Finding[]): string[] {
  const found = findings.filter(({ verdict }) => verdict !== 'well');
  for (const { runbook } of found) {
    const page = new URL(`../../../../${runbookPath(runbook ?? '')}`, import.meta.url);
    assert.ok(existsSync(page), `there is a page ${runbook}`);
  }
  return found.map(({ verdict, runbook }) => `${verdict} ${runbook}`);
}

test('a healthy lake is well in everything', () => {
  const findings = judgeLake(samplesOf({}));
  assert.deepEqual(troubles(findings), []);
  assert.equal(findings.length, 6);
});

test('each trouble of the lake is found and has its page', () => {
  const rows = 'tracelake_lake_unannounced_rows';
  const oldest = 'tracelake_lake_unannounced_oldest_seconds';
  const pending = 'tracelake_bus_consumer_pending{stream="TELEMETRY",consumer="lane-3"}';
  const requests = 'tracelake_bus_consumer_pending{stream="MATERIALIZE",consumer="requests-3"}';
  const cases: [Readonly<Record<string, string>>, string[]][] = [
    [{ [rows]: '5', [oldest]: '100' }, []],
    [{ [rows]: '5', [oldest]: '130' }, ['wrong announcements-pending']],
    [{ tracelake_lake_lanes_without_owner: '1' }, ['wrong lane-without-owner']],
    [{ [pending]: '5000' }, ['note consumer-lag']],
    [{ [pending]: '20000' }, ['wrong consumer-lag']],
    [{ [requests]: '99' }, []],
    [{ [requests]: '100' }, ['note consumer-lag']],
    [{ [requests]: '1000' }, ['wrong consumer-lag']],
    [{ 'tracelake_bus_stream_messages{stream="DEAD"}': '1' }, ['note dead-letters']],
    [{ tracelake_lake_rejected_blocks: '1' }, ['note blocks-rejected']],
    [{ tracelake_lake_pending_blocks: '1' }, ['note blocks-pending']],
  ];
  for (const [changes, wanted] of cases) {
    assert.deepEqual(troubles(judgeLake(samplesOf(changes))), wanted, JSON.stringify(changes));
  }
});

test('figures that nobody tells are not known, which is neither well nor wrong', () => {
  assert.deepEqual(troubles(judgeLake(undefined)), ['unknown service-down']);
  const findings = judgeLake(new MetricSamples(''));
  assert.deepEqual(troubles(findings), ['unknown service-not-ready']);
  assert.match(findings[0]?.text ?? '', /announcements, lanes, consumer-lag, dead-letters/);
});

test('each trouble of a service is found and has its page', () => {
  const disk = (free: number) =>
    new MetricSamples(`tracelake_store_free_bytes ${free}\ntracelake_store_size_bytes 1000`);
  const cases: [ServiceLook[], string[]][] = [
    [[lookAt(), lookAt({ service: 'query', answeredAs: 'query' })], []],
    [[lookAt({ answeredAs: 'query' })], ['wrong service-down']],
    [[lookAt({ service: 'materializer', answeredAs: 'partition-materializer' })], []],
    [[lookAt({ answeredAs: undefined, isOurs: false })], ['wrong service-down']],
    [
      [lookAt({ answeredAs: undefined, isOurs: false, isReady: false })],
      ['wrong service-not-ready'],
    ],
    [[lookAt({ unreachable: 'refused' })], ['wrong service-down']],
    [[lookAt({ isReady: false, failing: ['postgres (away)'] })], ['wrong service-not-ready']],
    [[lookAt({ failing: ['nats (away)'] })], ['note service-not-ready']],
    [[lookAt(), lookAt({ service: 'query', version: '0.2.0' })], ['note upgrade']],
    [[lookAt(), lookAt({ service: 'query', version: undefined })], []],
    [[lookAt({ clockAheadMs: -60_000 })], ['note service-not-ready']],
    [[lookAt({ metrics: disk(500) })], []],
    [[lookAt({ metrics: disk(80) })], ['note disk-filling']],
    [[lookAt({ metrics: disk(10) }), lookAt({ metrics: disk(10) })], ['wrong disk-filling']],
  ];
  for (const [looks, wanted] of cases) {
    assert.deepEqual(troubles(judgeServices(looks)), wanted);
  }
});

test('a schema that is older than the release needs is wrong, a newer one that fits is a note', () => {
  const judge = (version: number, missing: number) =>
    troubles([judgeSchema({ version, codeVersion: 4, missing })]);
  assert.deepEqual(judge(4, 0), []);
  assert.deepEqual(judge(3, 1), ['wrong upgrade']);
  assert.deepEqual(judge(0, 4), ['wrong upgrade']);
  assert.deepEqual(judge(5, 0), ['note upgrade']);
});
