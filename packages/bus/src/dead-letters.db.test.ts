/**
 * Scenario: an operator looks at the dead letters of a real server, sends them again and throws them away.
 * Guarantees: a dead letter goes only when its message is stored again or it is thrown away by name.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headers } from '@nats-io/nats-core';
import { ensureExists } from '@tracelake/domain';
import { startTestNats } from '@tracelake/test-kit';
import {
  type BusRig,
  blockInserted,
  materializeRequested,
  observe,
  startBusRig,
  until,
} from '../test/bus-rig.ts';
import { BusError } from './bus-error.ts';
import { type DeadLetters, openDeadLetters } from './dead-letters.ts';
import type { BlockInserted } from './messages.ts';

const { signal } = new AbortController();

async function open(rig: BusRig): Promise<DeadLetters> {
  return await openDeadLetters({ servers: rig.nats.url, name: 'operator', signal });
}

/** Makes a dead letter of one block and one request. */
async function bury(rig: BusRig, block: BlockInserted): Promise<void> {
  await rig.bus.announceBlock(block);
  await rig.bus.requestMaterialization(materializeRequested());
  await using _blocks = rig.bus.consume({
    stream: 'TELEMETRY',
    durable: 'burying-blocks',
    filterSubject: 'telemetry.>',
    handler: () => ({ deadLetter: 'cannot be read' }),
  });
  await until('the block in DEAD', async () => (await sequences(rig)).length === 1);
  await using _requests = rig.bus.consume({
    stream: 'MATERIALIZE',
    durable: 'burying-requests',
    filterSubject: 'materialize.>',
    handler: () => ({ deadLetter: 'cannot be built' }),
  });
  await until('the request in DEAD', async () => (await sequences(rig)).length === 2);
}

async function sequences(rig: BusRig, stream?: string): Promise<number[]> {
  await using letters = await open(rig);
  const all = await Array.fromAsync(letters.list({ stream, signal }));
  return all.map((letter) => letter.sequence);
}

test('dead letters are listed with their story, all of them or those of one stream', async () => {
  await using rig = await startBusRig();
  const block = blockInserted();
  assert.deepEqual(await sequences(rig), []);
  await bury(rig, block);
  await using letters = await open(rig);
  const [first, second] = await Array.fromAsync(letters.list({ signal }));
  assert.equal(first?.stream, 'TELEMETRY');
  assert.match(
    first?.subject ?? '',
    new RegExp(`^telemetry\\.block\\.inserted\\.\\d+\\.${block.processId}$`),
  );
  assert.equal(first?.reason, 'cannot be read');
  assert.equal(first?.consumer, 'burying-blocks');
  assert.equal(first?.deliveryCount, 1);
  assert.deepEqual(first?.headers.get('Nats-Msg-Id'), [`block:${block.blockId}`]);
  assert.equal(second?.stream, 'MATERIALIZE');
  assert.deepEqual(await sequences(rig, 'MATERIALIZE'), [2]);
  assert.deepEqual(await sequences(rig, 'PARTITIONS'), []);
  assert.equal((await letters.find(2, signal))?.reason, 'cannot be built');
  assert.equal(await letters.find(99, signal), undefined);
});

test('a replayed letter is delivered once more although its id is still known, and leaves DEAD', async () => {
  await using rig = await startBusRig();
  const block = blockInserted();
  await bury(rig, block);
  const seen: string[] = [];
  await using _consumer = rig.bus.consume({
    stream: 'TELEMETRY',
    durable: 'replayed',
    filterSubject: 'telemetry.>',
    handler: (message) => {
      if (message.kind === 'block-inserted') seen.push(message.blockId);
      return 'ack';
    },
  });
  await until('the original', () => seen.length === 1);
  await using letters = await open(rig);
  const letter = ensureExists(await letters.find(1, signal), 'the dead letter');
  const receipt = await letters.replay(letter, signal);
  assert.equal(receipt.stream, 'TELEMETRY');
  assert.equal(receipt.isDuplicate, false);
  await until('the replayed one', () => seen.length === 2);
  assert.deepEqual(seen, [block.blockId, block.blockId]);
  assert.deepEqual(await sequences(rig), [2]);
  // A second operator had read the letter before: the stream keeps one, and that it is gone is no error.
  assert.equal((await letters.replay(letter, signal)).isDuplicate, true);
});

