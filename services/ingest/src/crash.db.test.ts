/**
 * Scenario: many clients send blocks at once, so that rows and objects go in batches, while ingest or Postgres (with
 * its fsync on) is killed with -9 in the middle.
 * Guarantees: every acknowledged block has its row with its hash and its object with its bytes, and is known
 * when it is sent again; an object that was not acknowledged is whole as well; nobody is answered but 200 or 503.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureExists } from '@tracelake/domain';
import { startPostgres } from '@tracelake/local-servers';
import { objectKeys, sql } from '@tracelake/storage';
import { loadFixture, seededRandom } from '@tracelake/test-kit';
import {
  type BlockEnvelope,
  decodeBlockEnvelope,
  decodeBlockPayload,
  encodeBlockEnvelope,
  encodeBlockPayload,
} from '@tracelake/transit';
import { IngestProcess } from '../test/ingest-process.ts';
import { Lake, post } from '../test/ingest-rig.ts';

const BLOCK = '/ingestion/insert_block';
const CLIENTS = 48;

/** Blocks with bytes of their own, in several streams. */
function* makeBlocks(): Generator<BlockEnvelope, never> {
  const recorded = loadFixture('small').requests.find(({ path }) => path === BLOCK);
  const block = decodeBlockEnvelope(ensureExists(recorded, 'a recorded block').body);
  const streamIds = Array.from({ length: 4 }, () => crypto.randomUUID() as typeof block.streamId);
  for (let index = 0; ; index += 1) {
    const blockId = crypto.randomUUID() as typeof block.blockId;
    const streamId = streamIds[index % streamIds.length] ?? block.streamId;
    const payload = { ...block.payload, dependencies: randomBytes(500 + (index % 7) * 900) };
    yield decodeBlockEnvelope(
      encodeBlockEnvelope({ ...block, blockId, streamId, payload }, 'rust'),
    );
  }
}

interface Sending {
  readonly acknowledged: BlockEnvelope[];
  /** Ends when the service is gone, or after `stop`. */
  readonly ended: Promise<unknown>;
  stop(): void;
}

/** Each client sends one block after the other, and again what was answered with 503. */
function startSending(url: string): Sending {
  const acknowledged: BlockEnvelope[] = [];
  const blocks = makeBlocks();
  let isStopped = false;
  const client = async () => {
    while (!isStopped) {
      const block = blocks.next().value;
      const body = encodeBlockEnvelope(block, 'rust');
      for (let isOver = false; !isOver; ) {
        const answer = await post(url + BLOCK, body).catch(() => undefined);
        if (answer === undefined) return;
        if (answer.status === 200) acknowledged.push(block);
        else assert.equal(answer.status, 503, answer.text);
        isOver = answer.status === 200 || isStopped;
        if (!isOver) await sleep(50);
      }
    }
  };
  const ended = Promise.all(Array.from({ length: CLIENTS }, client));
  return {
    acknowledged,
    ended,
    stop() {
      isStopped = true;
    },
  };
}

async function untilAcknowledged(sending: Sending, count: number): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (sending.acknowledged.length < count) {
    assert.ok(performance.now() < deadlineMs, 'blocks are acknowledged in time');
    await sleep(10);
  }
}

async function assertKept(lake: Lake, acknowledged: readonly BlockEnvelope[]): Promise<void> {
  const rows = await lake.db.query<{ block_id: string; content_sha256: Uint8Array }>(
    sql`SELECT block_id, content_sha256 FROM blocks`,
  );
  const hashes = new Map(rows.map((row) => [row.block_id, row.content_sha256]));
  assert.equal(hashes.size, rows.length);
  for (const block of acknowledged) {
    const hash = ensureExists(hashes.get(block.blockId), 'the row of an acknowledged block');
    assert.deepEqual(Buffer.from(hash), Buffer.from(block.contentSha256));
    const key = objectKeys.block(block.processId, block.streamId, block.blockId);
    const stored = await readFile(join(lake.objectDirectory, key));
    assert.ok(stored.equals(encodeBlockPayload(block.payload)), 'the object has its bytes');
  }
  for (const entry of await lake.listObjects()) {
    const key = entry.split(' ')[0] ?? '';
    if (!key.startsWith('blobs/')) continue;
    // Half an object would not decode.
    decodeBlockPayload(await readFile(join(lake.objectDirectory, key)));
  }
}

test('kill -9 of ingest under many clients loses no acknowledged block', async () => {
  const seed = 20_261_122;
  console.log(`seed ${seed}`);
  const random = seededRandom(seed);
  await using lake = await Lake.open();
  const acknowledged: BlockEnvelope[] = [];
  for (let round = 0; round < 3; round += 1) {
    await using ingest = new IngestProcess(lake, {
      TRACELAKE_INGEST_OBJECT_WRITER_THREADS: String(1 + round * 3),
    });
    const sending = startSending(await ingest.url);
    await untilAcknowledged(sending, 50);
    await sleep(random.int(500));
    ingest.signal('SIGKILL');
    await sending.ended;
    await ingest.exited;
    acknowledged.push(...sending.acknowledged);
  }
  await assertKept(lake, acknowledged);
  await using ingest = new IngestProcess(lake);
  const url = await ingest.url;
  const { blocks: rowCount } = await lake.countRows();
  for (const block of acknowledged.slice(-40)) {
    const answer = await post(url + BLOCK, encodeBlockEnvelope(block, 'rust'));
    assert.equal(answer.status, 200);
  }
  assert.equal((await lake.countRows()).blocks, rowCount);
});

test('kill -9 of Postgres under many clients loses no acknowledged block, and 503 is all they see', async () => {
  await using stack = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), 'tracelake-crash-'));
  stack.defer(() => rm(root, { recursive: true, force: true }));
  const dataDir = join(root, 'data');
  const first = stack.use(await startPostgres({ dataDir }));
  const port = Number(new URL(first.url).port);
  const lake = stack.use(await Lake.open({ databaseUrl: first.url }));
  const ingest = stack.use(new IngestProcess(lake));
  const sending = startSending(await ingest.url);
  await untilAcknowledged(sending, 100);
  process.kill(ensureExists(first.pid, 'the postmaster'), 'SIGKILL');
  await first.exited;
  const countAtKill = sending.acknowledged.length;
  stack.use(await startPostgres({ dataDir, port }));
  await untilAcknowledged(sending, countAtKill + 100);
  sending.stop();
  await sending.ended;
  await assertKept(lake, sending.acknowledged);
  ingest.signal('SIGTERM');
  assert.equal(await ingest.exited, 0);
});
