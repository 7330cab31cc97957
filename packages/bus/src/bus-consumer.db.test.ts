/**
 * Scenario: durable consumers of a real server, alone and as replicas.
 * Guarantees: a message is gone only when it was handled or is a dead letter; what is held is bounded; nothing
 * that cannot be handled stands in the way of the rest.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { headers } from '@nats-io/nats-core';
import { ensureExists } from '@tracelake/domain';
import {
  blockInserted,
  materializeRequested,
  observe,
  RIG_LANES,
  startBusRig,
  until,
} from '../test/bus-rig.ts';
import type { HandlerOutcome } from './consume-options.ts';
import { DEAD_LETTER_HEADERS } from './dead-letter.ts';
import { laneOf } from './lanes.ts';
import { materializeSubject, subjectFilters } from './subjects.ts';

const ALL_TELEMETRY = 'telemetry.>';
const ALL_REQUESTS = 'materialize.>';

test('a lane has its own messages only, in the order in which they were stored', async () => {
  await using rig = await startBusRig();
  const blocks = Array.from({ length: 60 }, () => blockInserted());
  for (const block of blocks) await rig.bus.announceBlock(block);
  const seen = Array.from({ length: RIG_LANES }, (): string[] => []);
  await using stack = new AsyncDisposableStack();
  for (const [lane, ids] of seen.entries()) {
    stack.use(
      rig.bus.consume({
        stream: 'TELEMETRY',
        durable: `lane-${lane}`,
        filterSubject: subjectFilters.telemetry(lane),
        batch: 8,
        handler: (message) => {
          if (message.kind === 'block-inserted') ids.push(message.blockId);
          return 'ack';
        },
      }),
    );
  }
  await until('all blocks', () => seen.flat().length >= blocks.length);
  for (const [lane, ids] of seen.entries()) {
    const expected = blocks.filter((block) => laneOf(block.processId, RIG_LANES) === lane);
    assert.deepEqual(
      ids,
      expected.map((block) => block.blockId),
    );
  }
});

test('a message given back, or failed, comes again; an acknowledged one does not', async () => {
  await using rig = await startBusRig();
  await rig.bus.announceBlock(blockInserted());
  const deliveries: { count: number; atMs: number }[] = [];
  await using _consumer = rig.bus.consume({
    stream: 'TELEMETRY',
    durable: 'again',
    filterSubject: ALL_TELEMETRY,
    ackWaitMs: 1_000,
    handler: (_message, { deliveryCount }) => {
      deliveries.push({ count: deliveryCount, atMs: performance.now() });
      if (deliveryCount === 1) return { nakDelayMs: 400 };
      if (deliveryCount === 2) throw new Error('not this time');
      return 'ack';
    },
  });
  await until('three deliveries', () => deliveries.length === 3);
  await delay(1_500);
  assert.deepEqual(
    deliveries.map((delivery) => delivery.count),
    [1, 2, 3],
  );
  const [first, second] = deliveries;
  assert.ok(ensureExists(second, 'the second').atMs - ensureExists(first, 'the first').atMs > 350);
});

test('a message that is being handled is not delivered again, however long that takes', async () => {
  await using rig = await startBusRig();
  await rig.bus.requestMaterialization(materializeRequested());
  await rig.bus.requestMaterialization(materializeRequested());
  const counts: number[] = [];
  await using _consumer = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'slow',
    filterSubject: ALL_REQUESTS,
    ackWaitMs: 600,
    // The second waits here for the first, longer than the server would wait for a sign of life.
    batch: 2,
    handler: async (_message, { deliveryCount }): Promise<HandlerOutcome> => {
      counts.push(deliveryCount);
      await delay(1_500);
      return 'ack';
    },
  });
  await using observer = await observe(rig.nats);
  await until('an empty queue', async () => {
    const { state } = await observer.manager.streams.info('MATERIALIZE');
    return state.messages === 0;
  });
  assert.deepEqual(counts, [1, 1]);
});

test('a message that fails to the limit becomes a dead letter with its story, and leaves its queue', async () => {
  await using rig = await startBusRig();
  const request = materializeRequested();
  await rig.bus.requestMaterialization(request);
  let count = 0;
  await using _consumer = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'failing',
    filterSubject: ALL_REQUESTS,
    ackWaitMs: 1_000,
    maxDeliver: 3,
    handler: () => {
      count++;
      throw new Error('the disk\r\nis full');
    },
  });
  await using observer = await observe(rig.nats);
  await until('the queue to be empty', async () => {
    return (await observer.manager.streams.info('MATERIALIZE')).state.messages === 0;
  });
  assert.equal(count, 3);
  const dead = await observer.manager.streams.getMessage('DEAD', { seq: 1 });
  assert.ok(dead !== null);
  const subject = materializeSubject(laneOf(request.processId, RIG_LANES), request.viewSet);
  assert.equal(dead.subject, 'dead.MATERIALIZE');
  assert.equal(dead.header.get(DEAD_LETTER_HEADERS.reason), 'the disk is full');
  assert.equal(dead.header.get(DEAD_LETTER_HEADERS.subject), subject);
  assert.equal(dead.header.get(DEAD_LETTER_HEADERS.stream), 'MATERIALIZE');
  assert.equal(dead.header.get(DEAD_LETTER_HEADERS.consumer), 'failing');
  assert.equal(dead.header.get(DEAD_LETTER_HEADERS.deliveryCount), '3');
  assert.match(dead.header.get('Tracelake-Original-Nats-Msg-Id'), /^materialize:[0-9a-f]{64}$/);
  assert.equal((await observer.manager.streams.info('DEAD')).state.messages, 1);
});

test('while the dead letter cannot be stored the message stays', async () => {
  await using rig = await startBusRig();
  await using observer = await observe(rig.nats);
  await rig.bus.requestMaterialization(materializeRequested());
  // A stream that stores nothing: the server refuses what is larger than it may hold.
  await observer.manager.streams.update('DEAD', { max_msg_size: 1 });
  await using _consumer = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'unburied',
    filterSubject: ALL_REQUESTS,
    handler: () => ({ deadLetter: 'will not do' }),
  });
  await until('an attempt', () => rig.events.some((event) => event.type === 'handled'));
  assert.equal((await observer.manager.streams.info('MATERIALIZE')).state.messages, 1);
  await observer.manager.streams.update('DEAD', { max_msg_size: -1 });
  await until('the queue to be empty', async () => {
    return (await observer.manager.streams.info('MATERIALIZE')).state.messages === 0;
  });
  assert.equal((await observer.manager.streams.info('DEAD')).state.messages, 1);
});

test('what cannot be read is a dead letter at once and the lane goes on', async () => {
  await using rig = await startBusRig();
  await using observer = await observe(rig.nats);
  const good = materializeRequested();
  const js = observer.manager.jetstream();
  const newer = Uint8Array.of(0x08, 0x63);
  const withHeader = headers();
  withHeader.set('X-From', 'somebody else');
  await js.publish('materialize.requested.0.x', 'rubbish', { headers: withHeader });
  await js.publish('materialize.requested.0.x', newer);
  await js.publish('materialize.requested.0.x', new Uint8Array());
  await rig.bus.requestMaterialization(good);
  const handled: string[] = [];
  await using _consumer = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'lane',
    filterSubject: ALL_REQUESTS,
    handler: (message) => {
      handled.push(message.instance);
      return 'ack';
    },
  });
  await until('the good message', () => handled.length > 0, 3_000);
  assert.deepEqual(handled, [good.instance]);
  const { state } = await observer.manager.streams.info('DEAD');
  assert.equal(state.messages, 3);
  const first = await observer.manager.streams.getMessage('DEAD', { seq: 1 });
  const second = await observer.manager.streams.getMessage('DEAD', { seq: 2 });
  assert.equal(first?.string(), 'rubbish');
  assert.equal(first?.header.get('Tracelake-Original-X-From'), 'somebody else');
  assert.match(second?.header.get(DEAD_LETTER_HEADERS.reason) ?? '', /schema version 99/);
});

test('a drained consumer has settled all it held and leaves the rest to others', async () => {
  await using rig = await startBusRig();
  for (let index = 0; index < 40; index++) await rig.bus.announceBlock(blockInserted());
  let handled = 0;
  await using consumer = rig.bus.consume({
    stream: 'TELEMETRY',
    durable: 'drained',
    filterSubject: ALL_TELEMETRY,
    batch: 10,
    handler: async (): Promise<HandlerOutcome> => {
      await delay(10);
      handled++;
      return 'ack';
    },
  });
  await until('some work', () => handled >= 3);
  await consumer.drain();
  assert.equal(consumer.held, 0);
  await using observer = await observe(rig.nats);
  const info = await observer.manager.consumers.info('TELEMETRY', 'drained');
  assert.equal(info.num_ack_pending, 0);
  assert.equal(info.ack_floor.stream_seq, handled);
  assert.ok(handled < 40, 'it was stopped before the end');
  assert.equal(info.num_pending, 40 - handled);
});

test('a consumer stopped without grace aborts its handler and gives back what it held', async () => {
  await using rig = await startBusRig();
  for (let index = 0; index < 3; index++) {
    await rig.bus.requestMaterialization(materializeRequested());
  }
  const started = Promise.withResolvers<void>();
  const stop = new AbortController();
  const consumer = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'stopped',
    filterSubject: ALL_REQUESTS,
    batch: 3,
    // At the limit already: being stopped is no failure of the message.
    maxDeliver: 1,
    signal: stop.signal,
    handler: async (_message, { signal }): Promise<HandlerOutcome> => {
      started.resolve();
      await delay(60_000, undefined, { signal });
      return 'ack';
    },
  });
  await started.promise;
  await until('all three held', () => consumer.held === 3);
  const startMs = performance.now();
  stop.abort();
  await consumer.drain();
  assert.ok(performance.now() - startMs < 5_000);
  const counts: number[] = [];
  await using _next = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'stopped',
    filterSubject: ALL_REQUESTS,
    handler: (_message, { deliveryCount }) => {
      counts.push(deliveryCount);
      return 'ack';
    },
  });
  await until('what was given back', () => counts.length === 3, 5_000);
  await using observer = await observe(rig.nats);
  assert.equal((await observer.manager.streams.info('DEAD')).state.messages, 0);
});

test('a handler that exceeds its time is aborted and its message comes again', async () => {
  await using rig = await startBusRig();
  await rig.bus.requestMaterialization(materializeRequested());
  const counts: number[] = [];
  await using _consumer = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'timed',
    filterSubject: ALL_REQUESTS,
    handlerTimeoutMs: 200,
    handler: async (_message, { signal, deliveryCount }): Promise<HandlerOutcome> => {
      counts.push(deliveryCount);
      if (deliveryCount === 1) await delay(60_000, undefined, { signal });
      return 'ack';
    },
  });
  await until('the second delivery', () => counts.length === 2);
  assert.deepEqual(counts, [1, 2]);
});

test('a durable that was made with another filter is made anew', async () => {
  await using rig = await startBusRig();
  await using observer = await observe(rig.nats);
  await observer.manager.consumers.add('TELEMETRY', {
    durable_name: 'moved',
    filter_subject: 'telemetry.block.inserted.99.>',
    ack_policy: 'none',
  });
  await rig.bus.announceBlock(blockInserted());
  let count = 0;
  await using _consumer = rig.bus.consume({
    stream: 'TELEMETRY',
    durable: 'moved',
    filterSubject: ALL_TELEMETRY,
    handler: () => {
      count++;
      return 'ack';
    },
  });
  await until('the block', () => count === 1);
});

test('an idle consumer keeps the pull that it has', async () => {
  await using rig = await startBusRig();
  let count = 0;
  await using consumer = rig.bus.consume({
    stream: 'TELEMETRY',
    durable: 'idle',
    filterSubject: ALL_TELEMETRY,
    handler: () => {
      count++;
      return 'ack';
    },
  });
  await until('it to be live', () => consumer.isLive);
  await using observer = await observe(rig.nats);
  const before = (await observer.manager.getAccountInfo()).api.total;
  // Longer than the silence after which it would look whether the consumer is still there.
  await delay(4_000);
  const calls = (await observer.manager.getAccountInfo()).api.total - before;
  // Every two seconds the bus looks after its four streams; a consumer that starts again adds to that.
  assert.ok(calls <= 14, `${calls} calls`);
  await rig.bus.announceBlock(blockInserted());
  await until('the block', () => count === 1, 1_000);
});
