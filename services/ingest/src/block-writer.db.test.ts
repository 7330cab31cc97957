/**
 * Scenario: blocks are written to a real Postgres and a directory, by one writer and by many at once, with
 * crashes between the two writes played by leaving out one of them.
 * Guarantees: each of the four outcomes is named; one row and one object whatever the race; a conflict
 * changes nothing and leaves nothing.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ensureExists, parseStreamId } from '@tracelake/domain';
import { createLogger, createMetrics } from '@tracelake/service-kit';
import {
  BlockRepository,
  type Database,
  migrate,
  type ObjectStore,
  objectKeys,
  openDatabase,
  openObjectStore,
} from '@tracelake/storage';
import {
  fixtureCases,
  loadFixture,
  startTestPostgres,
  type TestPostgres,
} from '@tracelake/test-kit';
import {
  type BlockEnvelope,
  contentSha256Of,
  decodeBlockEnvelope,
  encodeBlockPayload,
} from '@tracelake/transit';
import { BlockRows } from './block-rows.ts';
import { BlockWriter, nameOutcome } from './block-writer.ts';
import { TelemetryEvents } from './telemetry-events.ts';

let postgres: TestPostgres;
let db: Database;
let directory: string;
let objects: ObjectStore & AsyncDisposable;
let blocks: BlockRepository;
const signal = new AbortController().signal;

before(async () => {
  postgres = await startTestPostgres();
  db = openDatabase(postgres.url);
  await migrate(db);
  directory = await mkdtemp(join(tmpdir(), 'tracelake-ingest-'));
  objects = await openObjectStore(pathToFileURL(directory).href, { writerThreads: 2 });
  await objects.checkReady();
  blocks = new BlockRepository(db);
});

after(async () => {
  await objects[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

interface WriterParts {
  /** Runs between the writer's object and its row. */
  readonly beforeInsert?: () => Promise<unknown>;
  readonly onLogLine?: (line: string) => void;
}

function makeWriter({ beforeInsert, onLogLine }: WriterParts = {}): BlockWriter {
  const logger = createLogger({
    service: 'test',
    level: onLogLine === undefined ? 'silent' : 'info',
    destination: { write: (line) => onLogLine?.(line) },
  });
  const events = new TelemetryEvents(logger, createMetrics({ service: 'test' }));
  const rows = new (class extends BlockRows {
    override async insert(...[row, abort]: Parameters<BlockRows['insert']>) {
      await beforeInsert?.();
      return super.insert(row, abort);
    }
  })({ blocks, events, timeoutMs: 10_000 });
  return new BlockWriter({ objects, rows, blocks, events });
}

/** Every test takes a recorded block under an id of its own. */
function makeBlock(overrides: Partial<BlockEnvelope> = {}): BlockEnvelope {
  const request = ensureExists(
    loadFixture('small').requests.find(({ path }) => path.endsWith('insert_block')),
    'a recorded block',
  );
  const recorded = decodeBlockEnvelope(request.body);
  const blockId = crypto.randomUUID() as typeof recorded.blockId;
  const block = { ...recorded, blockId, ...overrides };
  return { ...block, contentSha256: contentSha256Of(block, block.payload) };
}

function keyOf(block: BlockEnvelope): string {
  return objectKeys.block(block.processId, block.streamId, block.blockId);
}

async function listKeys(block: BlockEnvelope): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of objects.list('blobs/')) {
    if (key.endsWith(block.blockId)) keys.push(key);
  }
  return keys;
}

function otherStreamId() {
  return ensureExists(parseStreamId(crypto.randomUUID()), 'a stream id');
}

test('the four outcomes have their names', () => {
  assert.equal(nameOutcome('created', 'inserted'), 'stored');
  assert.equal(nameOutcome('existed', 'inserted'), 'row-restored');
  assert.equal(nameOutcome('created', 'exists-same'), 'object-restored');
  assert.equal(nameOutcome('existed', 'exists-same'), 'duplicate');
});

test('a new block is stored, the same again is a duplicate that changes nothing', async () => {
  const writer = makeWriter();
  const block = makeBlock();
  const first = await writer.write(block, signal);
  assert.equal(first.outcome, 'stored');
  const row = ensureExists(await blocks.find(block.blockId), 'the row');
  assert.equal(first.newRowTimeUs, row.insertTimeUs);
  const again = await writer.write(block, signal);
  assert.deepEqual([again.outcome, again.newRowTimeUs], ['duplicate', undefined]);
  assert.deepEqual(await blocks.find(block.blockId), row);
  const stored = Buffer.from(await objects.get(keyOf(block)));
  assert.deepEqual(stored, Buffer.from(encodeBlockPayload(block.payload)));
});

test('an object that a crash left without a row is compared, and the row is made', async () => {
  const block = makeBlock();
  await objects.putIfAbsent(keyOf(block), encodeBlockPayload(block.payload));
  const result = await makeWriter().write(block, signal);
  assert.equal(result.outcome, 'row-restored');
  assert.ok(await blocks.find(block.blockId));
});

test('an object without a row and with other content is a conflict, and no row is made', async () => {
  for (const left of [encodeBlockPayload(makeOtherPayload()), Buffer.from('damaged')]) {
    const block = makeBlock();
    await objects.putIfAbsent(keyOf(block), left);
    await assert.rejects(makeWriter().write(block, signal), { code: 'ingest.block-conflict' });
    assert.equal(await blocks.find(block.blockId), undefined);
    assert.deepEqual(Buffer.from(await objects.get(keyOf(block))), Buffer.from(left));
  }
});

