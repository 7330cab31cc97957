import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureExists, parseProcessId } from '@tracelake/domain';
import { createLogger, createMetrics, type Metrics } from '@tracelake/service-kit';
import type { Announcement, PublishAnnouncements } from './announcement.ts';
import { Announcer, type AnnouncerOptions } from './announcer.ts';
import { TelemetryEvents } from './telemetry-events.ts';

/** A bus whose acknowledgements the test gives. */
class ManualBus {
  readonly pending: { announcement: Announcement; acknowledge(): void; refuse(): void }[] = [];
  readonly publish: PublishAnnouncements = (announcements, signal) =>
    Promise.allSettled(announcements.map((announcement) => this.#send(announcement, signal)));

  #send(announcement: Announcement, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    const refuse = () => reject(new Error('bus down'));
    this.pending.push({ announcement, acknowledge: resolve, refuse });
    return promise;
  }
}

interface Rig {
  readonly announcer: Announcer;
  readonly bus: ManualBus;
  readonly announced: Announcement[];
  readonly metrics: Metrics;
}

function makeRig(overrides: Partial<AnnouncerOptions> = {}): Rig {
  const bus = new ManualBus();
  const announced: Announcement[] = [];
  const metrics = createMetrics({ service: 'test' });
  const announcer = new Announcer({
    publish: bus.publish,
    onAnnounced: (announcement) => announced.push(announcement),
    events: new TelemetryEvents(createLogger({ service: 'test', level: 'silent' }), metrics),
    queueMessages: 5,
    windowMessages: 2,
    pauseMs: 200,
    gatherMs: 0,
    ...overrides,
  });
  return { announcer, bus, announced, metrics };
}

function announcementOf(index: number): Announcement {
  const text = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
  const processId = ensureExists(parseProcessId(text), 'a process id');
  return { kind: 'process', processId, insertTimeUs: BigInt(index) };
}

async function countLeft(metrics: Metrics): Promise<number> {
  const line = /announcements_total\{.*outcome="left-to-sweeper".*\} (\d+)/;
  return Number(line.exec(await metrics.render())?.[1] ?? 0);
}

test('a window goes out together, a queue waits, and what does not fit is left to the sweeper', async () => {
  const { announcer, bus, announced, metrics } = makeRig();
  for (let index = 0; index < 7; index += 1) announcer.announce(announcementOf(index));
  assert.equal(announcer.queueDepth, 5);
  assert.equal(await countLeft(metrics), 2);
  assert.equal(bus.pending.length, 0, 'they gather');
  await sleep(5);
  assert.equal(bus.pending.length, 2);
  assert.equal(announcer.unacknowledged, 2);
  for (const sent of [2, 4, 5]) {
    assert.equal(bus.pending.length, sent);
    for (const message of bus.pending) message.acknowledge();
    await sleep(1);
  }
  assert.deepEqual(announced, [0, 1, 2, 3, 4].map(announcementOf));
  assert.equal(announcer.queueDepth, 0);
  assert.equal(announcer.unacknowledged, 0);
});

test('one that fails is left to the sweeper and costs the others nothing', async () => {
  const { announcer, bus, announced, metrics } = makeRig();
  for (let index = 0; index < 2; index += 1) announcer.announce(announcementOf(index));
  await sleep(5);
  ensureExists(bus.pending[0], 'a published message').refuse();
  ensureExists(bus.pending[1], 'a published message').acknowledge();
  await sleep(1);
  assert.deepEqual(announced, [announcementOf(1)]);
  assert.equal(await countLeft(metrics), 1);
});

test('after a failure nothing is tried for a while, then it goes on', async () => {
  const { announcer, bus, announced, metrics } = makeRig();
  for (let index = 0; index < 4; index += 1) announcer.announce(announcementOf(index));
  await sleep(5);
  for (const message of bus.pending) message.refuse();
  await sleep(1);
  announcer.announce(announcementOf(4));
  await sleep(5);
  assert.equal(bus.pending.length, 2, 'paused');
  assert.equal(await countLeft(metrics), 5);
  await sleep(250);
  announcer.announce(announcementOf(5));
  await sleep(5);
  ensureExists(bus.pending[2], 'a message after the pause').acknowledge();
  await sleep(1);
  assert.deepEqual(announced, [announcementOf(5)]);
});

test('a bus that never acknowledges costs its timeout and no more', async () => {
  const { announcer, metrics } = makeRig({ acknowledgeTimeoutMs: 20 });
  announcer.announce(announcementOf(0));
  await sleep(80);
  assert.equal(announcer.unacknowledged, 0);
  assert.equal(await countLeft(metrics), 1);
});

test('draining publishes at once what gathers and gives up when the signal fires', async () => {
  const { announcer, bus, announced } = makeRig({ gatherMs: 60_000 });
  for (let index = 0; index < 4; index += 1) announcer.announce(announcementOf(index));
  const drained = announcer.drain(AbortSignal.timeout(50));
  announcer.announce(announcementOf(9));
  for (const message of bus.pending) message.acknowledge();
  await drained;
  assert.deepEqual(announced, [announcementOf(0), announcementOf(1)]);
  assert.equal(announcer.unacknowledged, 0);
  assert.equal(announcer.queueDepth, 0);
  await announcer[Symbol.asyncDispose]();
});
