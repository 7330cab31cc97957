/**
 * Scenario: one service publishes to a real server.
 * Guarantees: what is acknowledged is stored once, no more than the window is on the way, and every failure
 * says whether to try again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockInserted, materializeRequested, observe, startBusRig } from '../test/bus-rig.ts';
import { BusError, type BusErrorCode } from './bus-error.ts';
import { decodeMessage } from './message-codec.ts';
import { DEFAULT_STREAM_SETTINGS } from './stream-configs.ts';

function busError(code: BusErrorCode, retryable: boolean): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof BusError, String(error));
    assert.deepEqual([error.code, error.retryable], [code, retryable]);
    return true;
  };
}

test('a published message is stored on its subject, and once however often it is sent', async () => {
  await using rig = await startBusRig();
  const block = blockInserted();
  const first = await rig.bus.announceBlock(block);
  const second = await rig.bus.announceBlock(block);
  assert.deepEqual([first.stream, first.sequence, first.isDuplicate], ['TELEMETRY', 1, false]);
  assert.deepEqual([second.sequence, second.isDuplicate], [1, true]);
  await using observer = await observe(rig.nats);
  const { state } = await observer.manager.streams.info('TELEMETRY');
  assert.equal(state.messages, 1);
  const stored = await observer.manager.streams.getMessage('TELEMETRY', { seq: 1 });
  assert.ok(stored !== null);
  assert.match(
    stored.subject,
    new RegExp(`^telemetry\\.block\\.inserted\\.[0-3]\\.${block.processId}$`),
  );
  assert.equal(stored.header.get('Nats-Msg-Id'), `block:${block.blockId}`);
  assert.deepEqual(decodeMessage(stored.subject, stored.data), {
    kind: 'block-inserted',
    ...block,
  });
});

test('a burst goes out through the window and all of it is stored', async () => {
  await using rig = await startBusRig({ publishWindow: 20 });
  const count = 3_000;
  let inFlightMax = 0;
  const sampler = setInterval(() => {
    inFlightMax = Math.max(inFlightMax, rig.bus.publishQueue.inFlight);
  }, 1);
  const startMs = performance.now();
  const work = Array.from({ length: count }, () => rig.bus.announceBlock(blockInserted()));
  assert.deepEqual(rig.bus.publishQueue, { inFlight: 20, waiting: count - 20 });
  const receipts = await Promise.all(work);
  clearInterval(sampler);
  const perSecond = (count / (performance.now() - startMs)) * 1000;
  assert.equal(inFlightMax, 20);
  assert.equal(new Set(receipts.map((receipt) => receipt.sequence)).size, count);
  // A round trip for each message, one after the other, gives hundreds even on a busy machine; a stuck window gives none.
  assert.ok(perSecond > 100, `only ${perSecond.toFixed(0)} messages a second`);
  assert.deepEqual(rig.bus.publishQueue, { inFlight: 0, waiting: 0 });
});

test('more messages than may wait are refused at once', async () => {
  await using rig = await startBusRig({ publishWindow: 1, publishWaitersMax: 2 });
  const work = Array.from({ length: 4 }, () => rig.bus.announceBlock(blockInserted()));
  const results = await Promise.allSettled(work);
  assert.deepEqual(
    results.map((result) => result.status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected'],
  );
  await assert.rejects(
    Promise.reject(results[3]?.status === 'rejected' && results[3].reason),
    busError('bus.overloaded', true),
  );
});

test('a full work queue refuses new requests and can be tried again', async () => {
  const { bounds } = DEFAULT_STREAM_SETTINGS;
  await using rig = await startBusRig({
    streams: { bounds: { ...bounds, MATERIALIZE: { ...bounds.MATERIALIZE, messagesMax: 2 } } },
  });
  await rig.bus.requestMaterialization(materializeRequested());
  await rig.bus.requestMaterialization(materializeRequested());
  await assert.rejects(
    rig.bus.requestMaterialization(materializeRequested()),
    busError('bus.stream-full', true),
  );
});

test('messages published together each have their own receipt or refusal', async () => {
  const { bounds } = DEFAULT_STREAM_SETTINGS;
  await using rig = await startBusRig({
    publishWindow: 2,
    streams: { bounds: { ...bounds, MATERIALIZE: { ...bounds.MATERIALIZE, messagesMax: 1 } } },
  });
  const blocks = Array.from({ length: 5 }, () => ({
    kind: 'block-inserted' as const,
    ...blockInserted(),
  }));
  const requests = [materializeRequested(), materializeRequested()].map((request) => ({
    kind: 'materialize-requested' as const,
    ...request,
  }));
  const results = await rig.bus.publishAll([...requests, ...blocks, ...blocks.slice(0, 1)]);
  const sequences = results.map((result) =>
    result.status === 'fulfilled' ? result.value.sequence : result.reason.code,
  );
  assert.deepEqual(sequences, [1, 'bus.stream-full', 1, 2, 3, 4, 5, 1]);
  assert.deepEqual(rig.bus.publishQueue, { inFlight: 0, waiting: 0 });
  await rig.nats.stop();
  const refused = await rig.bus.publishAll(blocks);
  assert.deepEqual([...new Set(refused.map((result) => result.status))], ['rejected']);
});

test('an instance that cannot stand in a subject is refused', async () => {
  await using rig = await startBusRig();
  await assert.rejects(
    rig.bus.publishPartitionEvent({
      viewSet: 'thread_spans',
      instance: 'a.b',
      outcome: 'current',
      sourceHash: '',
    }),
    busError('bus.bad-subject', false),
  );
});

test('with the server down publishing is refused at once, or waits within its time', async () => {
  await using rig = await startBusRig();
  await rig.nats.stop();
  await assert.rejects(rig.bus.checkReady(), busError('bus.unavailable', true));
  const startMs = performance.now();
  await assert.rejects(
    rig.bus.announceBlock(blockInserted()),
    (error) => error instanceof BusError && error.retryable,
  );
  // What was on the way when the server went may need its own time; a fresh one is refused at once.
  await assert.rejects(rig.bus.announceBlock(blockInserted()), busError('bus.unavailable', true));
  assert.ok(performance.now() - startMs < 5_000);
  await assert.rejects(
    rig.bus.announceBlock(blockInserted(), { whenDown: 'wait', timeoutMs: 300 }),
    busError('bus.unavailable', true),
  );
  await assert.rejects(
    rig.bus.announceBlock(blockInserted(), {
      whenDown: 'wait',
      signal: AbortSignal.timeout(100),
    }),
    busError('bus.unavailable', true),
  );
  const waiting = rig.bus.announceBlock(blockInserted(), { whenDown: 'wait' });
  await rig.nats.start();
  assert.equal((await waiting).stream, 'TELEMETRY');
  await rig.bus.checkReady();
});

test('a message published when nobody listens is stored when its stream was deleted meanwhile', async () => {
  await using rig = await startBusRig();
  await using observer = await observe(rig.nats);
  await observer.manager.streams.delete('TELEMETRY');
  const receipt = await rig.bus.announceBlock(blockInserted());
  assert.deepEqual([receipt.sequence, receipt.isDuplicate], [1, false]);
});

test('a drained bus has everything acknowledged and takes no more', async () => {
  await using rig = await startBusRig();
  const work = Array.from({ length: 500 }, () => rig.bus.announceBlock(blockInserted()));
  await rig.bus.drain();
  const results = await Promise.allSettled(work);
  assert.ok(results.every((result) => result.status === 'fulfilled'));
  await assert.rejects(rig.bus.announceBlock(blockInserted()), busError('bus.closed', false));
  await using observer = await observe(rig.nats);
  assert.equal((await observer.manager.streams.info('TELEMETRY')).state.messages, 500);
});