test('a lost object is made again from the same block', async () => {
  const block = makeBlock();
  await makeWriter().write(block, signal);
  await objects.delete(keyOf(block));
  const result = await makeWriter().write(block, signal);
  assert.deepEqual([result.outcome, result.newRowTimeUs], ['object-restored', undefined]);
  assert.ok(await objects.get(keyOf(block)));
});

test('other content under a known id is a conflict, wherever it differs, and leaves nothing', async () => {
  const block = makeBlock();
  await makeWriter().write(block, signal);
  const { blockId } = block;
  const others = [
    makeBlock({ blockId, objectCount: block.objectCount + 1 }),
    makeBlock({ blockId, payload: makeOtherPayload() }),
    makeBlock({ blockId, streamId: otherStreamId() }),
    makeBlock({ blockId, exactEndNs: (block.exactEndNs + 1n) as typeof block.exactEndNs }),
  ];
  const row = await blocks.find(blockId);
  for (const other of others) {
    await assert.rejects(makeWriter().write(other, signal), { code: 'ingest.block-conflict' });
  }
  assert.deepEqual(await blocks.find(blockId), row);
  assert.deepEqual(await listKeys(block), [keyOf(block)]);
});

test('of a lost object only the same content takes the place', async () => {
  const block = makeBlock();
  await makeWriter().write(block, signal);
  await objects.delete(keyOf(block));
  const others = [
    makeBlock({ blockId: block.blockId, payload: makeOtherPayload() }),
    makeBlock({ blockId: block.blockId, streamId: otherStreamId() }),
  ];
  for (const other of others) {
    await assert.rejects(makeWriter().write(other, signal), { code: 'ingest.block-conflict' });
    assert.deepEqual(await listKeys(block), []);
  }
  assert.equal((await makeWriter().write(block, signal)).outcome, 'object-restored');
});

test('a writer that loses its id leaves the object on which the winner rests', async () => {
  const loser = makeBlock();
  const winner = makeBlock({ blockId: loser.blockId, objectCount: loser.objectCount + 1 });
  const beforeInsert = async () => {
    const { outcome } = await makeWriter().write(winner, signal);
    assert.equal(outcome, 'row-restored');
  };
  await assert.rejects(makeWriter({ beforeInsert }).write(loser, signal), {
    code: 'ingest.block-conflict',
  });
  assert.deepEqual(await listKeys(winner), [keyOf(winner)]);
  assert.equal((await makeWriter().write(winner, signal)).outcome, 'duplicate');
});

test('a restored object is warned of when it had been lost, not when another writer came between', async () => {
  const lines: string[] = [];
  const onLogLine = (line: string) => lines.push(line);
  const block = makeBlock();
  const beforeInsert = () => makeWriter().write(block, signal);
  const raced = await makeWriter({ beforeInsert, onLogLine }).write(block, signal);
  assert.deepEqual([raced.outcome, lines], ['object-restored', []]);
  await objects.delete(keyOf(block));
  const lost = await makeWriter({ onLogLine }).write(block, signal);
  assert.equal(lost.outcome, 'object-restored');
  assert.match(lines.join(), /lost block object restored/);
});

test('sixteen writers of one block leave one row and one object, and one of them announces', async () => {
  for (let round = 0; round < 10; round += 1) {
    const block = makeBlock();
    const results = await Promise.all(
      Array.from({ length: 16 }, () => makeWriter().write(block, signal)),
    );
    assert.equal(results.filter((result) => result.newRowTimeUs !== undefined).length, 1);
    assert.deepEqual(await listKeys(block), [keyOf(block)]);
  }
});

test('writers that race with different content under one id: one content wins whole', async () => {
  for (let round = 0; round < 20; round += 1) {
    const first = makeBlock();
    const { blockId } = first;
    const contenders = [
      first,
      makeBlock({ blockId, streamId: otherStreamId() }),
      makeBlock({ blockId, objectCount: first.objectCount + 1 }),
      makeBlock({ blockId, payload: makeOtherPayload() }),
    ];
    const results = await Promise.allSettled(
      contenders.flatMap((block) => [
        makeWriter().write(block, signal),
        makeWriter().write(block, signal),
      ]),
    );
    const row = ensureExists(await blocks.find(blockId), 'the winning row');
    const winner = ensureExists(
      contenders.find((block) => Buffer.compare(block.contentSha256, row.contentSha256) === 0),
      'the winner',
    );
    assert.deepEqual(await listKeys(first), [keyOf(winner)]);
    const stored = Buffer.from(await objects.get(keyOf(winner)));
    assert.deepEqual(stored, Buffer.from(encodeBlockPayload(winner.payload)));
    for (const [index, result] of results.entries()) {
      const isWinner = contenders[Math.floor(index / 2)] === winner;
      if (isWinner) assert.equal(result.status, 'fulfilled');
      else if (result.status === 'rejected') {
        assert.equal((result.reason as { code: string }).code, 'ingest.block-conflict');
      } else assert.fail('a loser was acknowledged');
    }
  }
});

test('every recorded block of every case is stored under the hash of its content', async () => {
  for (const name of fixtureCases()) {
    for (const { path, body } of loadFixture(name).requests) {
      if (!path.endsWith('insert_block')) continue;
      const block = decodeBlockEnvelope(body);
      await makeWriter().write(block, signal);
      const row = ensureExists(await blocks.find(block.blockId), 'the row');
      assert.deepEqual(Buffer.from(row.contentSha256), Buffer.from(block.contentSha256));
      assert.deepEqual(await listKeys(block), [keyOf(block)]);
    }
  }
});

function makeOtherPayload() {
  return { dependencies: Buffer.from('other'), objects: Buffer.from(crypto.randomUUID()) };
}
