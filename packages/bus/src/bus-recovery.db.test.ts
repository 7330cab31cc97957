/**
 * Scenario: the server stops, is killed, comes back with its store or without.
 * Guarantees: streams and consumers are there again within seconds, whoever listens is told that content was
 * lost, and nothing has to be started again by hand.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startTestNats } from '@tracelake/test-kit';
import {
  blockInserted,
  materializeRequested,
  observe,
  RIG_LANES,
  startBusRig,
  until,
} from '../test/bus-rig.ts';
import { connectBus } from './bus.ts';
import { BusError } from './bus-error.ts';
import { DEFAULT_STREAM_SETTINGS } from './stream-configs.ts';
import { STREAM_NAMES } from './subjects.ts';

test('wiping the store while publishing: all is made again and told, and new messages arrive', async () => {
  await using rig = await startBusRig();
  const told: string[][] = [];
  using _listener = rig.bus.onRecreated((streams) => void told.push([...streams]));
  const seen = new Set<string>();
  await using _consumer = rig.bus.consume({
    stream: 'TELEMETRY',
    durable: 'all',
    filterSubject: 'telemetry.>',
    batch: 100,
    handler: (message) => {
      if (message.kind === 'block-inserted') seen.add(message.blockId);
      return 'ack';
    },
  });
  const acknowledgedAfter: string[] = [];
  const failures: unknown[] = [];
  const stop = new AbortController();
  using _stopLoad = { [Symbol.dispose]: () => stop.abort() };
  let isWiped = false;
  const load = (async () => {
    while (!stop.signal.aborted) {
      const block = blockInserted();
      const startedAfter = isWiped;
      await rig.bus
        .announceBlock(block, { whenDown: 'wait' })
        .then(() => startedAfter && acknowledgedAfter.push(block.blockId))
        .catch((error: unknown) => failures.push(error));
      await delay(1);
    }
  })();
  await until('the first blocks', () => seen.size > 20);
  await rig.nats.wipeStore();
  isWiped = true;
  const wipedAtMs = performance.now();
  await until('the loss to be told', () => told.length > 0, 8_000);
  await until('blocks after the wipe', () => acknowledgedAfter.some((id) => seen.has(id)), 8_000);
  const recoveredMs = performance.now() - wipedAtMs;
  await delay(200);
  stop.abort();
  await load;
  await until('all that was acknowledged since', () =>
    acknowledgedAfter.every((id) => seen.has(id)),
  );
  assert.deepEqual(told, [[...STREAM_NAMES]]);
  assert.deepEqual(failures, []);
  assert.ok(recoveredMs < 8_000, `${recoveredMs} ms`);
});

test('streams deleted on a running server are made again, and only those are told', async () => {
  await using rig = await startBusRig();
  const told: string[][] = [];
  using _listener = rig.bus.onRecreated((streams) => void told.push([...streams]));
  let count = 0;
  await using consumer = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'requests',
    filterSubject: 'materialize.>',
    handler: () => {
      count++;
      return 'ack';
    },
  });
  await until('it to be live', () => consumer.isLive);
  await using observer = await observe(rig.nats);
  await observer.manager.streams.delete('MATERIALIZE');
  await until('the loss to be told', () => told.length > 0, 6_000);
  await rig.bus.requestMaterialization(materializeRequested());
  await until('the request', () => count === 1, 6_000);
  assert.deepEqual(told, [['MATERIALIZE']]);
});

test('a stream that another service made again in between is told as lost too', async () => {
  await using rig = await startBusRig();
  const told: string[][] = [];
  using _listener = rig.bus.onRecreated((streams) => void told.push([...streams]));
  await using observer = await observe(rig.nats);
  const { config } = await observer.manager.streams.info('TELEMETRY');
  await observer.manager.streams.delete('TELEMETRY');
  await observer.manager.streams.add(config);
  await until('the loss to be told', () => told.length > 0, 6_000);
  assert.deepEqual(told, [['TELEMETRY']]);
});

test('a consumer deleted on the server is made again', async () => {
  await using rig = await startBusRig();
  let count = 0;
  await using consumer = rig.bus.consume({
    stream: 'TELEMETRY',
    durable: 'deleted',
    filterSubject: 'telemetry.>',
    handler: () => {
      count++;
      return 'ack';
    },
  });
  await until('it to be live', () => consumer.isLive);
  await using observer = await observe(rig.nats);
  await observer.manager.consumers.delete('TELEMETRY', 'deleted');
  await rig.bus.announceBlock(blockInserted());
  await until('the block', () => count > 0, 6_000);
});

for (const how of ['stop', 'kill'] as const) {
  test(`after a ${how} and a start of the server consumers go on where they were`, async () => {
    await using rig = await startBusRig();
    const told: unknown[] = [];
    using _listener = rig.bus.onRecreated((streams) => void told.push(streams));
    const seen: string[] = [];
    await using _consumer = rig.bus.consume({
      stream: 'TELEMETRY',
      durable: 'resumed',
      filterSubject: 'telemetry.>',
      handler: (message) => {
        if (message.kind === 'block-inserted') seen.push(message.blockId);
        return 'ack';
      },
    });
    const before = blockInserted();
    await rig.bus.announceBlock(before);
    await until('the block before', () => seen.length === 1);
    // The server keeps acknowledgements in memory for a moment before they are on disk.
    await delay(how === 'kill' ? 500 : 50);
    await rig.nats[how]();
    await assert.rejects(
      async () => rig.bus.checkReady(),
      (error) => error instanceof BusError && error.retryable,
    );
    await delay(300);
    await rig.nats.start();
    const after = blockInserted();
    await rig.bus.announceBlock(after, { whenDown: 'wait' });
    await until('the block after', () => seen.includes(after.blockId), 8_000);
    await rig.bus.checkReady();
    assert.deepEqual(told, [], 'nothing was lost');
    assert.equal(new Set(seen).size, 2);
  });
}

test('services start while the server is down and find it later', async () => {
  await using nats = await startTestNats();
  await nats.stop();
  const events: string[] = [];
  await using bus = await connectBus({
    servers: nats.url,
    name: 'early',
    lanes: RIG_LANES,
    waitForServer: false,
    onEvent: (event) => events.push(event.type),
  });
  await assert.rejects(
    bus.checkReady(),
    (error) => error instanceof BusError && error.code === 'bus.unavailable' && error.retryable,
  );
  const seen: string[] = [];
  await using consumer = bus.consume({
    stream: 'TELEMETRY',
    durable: 'early',
    filterSubject: 'telemetry.>',
    handler: (message) => {
      seen.push(message.processId);
      return 'ack';
    },
  });
  assert.equal(consumer.isLive, false);
  const block = blockInserted();
  const published = bus.announceBlock(block, { whenDown: 'wait' });
  await until('a failed attempt', () => events.includes('connect-failed'));
  await nats.start();
  await published;
  await until('the block', () => seen.length === 1);
  assert.deepEqual(seen, [block.processId]);
  await bus.checkReady();
});

test('who waits for a server that never comes is let go by the signal, and nothing stays behind', async () => {
  await using nats = await startTestNats();
  await nats.stop();
  await assert.rejects(
    connectBus({
      servers: nats.url,
      name: 'patient',
      lanes: RIG_LANES,
      signal: AbortSignal.timeout(300),
    }),
    (error) => error instanceof BusError && error.code === 'bus.unavailable',
  );
});

test('a bus is drained and disposed of in time while the server is down', async () => {
  await using rig = await startBusRig();
  await using consumer = rig.bus.consume({
    stream: 'TELEMETRY',
    durable: 'down',
    filterSubject: 'telemetry.>',
    handler: () => 'ack',
  });
  await until('it to be live', () => consumer.isLive);
  await using _waiter = await rig.bus.waitForPartitionEvents({ viewSet: 'v', instance: 'i' });
  await rig.nats.kill();
  const startMs = performance.now();
  await rig.bus.drain(AbortSignal.timeout(5_000));
  await rig.bus[Symbol.asyncDispose]();
  assert.ok(performance.now() - startMs < 5_000);
});

test('configured bounds are brought to a server that has others', async () => {
  await using rig = await startBusRig();
  const { bounds } = DEFAULT_STREAM_SETTINGS;
  await using _second = await connectBus({
    servers: rig.nats.url,
    name: 'second',
    lanes: RIG_LANES,
    streams: { bounds: { ...bounds, DEAD: { ...bounds.DEAD, messagesMax: 77 } } },
  });
  await using observer = await observe(rig.nats);
  assert.equal((await observer.manager.streams.info('DEAD')).config.max_msgs, 77);
});

test('a stream of another kind under our name stops the start and is named', async () => {
  await using nats = await startTestNats();
  await using observer = await observe(nats);
  await observer.manager.streams.add({
    name: 'MATERIALIZE',
    subjects: ['materialize.>'],
    retention: 'limits',
  });
  await assert.rejects(
    connectBus({ servers: nats.url, name: 'refused', lanes: RIG_LANES }),
    (error) => {
      assert.ok(error instanceof BusError);
      assert.equal(error.code, 'bus.stream-config-mismatch');
      assert.match(error.message, /MATERIALIZE.*retention/);
      assert.equal(error.retryable, false);
      return true;
    },
  );
});
