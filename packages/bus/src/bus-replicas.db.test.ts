/**
 * Scenario: durable consumers of a real server, shared by replicas.
 * Guarantees: a message is gone only when it was handled or is a dead letter; what is held is bounded; nothing
 * that cannot be handled stands in the way of the rest.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startReplica } from '../test/bus-replica.ts';
import {
  blockInserted,
  materializeRequested,
  newProcessId,
  observe,
  startBusRig,
  until,
} from '../test/bus-rig.ts';
import type { HandlerOutcome } from './consume-options.ts';

const ALL_TELEMETRY = 'telemetry.>';
const ALL_REQUESTS = 'materialize.>';

test('what a crashed replica held is delivered to another', async () => {
  await using rig = await startBusRig();
  await rig.bus.requestMaterialization(materializeRequested({ wantedHash: 'held' }));
  const held = Promise.withResolvers<void>();
  const hangs = new AbortController();
  await using crashing = await startReplica(rig.nats.url);
  await using _first = crashing.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'shared',
    filterSubject: ALL_REQUESTS,
    ackWaitMs: 1_000,
    handler: async (): Promise<HandlerOutcome> => {
      held.resolve();
      await delay(60_000, undefined, { signal: hangs.signal }).catch(() => {});
      return 'ack';
    },
  });
  await held.promise;
  // Cut off from the server, it can neither say that it works nor acknowledge.
  await crashing.cut();
  const taken: [hash: string, count: number][] = [];
  await using _second = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'shared',
    filterSubject: ALL_REQUESTS,
    ackWaitMs: 1_000,
    handler: (message, { deliveryCount }) => {
      taken.push([message.wantedHash, deliveryCount]);
      return 'ack';
    },
  });
  await until('the other replica', () => taken.length > 0);
  hangs.abort();
  assert.deepEqual(taken, [['held', 2]]);
});

test('two replicas share a durable: each request is handled once, and leaves the queue', async () => {
  await using rig = await startBusRig();
  await using other = await startReplica(rig.nats.url);
  const takers = new Map<string, string[]>();
  const consumeAs = (bus: typeof rig.bus, name: string) =>
    bus.consume({
      stream: 'MATERIALIZE',
      durable: 'shared',
      filterSubject: ALL_REQUESTS,
      handler: async (message): Promise<HandlerOutcome> => {
        takers.set(message.instance, [...(takers.get(message.instance) ?? []), name]);
        await delay(5);
        return 'ack';
      },
    });
  await using _a = consumeAs(rig.bus, 'a');
  await using _b = consumeAs(other.bus, 'b');
  const requests = Array.from({ length: 100 }, () => materializeRequested());
  await Promise.all(requests.map((request) => rig.bus.requestMaterialization(request)));
  await using observer = await observe(rig.nats);
  await until('an empty queue', async () => {
    return (await observer.manager.streams.info('MATERIALIZE')).state.messages === 0;
  });
  assert.equal(takers.size, 100);
  assert.ok([...takers.values()].every((names) => names.length === 1));
  const shares = new Set([...takers.values()].flat());
  assert.deepEqual([...shares].toSorted(), ['a', 'b']);
});

test('replicas together hold no more than max_ack_pending, and each no more than its batch', async () => {
  await using rig = await startBusRig();
  await using other = await startReplica(rig.nats.url);
  const process = newProcessId();
  for (let index = 0; index < 30; index++) await rig.bus.announceBlock(blockInserted(process));
  let running = 0;
  let runningMax = 0;
  let handled = 0;
  const consumeOn = (bus: typeof rig.bus) =>
    bus.consume({
      stream: 'TELEMETRY',
      durable: 'bounded',
      filterSubject: ALL_TELEMETRY,
      concurrency: 4,
      maxAckPending: 5,
      handler: async (): Promise<HandlerOutcome> => {
        running++;
        runningMax = Math.max(runningMax, running);
        await delay(40);
        running--;
        handled++;
        return 'ack';
      },
    });
  await using observer = await observe(rig.nats);
  await using a = consumeOn(rig.bus);
  await using b = consumeOn(other.bus);
  let pendingMax = 0;
  await until('all blocks', async () => {
    assert.ok(a.held <= 4 && b.held <= 4, `${a.held} and ${b.held} held`);
    const info = await observer.manager.consumers
      .info('TELEMETRY', 'bounded')
      .catch(() => undefined);
    pendingMax = Math.max(pendingMax, info?.num_ack_pending ?? 0);
    return handled === 30;
  });
  assert.ok(pendingMax <= 5, `${pendingMax} pending`);
  assert.ok(runningMax > 1 && runningMax <= 5, `${runningMax} at a time`);
});
