/**
 * Scenario: messages stand in streams while a consumer holds some of them.
 * Guarantees: figures are those of the server, dead letters included; without it the call fails, in bounded time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { materializeRequested, newProcessId, startBusRig, until } from '../test/bus-rig.ts';
import { laneOf, subjectFilters } from './index.ts';

const signal = AbortSignal.timeout(60_000);

test('pending and unacknowledged messages and dead letters are counted as the server has them', async () => {
  await using rig = await startBusRig();
  const processId = newProcessId();
  const lane = laneOf(processId, rig.bus.lanes);
  const messages = Array.from({ length: 7 }, () => materializeRequested({ processId }));
  for (const message of messages) await rig.bus.requestMaterialization(message);
  const release = Promise.withResolvers<void>();
  await using consumer = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'slow',
    filterSubject: subjectFilters.materialize(lane),
    concurrency: 2,
    maxAckPending: 2,
    handler: async (_, { deliveryCount }) => {
      await release.promise;
      return deliveryCount === 1 ? { deadLetter: 'poisoned' } : 'ack';
    },
  });
  await until('two are held', () => consumer.held === 2);
  await until('the server knows', async () => {
    const { consumers } = await rig.bus.readFigures(signal);
    return consumers[0]?.pending === 5;
  });
  const { streams, consumers } = await rig.bus.readFigures(signal);
  const slow = { stream: 'MATERIALIZE', consumer: 'slow', pending: 5, unacknowledged: 2 };
  assert.deepEqual(consumers, [slow]);
  const counts = Object.fromEntries(streams.map(({ stream, messages }) => [stream, messages]));
  assert.deepEqual(counts, { TELEMETRY: 0, MATERIALIZE: 7, PARTITIONS: 0, DEAD: 0 });
  assert.ok((streams.find(({ stream }) => stream === 'MATERIALIZE')?.bytes ?? 0) > 700);
  release.resolve();
  await until('all are dead', async () => {
    const figures = await rig.bus.readFigures(signal);
    const dead = figures.streams.find(({ stream }) => stream === 'DEAD');
    return dead?.messages === 7 && figures.consumers[0]?.pending === 0;
  });
});

test('a server that is away is an error that may pass', async () => {
  await using rig = await startBusRig();
  await rig.nats.stop();
  await until('the loss is seen', () => rig.events.some(({ type }) => type === 'disconnected'));
  await assert.rejects(rig.bus.readFigures(signal), { code: 'bus.unavailable', retryable: true });
});
