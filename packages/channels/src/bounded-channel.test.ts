import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { seededRandom } from '@tracelake/test-kit';
import { BoundedChannel } from './bounded-channel.ts';
import { ChannelClosedError } from './channel-error.ts';

/** Whether a promise is still pending after everything that can run has run. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => {
      settled = true;
    },
    () => {
      settled = true;
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  return !settled;
}

function isClosedWith(item: unknown, cause?: unknown): (error: unknown) => boolean {
  return (error) =>
    error instanceof ChannelClosedError && error.item === item && error.cause === cause;
}

test('items come out in the order they went in, and then it is done', async () => {
  const channel = new BoundedChannel<number>({ capacity: 3 });
  for (const item of [1, 2, 3]) await channel.send(item);
  channel.close();
  const received: number[] = [];
  for await (const item of channel) received.push(item);
  assert.deepEqual(received, [1, 2, 3]);
  assert.deepEqual(await channel.receive(), { done: true });
});

test('a send waits while the channel is full and goes on when an item is taken', async () => {
  const channel = new BoundedChannel<number>({ capacity: 2 });
  await channel.send(1);
  await channel.send(2);
  assert.equal(channel.trySend(3), false);
  const third = channel.send(3);
  assert(await isPending(third));
  assert.equal(channel.depth, 2);
  assert.deepEqual(await channel.receive(), { done: false, value: 1 });
  await third;
  assert.equal(channel.depth, 2);
  assert.equal(channel.stats.maxDepth, 2);
  assert.equal(channel.stats.sentCount, 3);
  assert(channel.stats.sendBlockedMs > 0);
});

test('a receive waits for an item and says how long', async () => {
  const channel = new BoundedChannel<number>({ capacity: 1 });
  const receiving = channel.receive();
  assert(await isPending(receiving));
  await channel.send(7);
  assert.deepEqual(await receiving, { done: false, value: 7 });
  assert(channel.stats.receiveWaitMs > 0);
});

test('closing while it is full leaves what waits to be received and gives the rest back', async () => {
  const channel = new BoundedChannel<string>({ capacity: 1 });
  await channel.send('in');
  const waiting = channel.send('out');
  channel.close();
  await assert.rejects(waiting, isClosedWith('out'));
  assert.deepEqual(await channel.receive(), { done: false, value: 'in' });
  assert.deepEqual(await channel.receive(), { done: true });
  await assert.rejects(channel.send('late'), isClosedWith('late'));
  assert.throws(() => channel.trySend('later'), isClosedWith('later'));
});

test('failing while it is full drops what waits and wakes both sides with the error', async () => {
  const failure = new Error('the generator failed');
  const channel = new BoundedChannel<string>({ capacity: 1 });
  await channel.send('in');
  const waiting = channel.send('out');
  channel.fail(failure);
  await assert.rejects(waiting, isClosedWith('out', failure));
  await assert.rejects(channel.receive(), failure);
  await assert.rejects(channel.receive(), failure, 'not only the first time');

  const empty = new BoundedChannel<string>({ capacity: 1 });
  const receiving = empty.receive();
  empty.fail(failure);
  await assert.rejects(receiving, failure);
});

test('a failure after closing still reaches the receiver', async () => {
  const failure = new Error('too late to be whole');
  const channel = new BoundedChannel<string>({ capacity: 1 });
  await channel.send('in');
  channel.close();
  channel.fail(failure);
  await assert.rejects(channel.receive(), failure);
});

test('cancelling while it is full wakes every sender at once', async () => {
  const channel = new BoundedChannel<number>({ capacity: 1 });
  const reason = new Error('the client went away');
  await channel.send(1);
  const waiting = [channel.send(2), channel.send(3)];
  channel.cancel(reason);
  const outcomes = await Promise.allSettled(waiting);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.item),
    [2, 3],
  );
  assert.equal(channel.depth, 0);
  assert.deepEqual(await channel.receive(), { done: true });
});

test('leaving a loop early cancels, also while it waits for an item', async () => {
  const channel = new BoundedChannel<number>({ capacity: 1 });
  await channel.send(1);
  for await (const item of channel) {
    assert.equal(item, 1);
    break;
  }
  await assert.rejects(channel.send(2), ChannelClosedError);

  const idle = new BoundedChannel<number>({ capacity: 1 });
  const iterator = idle[Symbol.asyncIterator]();
  const pending = iterator.next();
  assert(await isPending(pending));
  await iterator.return?.();
  assert.deepEqual(await pending, { done: true, value: undefined });
});

test('an aborted wait leaves no trace: neither its item, nor its place, nor a listener', async () => {
  const channel = new BoundedChannel<number>({ capacity: 1 });
  const controller = new AbortController();
  const { signal } = controller;
  const reason = new Error('deadline');
  const receiving = channel.receive(signal);
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  await channel.send(1);
  assert.deepEqual(await receiving, { done: false, value: 1 });
  assert.equal(getEventListeners(signal, 'abort').length, 0);

  await channel.send(2);
  const sending = channel.send(3, signal);
  const waitingAfter = channel.send(4);
  controller.abort(reason);
  await assert.rejects(sending, reason);
  await assert.rejects(channel.send(5, signal), reason);
  await assert.rejects(channel.receive(signal), reason);
  assert.deepEqual(await channel.receive(), { done: false, value: 2 });
  await waitingAfter;
  assert.deepEqual(await channel.receive(), { done: false, value: 4 });
  assert.equal(channel.depth, 0);
  const idle = new AbortController();
  const aborted = channel.receive(idle.signal);
  idle.abort(reason);
  await assert.rejects(aborted, reason);
  await channel.send(6);
  assert.equal(channel.depth, 1, 'the aborted receiver took nothing');
});

test('many senders and receivers: nothing is lost, doubled or left waiting', async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed);
    const channel = new BoundedChannel<number>({ capacity: 1 + random.int(4) });
    const senderCount = 1 + random.int(4);
    const perSender = random.int(20);
    const pause = async () => {
      if (random.int(3) === 0) await new Promise((resolve) => setImmediate(resolve));
    };
    const send = async (sender: number) => {
      for (let index = 0; index < perSender; index++) {
        await pause();
        await channel.send(sender * 1000 + index);
      }
    };
    const received: number[] = [];
    const receive = async () => {
      for (;;) {
        const result = await channel.receive();
        if (result.done) return;
        received.push(result.value);
        await pause();
      }
    };
    const receivers = Array.from({ length: 1 + random.int(3) }, receive);
    await Promise.all(Array.from({ length: senderCount }, (_, sender) => send(sender)));
    channel.close();
    await Promise.all(receivers);
    assert.equal(received.length, senderCount * perSender, `seed ${seed}`);
    assert.equal(new Set(received).size, received.length, `seed ${seed}`);
    assert(channel.stats.maxDepth <= channel.capacity, `seed ${seed}`);
  }
});
