/**
 * Scenario: rows were committed and not announced, on a real Postgres; the bus answers, fails or is made anew.
 * Guarantees: every row is announced in the end and then left alone; rows on their way are not taken; a
 * failing bus or database ends neither the sweeper nor its bounds.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger, createMetrics } from '@tracelake/service-kit';
import {
  BlockRepository,
  type Database,
  migrate,
  openDatabase,
  ProcessRepository,
  requeueRecent,
  StreamRepository,
} from '@tracelake/storage';
import { loadFixture, startTestPostgres, type TestPostgres } from '@tracelake/test-kit';
import { decodeBlockEnvelope, decodeProcessInfo, decodeStreamInfo } from '@tracelake/transit';
import { AnnouncedMarker, type MarkerPorts } from './announced-marker.ts';
import { type Announcement, idOf } from './announcement.ts';
import { TelemetryEvents } from './telemetry-events.ts';
import { UnannouncedSweeper, type UnannouncedSweeperOptions } from './unannounced-sweeper.ts';

let postgres: TestPostgres;
let db: Database;
let tables: MarkerPorts;
const events = new TelemetryEvents(
  createLogger({ service: 'test', level: 'silent' }),
  createMetrics({ service: 'test' }),
);
const everyKind = { olderThanMs: 0, limit: 1000 };

beforeEach(async () => {
  postgres = await startTestPostgres();
  db = openDatabase(postgres.url);
  await migrate(db);
  tables = {
    processes: new ProcessRepository(db),
    streams: new StreamRepository(db),
    blocks: new BlockRepository(db),
  };
});

afterEach(async () => {
  await db[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

/** Inserts the rows of a recording and returns their ids. */
async function insertRecording(name: string): Promise<string[]> {
  const ids: string[] = [];
  for (const { path, body } of loadFixture(name).requests) {
    if (path.endsWith('insert_process')) {
      const process = decodeProcessInfo(body);
      await tables.processes.insertIfAbsent(process);
      ids.push(process.processId);
    } else if (path.endsWith('insert_stream')) {
      const stream = decodeStreamInfo(body);
      await tables.streams.insertIfAbsent(stream);
      ids.push(stream.streamId);
    } else {
      const block = decodeBlockEnvelope(body);
      await tables.blocks.insertIfAbsent({ ...block, payloadBytes: body.length });
      ids.push(block.blockId);
    }
  }
  return ids.sort();
}

async function listUnannounced(): Promise<string[]> {
  const [processes, streams, blocks] = await Promise.all([
    tables.processes.listUnannounced(everyKind),
    tables.streams.listUnannounced(everyKind),
    tables.blocks.listUnannounced(everyKind),
  ]);
  return [
    ...processes.map((row) => row.processId),
    ...streams.map((row) => row.streamId),
    ...blocks.map((row) => row.blockId),
  ].sort();
}

interface SweeperOverrides extends Partial<Omit<UnannouncedSweeperOptions, 'publish'>> {
  /** What the bus does with one announcement. */
  readonly publish: (announcement: Announcement, signal: AbortSignal) => Promise<void>;
}

function startSweeper({ publish, ...overrides }: SweeperOverrides): UnannouncedSweeper {
  const sweeper = new UnannouncedSweeper({
    ...tables,
    publish: (announcements, signal) =>
      Promise.allSettled(announcements.map((announcement) => publish(announcement, signal))),
    events,
    requeueRecent: (withinMs, signal) => requeueRecent(db, { withinMs, limit: 1000 }, signal),
    intervalMs: 20,
    minimumAgeMs: 0,
    ...overrides,
  });
  sweeper.start();
  return sweeper;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, 'the condition came true in time');
    await sleep(10);
  }
}

test('every unannounced row is announced once and taken off the list', async () => {
  const ids = await insertRecording('small');
  assert.deepEqual(await listUnannounced(), ids);
  const published: Announcement[] = [];
  await using _sweeper = startSweeper({
    publish: async (announcement) => void published.push(announcement),
  });
  await until(async () => (await listUnannounced()).length === 0);
  await sleep(60);
  assert.deepEqual(published.map(idOf).sort(), ids);
  const block = published.find((announcement) => announcement.kind === 'block');
  assert.ok(block?.kind === 'block' && block.objectCount > 0 && block.insertTimeUs > 0n);
});

test('rows younger than the minimum age are on their way and are not taken', async () => {
  await insertRecording('small');
  let published = 0;
  await using _sweeper = startSweeper({
    minimumAgeMs: 60_000,
    publish: async () => {
      published += 1;
    },
  });
  await sleep(100);
  assert.equal(published, 0);
});

test('what the bus refuses stays on the list and is announced when it is back', async () => {
  const ids = await insertRecording('small');
  const announced = new Set<string>();
  let isUp = false;
  const publish = async (announcement: Announcement) => {
    // Even then one kind goes through, so that pages are taken off the list in part.
    if (!isUp && announcement.kind !== 'process') throw new Error('bus down');
    announced.add(idOf(announcement));
  };
  await using _sweeper = startSweeper({ publish });
  await until(async () => (await listUnannounced()).length === ids.length - 1);
  await sleep(60);
  assert.equal(announced.size, 1);
  isUp = true;
  await until(async () => (await listUnannounced()).length === 0);
  assert.deepEqual([...announced].sort(), ids);
});

test('after the bus was made anew recent rows are announced again, announced ones too', async () => {
  const ids = await insertRecording('small');
  const published: string[] = [];
  await using sweeper = startSweeper({
    intervalMs: 60_000,
    minimumAgeMs: 60_000,
    publish: async (announcement) => void published.push(idOf(announcement)),
  });
  await sleep(50);
  const marker = new AnnouncedMarker({ ...tables, events });
  for (const row of await tables.processes.listUnannounced(everyKind)) {
    marker.mark({ kind: 'process', ...row });
  }
  await marker[Symbol.asyncDispose]();
  assert.equal((await listUnannounced()).length, ids.length - 1);
  sweeper.announceRecentAgain();
  await until(() => published.length === ids.length);
  assert.deepEqual(published.sort(), ids);
  await until(async () => (await listUnannounced()).length === 0);
});

test('a sweeper that waits for a bus that hangs stops at once', async () => {
  await insertRecording('small');
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
  const sweeper = startSweeper({
    publish: (_, signal) => {
      enter();
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    },
  });
  await entered;
  const startedMs = performance.now();
  await sweeper[Symbol.asyncDispose]();
  assert.ok(performance.now() - startedMs < 1000);
});

test('a recording of more rows than a page is announced whole', async () => {
  const recorded = loadFixture('small').requests.find(({ path }) => path.endsWith('insert_block'));
  assert.ok(recorded);
  const block = decodeBlockEnvelope(recorded.body);
  const rows = Array.from({ length: 1200 }, () => ({
    ...block,
    blockId: crypto.randomUUID() as typeof block.blockId,
    payloadBytes: 1,
  }));
  await tables.blocks.insertMany(rows);
  let published = 0;
  await using _sweeper = startSweeper({
    intervalMs: 60_000,
    publish: async () => {
      published += 1;
    },
  });
  await until(() => published === 1200);
  await until(async () => (await listUnannounced()).length === 0);
});
