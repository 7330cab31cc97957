import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { BoundedChannel } from './bounded-channel.ts';
import { ChannelClosedError } from './channel-error.ts';

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const mark = () => {
    done = true;
  };
  promise.then(mark, mark);
  await turn();
  return done;
}

test('a sender waits while the channel is full and goes on when room is made', async () => {
  const channel = new BoundedChannel<number>({ capacity: 2 });
  await channel.send(1);
  await channel.send(2);
  const third = channel.send(3);
  assert.equal(await settled(third), false);
  assert.equal(channel.depth, 2);
  assert.deepEqual(await channel.receive(), { done: false, value: 1 });
  await third;
  assert.deepEqual(await channel.receive(), { done: false, value: 2 });
  assert.deepEqual(await channel.receive(), { done: false, value: 3 });
  assert.equal(channel.stats.maxDepth, 2);
  assert.equal(channel.stats.sentCount, 3);
});

test('undefined is an item like any other', async () => {
  const channel = new BoundedChannel<undefined>({ capacity: 1 });
  await channel.send(undefined);
  assert.deepEqual(await channel.receive(), { done: false, value: undefined });
});

test('many senders and a slow receiver keep order and never exceed the capacity', async () => {
  const channel = new BoundedChannel<number>({ capacity: 3 });
  const sending = Promise.all(Array.from({ length: 500 }, (_, n) => channel.send(n))).then(() =>
    channel.close(),
  );
  const received: number[] = [];
  for await (const item of channel) {
    assert.ok(channel.depth <= 3);
    received.push(item);
    if (item % 50 === 0) await turn();
  }
  await sending;
  assert.deepEqual(received, [...Array(500).keys()]);
  assert.ok(channel.stats.maxDepth <= 3);
});

test('close lets what waits through, then ends', async () => {
  const channel = new BoundedChannel<number>({ capacity: 2 });
  await channel.send(1);
  channel.close();
  assert.deepEqual(await channel.receive(), { done: false, value: 1 });
  assert.deepEqual(await channel.receive(), { done: true });
  await assert.rejects(channel.send(2), (error) => {
    assert.ok(error instanceof ChannelClosedError);
    assert.equal(error.item, 2);
    return true;
  });
});

test('fail drops what waits and gives the receiver the error, waiting or not', async () => {
  const failure = new Error('disk on fire');
  const full = new BoundedChannel<number>({ capacity: 1 });
  await full.send(1);
  const blocked = full.send(2);
  full.fail(failure);
  await assert.rejects(blocked, (error) => error instanceof ChannelClosedError);
  await assert.rejects(full.receive(), failure);
  const empty = new BoundedChannel<number>({ capacity: 1 });
  const waiting = empty.receive();
  empty.fail(failure);
  await assert.rejects(waiting, failure);
});

test('cancel wakes every blocked sender with its item', async () => {
  const channel = new BoundedChannel<number>({ capacity: 1 });
  await channel.send(0);
  const blocked = [channel.send(1), channel.send(2)];
  channel.cancel(new Error('reader left'));
  for (const [index, sender] of blocked.entries()) {
    await assert.rejects(sender, (error) => {
      assert.ok(error instanceof ChannelClosedError);
      assert.equal(error.item, index + 1);
      assert.match(String(error.cause), /reader left/);
      return true;
    });
  }
  assert.deepEqual(await channel.receive(), { done: true });
});

test('leaving a for-await loop cancels the channel', async () => {
  const channel = new BoundedChannel<number>({ capacity: 1 });
  const sender = (async () => {
    for (let n = 0; ; n++) await channel.send(n);
  })();
  for await (const item of channel) if (item === 3) break;
  await assert.rejects(sender, ChannelClosedError);
});

test('an aborted wait takes nothing and leaves nobody behind', async () => {
  const channel = new BoundedChannel<number>({ capacity: 1 });
  const stop = new AbortController();
  const receiving = channel.receive(stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(receiving, /enough/);
  await channel.send(1);
  const stopSend = new AbortController();
  const sending = channel.send(2, stopSend.signal);
  stopSend.abort(new Error('enough'));
  await assert.rejects(sending, /enough/);
  assert.deepEqual(await channel.receive(), { done: false, value: 1 });
  assert.equal(channel.depth, 0);
});
