/**
 * Scenario: the services run under a real Prometheus with the rules of deploy/alerts, while faults are made one after the
 * other: NATS is stopped, blocks are poisoned or lack their stream, a request cannot be fulfilled, builds hang, the object
 * store fails, the materializer is killed.
 * Guarantees: every metric, label and value that a rule asks for is exported; the alert of a fault fires, and ends with it.
 */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Bus, connectBus, openDeadLetters } from '@tracelake/bus';
import { ensureExists, parseProcessId } from '@tracelake/domain';
import { RecordingBuilder } from '@tracelake/test-kit';
import pg from 'pg';
import {
  alertsDir,
  findPrometheus,
  readRules,
  seriesBesideServices,
} from './harness/alert-rules.ts';
import { eventually, replay } from './harness/client.ts';
import {
  type MeasuredStack,
  poisonedRequests,
  startMeasuredStack,
} from './harness/measured-stack.ts';
import { findMissing } from './harness/metric-series.ts';
import { type PrometheusServer, startPrometheus } from './harness/prometheus-server.ts';

const LANES = 8;
const FIRES_WITHIN_MS = 60_000;
const prometheusTool = await findPrometheus();
const skip = prometheusTool === undefined && 'Prometheus is not installed (Debian: prometheus)';

let stack: MeasuredStack;
before(async () => {
  stack = await startMeasuredStack();
});
after(() => stack?.[Symbol.asyncDispose]());

test('rules ask for nothing that the services do not export', () => {
  const rules = readRules();
  const known = new Map([...stack.metrics, ...seriesBesideServices(rules)]);
  const missing = rules
    .filter(({ expr }) => !/^vector\(\d/.test(expr))
    .flatMap(({ alert, record, expr }) =>
      findMissing(expr, known).map((problem) => `${alert ?? record}: ${problem}`),
    );
  assert.deepEqual(missing, []);
});

/** The rules as they are, but for time: what takes minutes takes seconds. */
function hastenedRules(): string {
  const text = readFileSync(join(alertsDir, 'tracelake.rules.yaml'), 'utf8');
  const shorter: [RegExp, string][] = [
    [/for: \d+[mh]/g, 'for: 2s'],
    [/\[\d+[mh]\]/g, '[15s]'],
    [/(unannounced_oldest_seconds\)) > 120/g, '$1 > 2'],
    [/(stream="MATERIALIZE"\}) > 100/g, '$1 > 3'],
  ];
  return shorter.reduce((rules, [pattern, by]) => {
    assert.match(rules, pattern);
    return rules.replaceAll(pattern, by);
  }, text);
}

