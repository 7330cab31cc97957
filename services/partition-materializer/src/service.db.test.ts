/**
 * Scenario: the service on a real Postgres, nats-server and directory of objects.
 * Guarantees: requests are answered by events, eager views follow the blocks, and no loss of events, of
 * the bus or of a replica loses or doubles a row.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { laneOf } from '@tracelake/bus';
import { parseProcessId } from '@tracelake/domain';
import { createViewRegistry, type ViewSet } from '@tracelake/lakehouse';
import { loadFixture, RecordingBuilder } from '@tracelake/test-kit';
import { view as logLevels } from '../test/log-levels-view.ts';
import {
  eventually,
  LANES,
  openServiceLab,
  type RunningMaterializer,
  type ServiceLab,
} from '../test/service-lab.ts';
import { canonicalRows, expectedRows, readViewRows } from '../test/view-rows.ts';

let lab: ServiceLab;
before(async () => {
  lab = await openServiceLab();
});
after(() => lab[Symbol.asyncDispose]());

let nextSeed = 1;

/** A process with `lines` log lines, one a block. */
function recordLines(lines: number): { processId: string; recording: RecordingBuilder } {
  const recording = new RecordingBuilder({ seed: nextSeed++ + process.pid * 1000 });
  for (let line = 0; line < lines; line++) {
    recording.log({ ticks: 1000 * (line + 1), message: `line ${line}` });
    recording.logStream.flushBlock();
  }
  return { processId: recording.processId, recording };
}

async function messagesOf(processId: string): Promise<string[]> {
  const target = { viewSet: 'log_entries', instance: processId, columns: ['msg'] };
  return (await readViewRows(lab.lake, target)).map(([text]) => text ?? '');
}

async function hasLines(processId: string, lines: number): Promise<boolean> {
  const messages = await messagesOf(processId);
  assert.equal(new Set(messages).size, messages.length, 'no row twice');
  return messages.length === lines;
}

function requestOf(viewSet: string, instance: string, processId: string, attempt = 1) {
  const id = parseProcessId(processId);
  assert.ok(id);
  const range = { beginNs: undefined, endNs: undefined };
  return { viewSet, instance, processId: id, wantedHash: 'w', attempt, ...range };
}

const ready = (service: RunningMaterializer) =>
  eventually(
    'lanes held',
    async () => (await service.metric('tracelake_materializer_lanes_held')) === LANES,
  );

test('log partitions appear within 5 s of a block with no request', async () => {
  await using service = await lab.start();
  await ready(service);
  const { processId, recording } = recordLines(3);
  for (const request of recording.requests()) await lab.ingest(request);
  const startMs = performance.now();
  await eventually('three lines', () => hasLines(processId, 3), 5000);
  console.log(`log lines readable after ${Math.round(performance.now() - startMs)} ms`);
});

test('a block that waited for its stream and process is built once they are there', async () => {
  await using service = await lab.start({ TRACELAKE_MATERIALIZER_CATCH_UP_INTERVAL_S: '3600' });
  await ready(service);
  const { processId, recording } = recordLines(2);
  for (const request of recording.requests().toReversed()) await lab.ingest(request);
  await eventually('two lines', () => hasLines(processId, 2), 5000);
});

test('a request is answered by an event, and asked again the partition is current', async () => {
  await using service = await lab.start();
  const fixture = loadFixture('small');
  for (const request of fixture.requests) await lab.lake.ingest(request);
  const viewSet = 'async_events';
  const instance = fixture.processId;
  await using waiter = await lab.bus.waitForPartitionEvents({ viewSet, instance });
  for (const [attempt, outcome] of [
    [1, 'written'],
    [2, 'current'],
  ] as const) {
    await lab.bus.requestMaterialization(requestOf(viewSet, instance, instance, attempt));
    const event = await waiter.next({ signal: AbortSignal.timeout(10_000) });
    assert.equal(event?.outcome, outcome);
  }
  const expected = fixture.expected('async_events');
  const rows = await readViewRows(lab.lake, { viewSet, instance, columns: expected.header });
  assert.deepEqual(canonicalRows(expected.header, rows), expectedRows(expected));
  const messages = service.logLines.map(({ msg }) => msg);
  assert.ok(messages.includes('partition up to date'));
});

test('a request that can never succeed fails by name and does not block its lane', async () => {
  await using service = await lab.start();
  const { processId, recording } = recordLines(1);
  for (const request of recording.requests()) await lab.lake.ingest(request);
  const viewSet = 'thread_spans';
  const instance = '11111111-1111-4111-8111-111111111111';
  await using waiter = await lab.bus.waitForPartitionEvents([
    { viewSet, instance },
    { viewSet: 'measures', instance: processId },
  ]);
  await lab.bus.requestMaterialization(requestOf(viewSet, instance, processId));
  await lab.bus.requestMaterialization(requestOf('measures', processId, processId));
  const outcomes = new Map<string, string | undefined>();
  while (outcomes.size < 2) {
    const event = await waiter.next({ signal: AbortSignal.timeout(10_000) });
    if (event !== undefined) outcomes.set(event.viewSet, event.errorCode ?? event.outcome);
  }
  assert.equal(outcomes.get('thread_spans'), 'materializer.unknown-instance');
  assert.notEqual(outcomes.get('measures'), 'failed');
  const dead = 'tracelake_materializer_deliveries_total{consumer="request",outcome="dead"}';
  // The event goes out before the message is buried and counted.
  await eventually('the dead letter is counted', async () => (await service.metric(dead)) === 1);
});

