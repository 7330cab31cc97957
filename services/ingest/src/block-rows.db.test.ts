/**
 * Scenario: rows of many blocks go to a real Postgres in one statement.
 * Guarantees: each block has an outcome of its own; one that Postgres refuses does not take the others with it;
 * with Postgres away each of them fails as an outage.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ensureExists } from '@tracelake/domain';
import { createLogger, createMetrics } from '@tracelake/service-kit';
import {
  BlockRepository,
  type Database,
  migrate,
  type NewBlock,
  openDatabase,
} from '@tracelake/storage';
import { loadFixture, startTestPostgres, type TestPostgres } from '@tracelake/test-kit';
import { decodeBlockEnvelope } from '@tracelake/transit';
import { BlockRows } from './block-rows.ts';
import { TelemetryEvents } from './telemetry-events.ts';

let postgres: TestPostgres;
let db: Database;
const { signal } = new AbortController();

before(async () => {
  postgres = await startTestPostgres();
  db = openDatabase(postgres.url);
  await migrate(db);
});

after(async () => {
  await db[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

function makeRows(blocks: BlockRepository) {
  const metrics = createMetrics({ service: 'test' });
  const events = new TelemetryEvents(createLogger({ service: 'test', level: 'silent' }), metrics);
  return { rows: new BlockRows({ blocks, events, timeoutMs: 10_000 }), metrics };
}

function makeRow(overrides: Partial<NewBlock> = {}): NewBlock {
  const recorded = loadFixture('small').requests.find(({ path }) => path.endsWith('insert_block'));
  const block = decodeBlockEnvelope(ensureExists(recorded, 'a recorded block').body);
  const blockId = crypto.randomUUID() as NewBlock['blockId'];
  return { ...block, blockId, payloadBytes: 10, ...overrides };
}

test('each block of a batch has its own outcome: new, the same again, and other content', async () => {
  const { rows, metrics } = makeRows(new BlockRepository(db));
  const [first, second] = [makeRow(), makeRow()];
  const other = { ...second, contentSha256: new Uint8Array(32) };
  assert.equal((await rows.insert(second, signal)).outcome, 'inserted');
  assert.equal(await rows.findContentHash(first.blockId, signal), undefined);
  const results = await Promise.all(
    [first, first, second, other, makeRow()].map((row) => rows.insert(row, signal)),
  );
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ['inserted', 'exists-same', 'exists-same', 'exists-different', 'inserted'],
  );
  const hashes = await Promise.all(
    [first, makeRow(), second].map((row) => rows.findContentHash(row.blockId, signal)),
  );
  assert.deepEqual(
    hashes.map(toHex),
    [first, undefined, second].map((row) => toHex(row?.contentSha256)),
  );
  assert.match(await metrics.render(), /tracelake_ingest_batch_rows_count\{[^}]*\} 2\n/);
});

test('blocks that are looked up are each told their own', async () => {
  const { rows } = makeRows(new BlockRepository(db));
  const known = [makeRow(), makeRow({ contentSha256: new Uint8Array(32).fill(7) })];
  for (const row of known) await rows.insert(row, signal);
  const asked = [known[0], makeRow(), known[1], known[0]].map((row) => ensureExists(row, 'a row'));
  const found = await Promise.all(
    asked.map(({ blockId }) => rows.findContentHash(blockId, signal)),
  );
  assert.deepEqual(
    found.map(toHex),
    [known[0], undefined, known[1], known[0]].map((row) => toHex(row?.contentSha256)),
  );
});

test('a row that the database refuses fails alone, and its neighbours are committed', async () => {
  const blocks = new BlockRepository(db);
  const { rows } = makeRows(blocks);
  const neighbours = Array.from({ length: 40 }, () => makeRow());
  const poisoned = makeRow({ beginNs: (10n ** 24n) as NewBlock['beginNs'] });
  const batch = neighbours.toSpliced(17, 0, poisoned);
  const results = await Promise.allSettled(batch.map((row) => rows.insert(row, signal)));
  for (const [index, result] of results.entries()) {
    if (batch[index] === poisoned) {
      assert.equal(result.status, 'rejected');
      assert.equal((result.reason as { code: string }).code, 'storage.database-refused');
    } else {
      assert.equal(result.status, 'fulfilled');
      assert.equal(result.value.outcome, 'inserted');
    }
  }
  for (const { blockId } of neighbours) assert.ok(await blocks.exists(blockId));
  assert.equal(await blocks.exists(poisoned.blockId), false);
});

test('with the database away every row of a batch fails as an outage', async () => {
  await using away = openDatabase('postgres://nobody@127.0.0.1:1/none');
  const { rows } = makeRows(new BlockRepository(away));
  const results = await Promise.allSettled(
    Array.from({ length: 10 }, () => rows.insert(makeRow(), signal)),
  );
  for (const result of results) {
    assert.equal(result.status, 'rejected');
    assert.equal((result.reason as { code: string }).code, 'storage.database-unavailable');
  }
});

function toHex(hash: Uint8Array | undefined): string | undefined {
  return hash === undefined ? undefined : Buffer.from(hash).toString('hex');
}