describe('faults of running services', { skip }, () => {
  let prometheus: PrometheusServer;
  let bus: Bus;
  let database: pg.Client;
  const owned = new AsyncDisposableStack();

  before(async () => {
    assert.ok(prometheusTool);
    const { ingest, materializer, traceExport, query } = stack;
    prometheus = owned.use(
      await startPrometheus({
        command: prometheusTool.command,
        rules: hastenedRules(),
        targets: {
          ingest: ingest.url,
          'trace-export': traceExport.url,
          query: query.url,
          'partition-materializer': materializer.url,
        },
      }),
    );
    bus = owned.use(await connectBus({ servers: stack.nats.url, name: 'test', lanes: LANES }));
    database = new pg.Client(stack.databaseUrl);
    await database.connect();
    owned.defer(() => database.end());
    await eventually(
      async () => ((await prometheus.seriesCount('up == 1')) === 4 ? true : undefined),
      'the first scrapes',
      30_000,
    );
  });
  after(() => owned.disposeAsync());

  const becomes = (alert: string, isFiring: boolean) =>
    eventually(
      async () => ((await prometheus.firing()).has(alert) === isFiring ? true : undefined),
      `${alert} ${isFiring ? 'fires' : 'ends'}`,
      FIRES_WITHIN_MS,
    );

  test('in health no alert fires that a later test provokes', async () => {
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const provoked = [
      ...['AnnouncementsPending', 'BlocksPending', 'BlocksRejected', 'ConsumerLag', 'DeadLetters'],
      ...['IngestErrors', 'LaneWithoutOwner', 'ServiceDown', 'ServiceNotReady'],
    ];
    const firing = await prometheus.firing();
    assert.deepEqual(
      provoked.filter((name) => firing.has(`Tracelake${name}`)),
      [],
    );
  });

  test('NATS is away: announcements wait, and services say what does not serve them', async () => {
    await stack.nats.stop();
    const recording = new RecordingBuilder({ seed: 10 });
    recording.log({ ticks: 1000, message: 'unheard' });
    recording.logStream.flushBlock();
    await replay(stack.ingest.url, recording.requests());
    await becomes('TracelakeAnnouncementsPending', true);
    await becomes('TracelakeServiceNotReady', true);
    await stack.nats.start();
    await becomes('TracelakeAnnouncementsPending', false);
    await becomes('TracelakeServiceNotReady', false);
  });

  test('a block is poisoned: rejected blocks are told of, and then known', async () => {
    await replay(stack.ingest.url, poisonedRequests(11));
    await becomes('TracelakeBlocksRejected', true);
    await becomes('TracelakeBlocksRejected', false);
  });

  test('blocks lack their stream: they are told of until it comes', async () => {
    const recording = new RecordingBuilder({ seed: 12 });
    recording.log({ ticks: 1000, message: 'whose stream is late' });
    recording.logStream.flushBlock();
    const requests = recording.requests();
    const streams = requests.filter(({ path }) => path.endsWith('insert_stream'));
    await replay(
      stack.ingest.url,
      requests.filter((request) => !streams.includes(request)),
    );
    await becomes('TracelakeBlocksPending', true);
    await replay(stack.ingest.url, streams);
    await becomes('TracelakeBlocksPending', false);
  });

  test('a request can never be fulfilled: its dead letter is told of until it is gone', async () => {
    await bus.requestMaterialization(requestOf(randomUUID(), randomUUID()));
    await becomes('TracelakeDeadLetters', true);
    const signal = AbortSignal.timeout(FIRES_WITHIN_MS);
    const servers = stack.nats.url;
    await using letters = await openDeadLetters({ servers, name: 'operator', signal });
    for await (const letter of letters.list({ signal }))
      await letters.discard(letter.sequence, signal);
    await becomes('TracelakeDeadLetters', false);
  });

  test('builds hang: requests that wait are told of until they go on', async () => {
    const recording = new RecordingBuilder({ seed: 14 });
    const instances = Array.from({ length: 12 }, (_, index) => {
      const thread = recording.addThread({ name: `thread ${index}`, id: `${index}` });
      thread.begin({ name: 'work' }, 1000);
      thread.flushBlock({ endTicks: 2000 });
      return thread.stream.streamId;
    });
    await replay(stack.ingest.url, recording.requests());
    await database.query(
      `INSERT INTO claims (view_set, instance, owner, expires_at)
        SELECT 'thread_spans', unnest($1::text[]), 'a replica that hangs', now() + interval '1 hour'`,
      [instances],
    );
    for (const instance of instances) {
      await bus.requestMaterialization(requestOf(recording.processId, instance));
    }
    await becomes('TracelakeConsumerLag', true);
    await database.query(`DELETE FROM claims WHERE owner = 'a replica that hangs'`);
    await becomes('TracelakeConsumerLag', false);
  });

  test('the object store fails: ingest answers errors until it serves again', async () => {
    const aside = `${stack.objectsDir}.aside`;
    await rename(stack.objectsDir, aside);
    await writeFile(stack.objectsDir, 'not a directory');
    const recording = new RecordingBuilder({ seed: 13 });
    recording.log({ ticks: 1000, message: 'refused' });
    recording.logStream.flushBlock();
    const sending = replay(stack.ingest.url, recording.requests());
    await becomes('TracelakeIngestErrors', true);
    await rename(stack.objectsDir, `${aside}.file`);
    await rename(aside, stack.objectsDir);
    await sending;
    await becomes('TracelakeIngestErrors', false);
  });

  test('the materializer is killed: its lanes have no owner, and it is down', async () => {
    await stack.materializer.end('SIGKILL');
    await becomes('TracelakeLaneWithoutOwner', true);
    await becomes('TracelakeServiceDown', true);
  });
});

function requestOf(processId: string, instance: string) {
  const id = ensureExists(parseProcessId(processId), 'a process id');
  const range = { beginNs: undefined, endNs: undefined };
  return {
    ...{ viewSet: 'thread_spans', instance, processId: id },
    ...{ wantedHash: 'w', attempt: 1, ...range },
  };
}