test('what came while no materializer ran, or while the bus was down, is built afterwards', async () => {
  const missed = recordLines(4);
  for (const request of missed.recording.requests()) await lab.lake.ingest(request);
  await using service = await lab.start({ TRACELAKE_MATERIALIZER_CATCH_UP_INTERVAL_S: '1' });
  await eventually('missed lines', () => hasLines(missed.processId, 4));
  await lab.nats.stop();
  const silent = recordLines(5);
  for (const request of silent.recording.requests()) await lab.ingest(request);
  await eventually('lines without a bus', () => hasLines(silent.processId, 5));
  const health = await fetch(`${service.url}/readyz`);
  const report = (await health.json()) as { failing: string[] };
  assert.deepEqual(report.failing, ['nats']);
  await lab.nats.start();
  await eventually('ready again', async () => (await fetch(`${service.url}/readyz`)).ok);
});

test('wiping the whole JetStream store while blocks arrive loses nothing', async () => {
  await using service = await lab.start();
  await ready(service);
  const { processId, recording } = recordLines(40);
  for (const [index, request] of recording.requests().entries()) {
    await lab.ingest(request);
    if (index === 15) await lab.nats.wipeStore();
  }
  await eventually('forty lines', () => hasLines(processId, 40), 60_000);
  const again = recordLines(2);
  for (const request of again.recording.requests()) await lab.ingest(request);
  await eventually('events flow again', () => hasLines(again.processId, 2), 60_000);
});

test('two replicas share the lanes, and the work of one that leaves goes on', async () => {
  await using first = await lab.start();
  await ready(first);
  const held = (service: RunningMaterializer) =>
    service.metric('tracelake_materializer_lanes_held');
  {
    await using second = await lab.start();
    await eventually('lanes shared', async () => {
      const counts = [await held(first), await held(second)] as const;
      return counts[0] !== 0 && counts[1] !== 0 && counts[0] + counts[1] === LANES;
    });
    const recorded = Array.from({ length: 6 }, () => recordLines(3));
    for (const { recording } of recorded) {
      for (const request of recording.requests()) await lab.ingest(request);
    }
    for (const { processId } of recorded) {
      await eventually('lines of all lanes', () => hasLines(processId, 3));
    }
  }
  await ready(first);
  const { processId, recording } = recordLines(1);
  assert.ok(laneOf(processId as never, LANES) < LANES);
  for (const request of recording.requests()) await lab.ingest(request);
  await eventually('lines after one has left', () => hasLines(processId, 1));
});

test('a view of one file, registered, is built like any other', async () => {
  const registry = createViewRegistry();
  registry.register(logLevels as ViewSet<never>);
  await using service = await lab.start({}, { registry });
  await ready(service);
  const { processId, recording } = recordLines(3);
  recording.log({ ticks: 9000, message: 'bad', level: 2 });
  for (const request of recording.requests()) await lab.ingest(request);
  const target = { viewSet: 'log_levels', instance: processId, columns: ['level', 'time'] };
  const { startNs } = recording.process;
  await eventually('levels', async () => {
    const rows = await readViewRows(lab.lake, target, registry);
    if (rows.length < 4) return false;
    assert.deepEqual(rows, [
      ['2', String(startNs + 9000n)],
      ...[1000n, 2000n, 3000n].map((ns) => ['4', String(startNs + ns)]),
    ]);
    return true;
  });
});

test('operations routes list and build partitions and name what they refuse', async () => {
  await using service = await lab.start();
  const fixture = loadFixture('spans');
  for (const request of fixture.requests) await lab.lake.ingest(request);
  const [streamId] = fixture.expectedThreadSpanStreams();
  const url = `${service.url}/v1/materialize/thread_spans/${streamId}`;
  const misshapen = await fetch(`${url}?workers=0`, { method: 'POST' });
  assert.equal(misshapen.status, 400);
  assert.match(((await misshapen.json()) as { detail: string }).detail, /workers/);
  const shaped = await fetch(`${url}?workers=2&channel_depth=1`, { method: 'POST' });
  assert.equal(((await shaped.json()) as { decision: string }).decision, 'written');
  const { decision, built } = (await (await fetch(url, { method: 'POST' })).json()) as {
    decision: string;
    built: number;
  };
  assert.deepEqual([decision, built], ['current', 0]);
  const list = await fetch(`${service.url}/v1/partitions/thread_spans/${streamId}`);
  const partitions = (await list.json()) as { kind: string; row_count: number }[];
  assert.equal(
    partitions.reduce((rows, partition) => rows + partition.row_count, 0),
    fixture.expected(`thread_spans.${streamId}`).rows.length,
  );
  const refused = await fetch(`${service.url}/v1/materialize/async_events/global`, {
    method: 'POST',
  });
  assert.equal(refused.status, 400);
  assert.match(((await refused.json()) as { detail: string }).detail, /id of a process/);
  const unknown = await fetch(`${service.url}/v1/partitions/nonsense/${streamId}`);
  assert.equal(unknown.status, 404);
});

test('stopping under load finishes or hands back what is under way', async () => {
  const recorded = Array.from({ length: 8 }, () => recordLines(10));
  {
    await using service = await lab.start();
    await ready(service);
    for (const { recording } of recorded) {
      for (const request of recording.requests()) await lab.ingest(request);
    }
    for (const { processId } of recorded) {
      await lab.bus.requestMaterialization(requestOf('log_entries', processId, processId));
    }
  }
  await using successor = await lab.start();
  await ready(successor);
  for (const { processId } of recorded) {
    await eventually('all lines', () => hasLines(processId, 10));
  }
});
