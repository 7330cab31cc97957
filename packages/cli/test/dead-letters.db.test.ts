/**
 * Scenario: `tracelake dead-letters` on a real NATS server, with and without letters, and with the server away.
 * Guarantees: nothing leaves DEAD unasked; what could not be done is named and is the exit status.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Bus, connectBus } from '@tracelake/bus';
import { ensureExists, nanoseconds, parseProcessId } from '@tracelake/domain';
import { startTestNats, type TestNats } from '@tracelake/test-kit';
import { runCommand } from './run-command.ts';

const deadLetters = (nats: TestNats, ...argv: string[]) =>
  runCommand(['dead-letters', ...argv], { env: { TRACELAKE_NATS_URL: nats.url } });

/** Makes so many dead letters of requests; resolves with the bus they came over. */
async function bury(nats: TestNats, count: number): Promise<Bus> {
  const bus = await connectBus({ servers: nats.url, name: 'test', lanes: 1 });
  const processId = ensureExists(parseProcessId(randomUUID()), 'a process id');
  for (let attempt = 0; attempt < count; attempt++) {
    await bus.requestMaterialization({
      processId,
      viewSet: 'async_events',
      instance: processId,
      beginNs: undefined,
      endNs: nanoseconds(1_763_690_000_000_000_001n),
      wantedHash: 'wanted',
      attempt,
    });
  }
  let buried = 0;
  await using consumer = bus.consume({
    stream: 'MATERIALIZE',
    durable: 'requests',
    filterSubject: 'materialize.>',
    handler: () => {
      buried++;
      return { deadLetter: 'the disk is full' };
    },
  });
  while (buried < count) await delay(10);
  await consumer.drain(AbortSignal.timeout(5000));
  return bus;
}

/** The requests that are in their queue, each taken out. */
async function takeRequests(bus: Bus, count: number): Promise<number[]> {
  const attempts: number[] = [];
  await using _consumer = bus.consume({
    stream: 'MATERIALIZE',
    durable: 'requests',
    filterSubject: 'materialize.>',
    handler: (message) => {
      attempts.push(message.attempt);
      return 'ack';
    },
  });
  const deadline = Date.now() + 5000;
  while (attempts.length < count && Date.now() < deadline) await delay(10);
  return attempts;
}

test('letters are listed, shown with what is inside, replayed and discarded', async () => {
  await using nats = await startTestNats();
  await using bus = await bury(nats, 4);
  const listed = await deadLetters(nats, 'list');
  assert.equal(listed.status, 0, listed.stderr);
  assert.match(listed.stdout, /^SEQUENCE +DEAD SINCE +DELIVERIES +SUBJECT +REASON\n1 /);
  assert.match(listed.stdout, /materialize\.requested\.0\.async_events +the disk is full/);
  const limited = await deadLetters(nats, 'list', '--json', '--limit', '2');
  assert.deepEqual(
    JSON.parse(limited.stdout).map((letter: { sequence: number }) => letter.sequence),
    [1, 2],
  );
  assert.match(limited.stderr, /more than 2/);
  const shown = JSON.parse((await deadLetters(nats, 'show', '2')).stdout);
  assert.equal(shown.reason, 'the disk is full');
  assert.equal(shown.message.attempt, 1);
  assert.equal(shown.message.endNs, '1763690000000000001');
  assert.equal((await deadLetters(nats, 'discard', '1')).stdout, 'discarded 1 dead letter(s)\n');
  assert.equal((await deadLetters(nats, 'replay', '3')).stdout, 'replayed 1 dead letter(s)\n');
  assert.deepEqual(await takeRequests(bus, 1), [2]);
  const others = await deadLetters(nats, 'replay', '--all', '--stream', 'TELEMETRY');
  assert.match(others.stdout, /replayed 0/);
  const rest = await deadLetters(nats, 'replay', '--all', '--json');
  assert.deepEqual(JSON.parse(rest.stdout), { done: [2, 4], gone: [], failed: [] });
  assert.deepEqual((await takeRequests(bus, 2)).toSorted(), [1, 3]);
  assert.match((await deadLetters(nats, 'list')).stderr, /no dead letters/);
});

test('what is gone already fails a replay, not a discard, and the others are done', async () => {
  await using nats = await startTestNats();
  await using _bus = await bury(nats, 2);
  const replayed = await deadLetters(nats, 'replay', '9', '1');
  assert.equal(replayed.status, 1);
  assert.match(replayed.stderr, /9 is not there/);
  assert.match(replayed.stdout, /replayed 1/);
  assert.equal((await deadLetters(nats, 'discard', '1', '2')).status, 0);
  assert.equal(
    (await deadLetters(nats, 'discard', '--all')).stdout,
    'discarded 0 dead letter(s)\n',
  );
  const shown = await deadLetters(nats, 'show', '1');
  assert.equal(shown.status, 1);
  assert.match(shown.stderr, /no dead letter 1/);
});

test('a NATS server that is away is named with what to check, and DEAD is as it was after', async () => {
  await using nats = await startTestNats();
  await using bus = await bury(nats, 1);
  await bus[Symbol.asyncDispose]();
  await nats.stop();
  const away = await deadLetters(nats, 'replay', '--all');
  assert.equal(away.status, 1);
  assert.match(away.stderr, /no NATS server answers.*TRACELAKE_NATS_URL/);
  await nats.start();
  assert.match((await deadLetters(nats, 'list')).stdout, /the disk is full/);
});
