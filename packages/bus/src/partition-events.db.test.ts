/**
 * Scenario: replicas wait for builds that others announce.
 * Guarantees: a waiter gets the events of its own instances from the moment that it waits, and leaves nothing
 * behind.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observe, startBusRig, until } from '../test/bus-rig.ts';
import type { PartitionEvent } from './messages.ts';

function written(instance: string, viewSet = 'thread_spans'): PartitionEvent {
  return { viewSet, instance, outcome: 'written', partitionId: 'p', sourceHash: 'h' };
}

test('a waiter gets the events of its instances, published after it began to wait', async () => {
  await using rig = await startBusRig();
  await rig.bus.publishPartitionEvent(written('a'));
  await using waiter = await rig.bus.waitForPartitionEvents([
    { viewSet: 'thread_spans', instance: 'a' },
    { viewSet: 'async_events', instance: 'b' },
  ]);
  const failed: PartitionEvent = {
    viewSet: 'async_events',
    instance: 'b',
    outcome: 'failed',
    sourceHash: '',
    errorCode: 'lakehouse.bad-instance',
    errorMessage: 'no such thing',
  };
  await rig.bus.publishPartitionEvent(written('b'));
  await rig.bus.publishPartitionEvent(failed);
  await rig.bus.publishPartitionEvent(written('a', 'async_events'));
  await rig.bus.publishPartitionEvent({ ...written('a'), outcome: 'current' });
  assert.deepEqual(await waiter.next({ timeoutMs: 5_000 }), failed);
  assert.deepEqual(await waiter.next({ timeoutMs: 5_000 }), {
    ...written('a'),
    outcome: 'current',
  });
  assert.equal(await waiter.next({ timeoutMs: 100 }), undefined);
});

test('all waiters of a process share one consumer on the server', async () => {
  await using rig = await startBusRig();
  const key = { viewSet: 'thread_spans', instance: 'a' };
  const waiters = await Promise.all(
    Array.from({ length: 20 }, () => rig.bus.waitForPartitionEvents(key)),
  );
  await using observer = await observe(rig.nats);
  const { state } = await observer.manager.streams.info('PARTITIONS');
  assert.equal(state.consumer_count, 1);
  await rig.bus.publishPartitionEvent(written('a'));
  for (const waiter of waiters) {
    assert.deepEqual(await waiter.next({ timeoutMs: 5_000 }), written('a'));
    await waiter[Symbol.asyncDispose]();
  }
});

test('a wait ends when it expires, when its signal aborts and when the bus is drained', async () => {
  await using rig = await startBusRig();
  const key = { viewSet: 'thread_spans', instance: 'a' };
  const abort = new AbortController();
  await using expiring = await rig.bus.waitForPartitionEvents(key, { expiresMs: 50 });
  await using aborted = await rig.bus.waitForPartitionEvents(key, { signal: abort.signal });
  await using drained = await rig.bus.waitForPartitionEvents(key);
  assert.equal(await expiring.next(), undefined);
  setTimeout(() => abort.abort(), 20);
  assert.equal(await aborted.next(), undefined);
  const last = (async () => {
    for await (const event of drained) assert.fail(`unexpected ${JSON.stringify(event)}`);
    return 'ended';
  })();
  await rig.bus.drain();
  assert.equal(await last, 'ended');
  await using observer = await observe(rig.nats);
  const { state } = await observer.manager.streams.info('PARTITIONS');
  assert.equal(state.consumer_count, 0);
});

test('waiting goes on over a restart and a wipe of the server', async () => {
  await using rig = await startBusRig();
  await using waiter = await rig.bus.waitForPartitionEvents({
    viewSet: 'thread_spans',
    instance: 'a',
  });
  for (const trouble of [() => rig.nats.stop(), () => rig.nats.wipeStore()]) {
    await trouble();
    await rig.nats.start();
    // An event may be lost before the consumer is there again; the next one is not.
    let event: PartitionEvent | undefined;
    await until('an event', async () => {
      await rig.bus.publishPartitionEvent(written('a'), { whenDown: 'wait' });
      event = await waiter.next({ timeoutMs: 200 });
      return event !== undefined;
    });
    assert.deepEqual(event, written('a'));
  }
});

test('with the server down a wait begins all the same', async () => {
  await using rig = await startBusRig();
  await rig.nats.stop();
  const startMs = performance.now();
  await using waiter = await rig.bus.waitForPartitionEvents({ viewSet: 'v', instance: 'a' });
  assert.ok(performance.now() - startMs < 4_000);
  await rig.nats.start();
  let event: PartitionEvent | undefined;
  await until('an event', async () => {
    await rig.bus.publishPartitionEvent(written('a', 'v'), { whenDown: 'wait' });
    event = await waiter.next({ timeoutMs: 200 });
    return event !== undefined;
  });
});
