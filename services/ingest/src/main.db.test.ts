/**
 * Scenario: ingest runs as a process and is stopped or killed while clients send.
 * Guarantees: SIGTERM answers what is under way and announces it; after `kill -9` at random moments every
 * acknowledged block has its row and its object, none is there twice, and all are announced in the end.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgres } from '@tracelake/local-servers';
import { objectKeys } from '@tracelake/storage';
import { loadFixture, seededRandom } from '@tracelake/test-kit';
import { type BlockEnvelope, decodeBlockEnvelope, encodeBlockEnvelope } from '@tracelake/transit';
import { IngestProcess } from '../test/ingest-process.ts';
import { Lake, post } from '../test/ingest-rig.ts';

const BLOCK = '/ingestion/insert_block';

function makeBlocks(count: number): BlockEnvelope[] {
  const recorded = loadFixture('small').requests.find(({ path }) => path === BLOCK);
  assert.ok(recorded);
  const block = decodeBlockEnvelope(recorded.body);
  return Array.from({ length: count }, () => ({
    ...block,
    blockId: crypto.randomUUID() as typeof block.blockId,
  }));
}

/** Posts blocks from some clients until the service goes away; the acknowledged ones. */
async function postUntilGone(url: string, blocks: readonly BlockEnvelope[]) {
  const acknowledged: BlockEnvelope[] = [];
  const waiting = [...blocks];
  const client = async () => {
    for (let block = waiting.pop(); block !== undefined; block = waiting.pop()) {
      try {
        const answer = await post(url + BLOCK, encodeBlockEnvelope(block, 'rust'));
        if (answer.status === 200) acknowledged.push(block);
        else assert.equal(answer.status, 503, answer.text);
      } catch {
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  return acknowledged;
}

async function assertDurable(lake: Lake, acknowledged: readonly BlockEnvelope[]): Promise<void> {
  const { rows } = await lake.dump();
  const rowIds = rows.map((entry) => (entry as { row: { block_id: string } }).row.block_id);
  assert.equal(new Set(rowIds).size, rowIds.length);
  const objects = new Set((await lake.listObjects()).map((entry) => entry.split(' ')[0]));
  for (const { processId, streamId, blockId } of acknowledged) {
    assert.ok(rowIds.includes(blockId), 'an acknowledged block has a row');
    assert.ok(objects.has(objectKeys.block(processId, streamId, blockId)), 'and an object');
  }
}

test('SIGTERM under load answers what is under way, announces it and ends with 0', async () => {
  await using lake = await Lake.open();
  await using ingest = new IngestProcess(lake, { TRACELAKE_INGEST_SWEEP_INTERVAL_S: '3600' });
  const url = await ingest.url;
  const posting = postUntilGone(url, makeBlocks(5000));
  await sleep(700);
  ingest.signal('SIGTERM');
  assert.equal(await ingest.exited, 0);
  const acknowledged = await posting;
  assert.ok(acknowledged.length > 0);
  assert.ok(acknowledged.length < 5000, 'the stop came under load');
  await assertDurable(lake, acknowledged);
  assert.equal((await lake.countRows()).blocks, acknowledged.length);
  assert.equal(await lake.countUnannounced(), 0);
  assert.ok(ingest.has('service stopped'));
});

test('kill -9 at random moments loses no acknowledged block, and all are announced after it', async () => {
  const seed = 20_261_121;
  console.log(`seed ${seed}`);
  const random = seededRandom(seed);
  await using lake = await Lake.open();
  const acknowledged: BlockEnvelope[] = [];
  let unsent = makeBlocks(20_000);
  for (let round = 0; round < 4; round += 1) {
    await using ingest = new IngestProcess(lake);
    const url = await ingest.url;
    const posting = postUntilGone(url, unsent.splice(0, 4000));
    await sleep(100 + random.int(600));
    ingest.signal('SIGKILL');
    acknowledged.push(...(await posting));
    await ingest.exited;
  }
  assert.ok(acknowledged.length > 0);
  unsent = [];
  await assertDurable(lake, acknowledged);
  await using ingest = new IngestProcess(lake);
  const url = await ingest.url;
  for (const block of acknowledged.slice(0, 50)) {
    assert.equal((await post(url + BLOCK, encodeBlockEnvelope(block, 'rust'))).status, 200);
  }
  await assertDurable(lake, acknowledged);
  const deadline = performance.now() + 30_000;
  while ((await lake.countUnannounced()) > 0) {
    assert.ok(performance.now() < deadline, 'all is announced in time');
    await sleep(100);
  }
});

test('a start that cannot succeed ends with a reason: bad variables, other lanes, a taken port', async () => {
  await using lake = await Lake.open();
  await using first = new IngestProcess(lake);
  const port = new URL(await first.url).port;
  await using misread = new IngestProcess(lake, { TRACELAKE_MAX_BODY_BYTES: '64MiB' });
  assert.equal(await misread.exited, 2);
  assert.match(JSON.stringify(misread.lines), /TRACELAKE_MAX_BODY_BYTES/);
  await using otherLanes = new IngestProcess(lake, { TRACELAKE_LANES: '3' });
  assert.equal(await otherLanes.exited, 1);
  assert.match(JSON.stringify(otherLanes.lines), /TRACELAKE_LANES=8/);
  await using samePort = new IngestProcess(lake, { TRACELAKE_INGEST_PORT: port });
  assert.equal(await samePort.exited, 1);
  assert.match(JSON.stringify(samePort.lines), /another program has the port/);
});

test('ingest waits at its start for a Postgres that comes up later', async () => {
  await using stack = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), 'tracelake-late-'));
  stack.defer(() => rm(root, { recursive: true, force: true }));
  const dataDir = join(root, 'data');
  const early = await startPostgres({ dataDir, durable: false });
  const port = Number(new URL(early.url).port);
  const lake = stack.use(await Lake.open({ databaseUrl: early.url }));
  await early.stop();
  const ingest = stack.use(new IngestProcess(lake));
  while (!ingest.has('waiting for a dependency')) await sleep(20);
  stack.use(await startPostgres({ dataDir, port, durable: false }));
  assert.equal((await fetch(`${await ingest.url}/readyz`)).status, 200);
  ingest.signal('SIGTERM');
  assert.equal(await ingest.exited, 0);
});