test('a discarded letter is gone, and discarding it again says that it was', async () => {
  await using rig = await startBusRig();
  await bury(rig, blockInserted());
  await using letters = await open(rig);
  assert.equal(await letters.discard(1, signal), true);
  assert.equal(await letters.discard(1, signal), false);
  assert.equal(await letters.discard(99, signal), false);
  assert.deepEqual(await sequences(rig), [2]);
});

test('a letter whose stream refuses it stays in DEAD', async () => {
  await using rig = await startBusRig();
  await bury(rig, blockInserted());
  await using observer = await observe(rig.nats);
  const { config } = await observer.manager.streams.info('MATERIALIZE');
  await observer.manager.streams.update('MATERIALIZE', { ...config, max_msgs: 1 });
  await rig.bus.requestMaterialization(materializeRequested());
  await using letters = await open(rig);
  const letter = ensureExists(await letters.find(2, signal), 'the dead letter');
  await assert.rejects(letters.replay(letter, signal), { code: 'bus.stream-full' });
  assert.deepEqual(await sequences(rig), [1, 2]);
});

test('what does not say where it came from is listed, not replayed, and can be discarded', async () => {
  await using rig = await startBusRig();
  await using observer = await observe(rig.nats);
  const jetstream = observer.manager.jetstream();
  const lying = headers();
  lying.set('Tracelake-Dead-Stream', 'TELEMETRY');
  lying.set('Tracelake-Dead-Subject', 'dead.TELEMETRY');
  await jetstream.publish('dead.strange', 'x');
  await jetstream.publish('dead.TELEMETRY', 'x', { headers: lying });
  await using letters = await open(rig);
  const all = await Array.fromAsync(letters.list({ signal }));
  assert.deepEqual(
    all.map((letter) => letter.stream),
    ['strange', 'TELEMETRY'],
  );
  for (const letter of all) {
    await assert.rejects(letters.replay(letter, signal), { code: 'bus.bad-dead-letter' });
    assert.equal(await letters.discard(letter.sequence, signal), true);
  }
});

test('without the stream there are no dead letters, and looking makes none', async () => {
  await using nats = await startTestNats();
  await using letters = await openDeadLetters({ servers: nats.url, name: 'operator', signal });
  assert.deepEqual(await Array.fromAsync(letters.list({ signal })), []);
  assert.equal(await letters.find(1, signal), undefined);
  assert.equal(await letters.discard(1, signal), false);
  await using observer = await observe(nats);
  assert.deepEqual(await Array.fromAsync(observer.manager.streams.names()), []);
});

test('a server that is away is said so in time, at the start and in between', async () => {
  await using rig = await startBusRig();
  await bury(rig, blockInserted());
  await using letters = await open(rig);
  const letter = ensureExists(await letters.find(1, signal), 'the dead letter');
  await rig.nats.stop();
  const isAway = (error: unknown) => error instanceof BusError && error.code === 'bus.unavailable';
  await assert.rejects(letters.find(1, signal), isAway);
  await assert.rejects(letters.replay(letter, signal), isAway);
  const soon = AbortSignal.timeout(300);
  await assert.rejects(
    openDeadLetters({ servers: rig.nats.url, name: 'operator', signal: soon }),
    isAway,
  );
  await assert.rejects(
    openDeadLetters({ servers: 'nats://[', name: 'operator', signal: soon }),
    isAway,
  );
  await rig.nats.start();
  await until('the letter', async () =>
    (await sequences(rig).catch((): number[] => [])).includes(1),
  );
});
