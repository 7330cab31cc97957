/**
 * Scenario: Postgres, the object store or NATS goes away and comes back while clients go on sending.
 * Guarantees: nothing is acknowledged that is not durable, an outage is 503 with Retry-After and never 4xx,
 * ingest recovers by itself, and what could not be announced is announced later.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { laneOf } from '@tracelake/bus';
import { ensureExists, parseProcessId } from '@tracelake/domain';
import { startPostgres } from '@tracelake/local-servers';
import { fixtureCases, type IngestRequest, loadFixture, startTestNats } from '@tracelake/test-kit';
import { decodeBlockEnvelope, decodeStreamInfo, encodeBlockEnvelope } from '@tracelake/transit';
import {
  type Answer,
  Lake,
  type RunningIngest,
  readMetric,
  startIngest,
} from '../test/ingest-rig.ts';
import { startProbe } from '../test/telemetry-probe.ts';

const requests = loadFixture('small').requests;

function isBlock(request: IngestRequest): boolean {
  return request.path.endsWith('insert_block');
}

function assertOutage(answer: Answer): void {
  assert.equal(answer.status, 503);
  assert.ok(Number(answer.headers.get('retry-after')) > 0);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
}

interface Readyz {
  readonly httpStatus: number;
  readonly status: string;
  readonly failing: readonly string[];
}

async function readyz(ingest: RunningIngest): Promise<Readyz> {
  const response = await fetch(`${ingest.url}/readyz`);
  const report = (await response.json()) as { status: string; failing: string[] };
  return { httpStatus: response.status, ...report };
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `${what} in time`);
    await sleep(50);
  }
}

async function postAll(ingest: RunningIngest): Promise<Answer[]> {
  return Promise.all(requests.map(({ path, body }) => ingest.post(path, body)));
}

function postNewBlock(ingest: RunningIngest): Promise<Answer> {
  const { path, body } = ensureExists(requests.find(isBlock), 'a recorded block');
  const block = decodeBlockEnvelope(body);
  const blockId = crypto.randomUUID() as typeof block.blockId;
  return ingest.post(path, encodeBlockEnvelope({ ...block, blockId }, 'rust'));
}

test('with Postgres stopped every route answers 503, and all is well once it is back', async () => {
  await using stack = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), 'tracelake-outage-'));
  stack.defer(() => rm(root, { recursive: true, force: true }));
  const dataDir = join(root, 'data');
  let server = await startPostgres({ dataDir, durable: false });
  stack.defer(() => server[Symbol.asyncDispose]());
  const port = Number(new URL(server.url).port);
  const lake = stack.use(await Lake.open({ databaseUrl: server.url }));
  const ingest = stack.use(await startIngest(lake));
  await server.stop();
  for (const answer of await postAll(ingest)) assertOutage(answer);
  const down = await readyz(ingest);
  assert.deepEqual([down.httpStatus, down.failing], [503, ['postgres']]);
  assert.equal((await fetch(`${ingest.url}/healthz`)).status, 200);
  const objects = await lake.listObjects();
  for (let count = 0; count < 5; count += 1) assertOutage(await postNewBlock(ingest));
  assert.deepEqual(await lake.listObjects(), objects, 'no object is made while rows cannot be');
  server = await startPostgres({ dataDir, port, durable: false });
  for (const answer of await postAll(ingest)) assert.equal(answer.status, 200);
  assert.equal((await readyz(ingest)).status, 'ready');
  assert.equal((await lake.countRows()).blocks, requests.filter(isBlock).length);
});

test('with the object store gone blocks answer 503 and have no row; afterwards they are stored', async () => {
  await using lake = await Lake.open();
  await using ingest = await startIngest(lake);
  const aside = `${lake.objectDirectory}-aside`;
  await rename(lake.objectDirectory, aside);
  await writeFile(lake.objectDirectory, 'not a directory');
  for (const request of requests.filter(isBlock)) {
    assertOutage(await ingest.post(request.path, request.body));
  }
  assert.equal((await lake.countRows()).blocks, 0);
  await rm(lake.objectDirectory);
  await rename(aside, lake.objectDirectory);
  for (const answer of await postAll(ingest)) assert.equal(answer.status, 200);
  assert.equal((await lake.listObjects()).length, requests.filter(isBlock).length);
});

test('with NATS stopped all is acknowledged, and it is announced once NATS is back', async () => {
  await using nats = await startTestNats();
  await using lake = await Lake.open({ nats });
  await using ingest = await startIngest(lake);
  await nats.stop();
  await until('the loss to be noticed', async () =>
    (await readyz(ingest)).failing.includes('nats'),
  );
  const degraded = await readyz(ingest);
  assert.deepEqual([degraded.httpStatus, degraded.status], [200, 'degraded']);
  for (const answer of await postAll(ingest)) assert.equal(answer.status, 200);
  assert.equal(await lake.countUnannounced(), requests.length);
  await nats.start();
  await until('announcing', async () => (await lake.countUnannounced()) === 0);
  await using probe = await startProbe(nats.url);
  assert.equal(await probe.count(), requests.length);
  assert.equal((await readyz(ingest)).status, 'ready');
});

test('ingest starts and acknowledges with NATS away, and finds it when it comes', async () => {
  await using nats = await startTestNats();
  await using lake = await Lake.open({ nats });
  await nats.stop();
  await using ingest = await startIngest(lake);
  for (const answer of await postAll(ingest)) assert.equal(answer.status, 200);
  await nats.start();
  await until('announcing', async () => (await lake.countUnannounced()) === 0);
});

test('rows are announced at once, and again after the whole store of NATS was wiped', async () => {
  await using nats = await startTestNats();
  await using lake = await Lake.open({ nats });
  await using ingest = await startIngest(lake, { TRACELAKE_INGEST_SWEEP_INTERVAL_S: '3600' });
  for (const { path, body } of requests) assert.equal((await ingest.post(path, body)).status, 200);
  await using probe = await startProbe(nats.url);
  await until('announcing', async () => (await probe.count()) === requests.length);
  await until('marking', async () => (await lake.countUnannounced()) === 0);
  const viaRequest = { via: 'request', outcome: 'announced' };
  const name = 'tracelake_ingest_announcements_total';
  assert.equal(await readMetric(ingest.metrics, name, viaRequest), requests.length);
  await nats.wipeStore();
  await until('announcing anew', async () => (await probe.count()) === requests.length);
});

test('announcements hold what views need, in the lane of their process', async () => {
  await using nats = await startTestNats();
  await using lake = await Lake.open({ nats });
  await using ingest = await startIngest(lake);
  for (const { path, body } of requests) assert.equal((await ingest.post(path, body)).status, 200);
  await using probe = await startProbe(nats.url);
  await until('announcing', async () => (await probe.count()) === requests.length);
  const messages = await probe.messages();
  for (const { path, body } of requests) {
    if (!path.endsWith('insert_block')) continue;
    const block = decodeBlockEnvelope(body);
    const found = messages.find(
      (message) => message.kind === 'block-inserted' && message.blockId === block.blockId,
    );
    assert.ok(found?.kind === 'block-inserted');
    assert.equal(found.objectCount, block.objectCount);
    assert.ok(found.payloadBytes > 0 && found.insertTimeUs > 0n);
    const stream = requests
      .filter((request) => request.path.endsWith('insert_stream'))
      .map((request) => decodeStreamInfo(request.body))
      .find(({ streamId }) => streamId === block.streamId);
    // The recordings have blocks that came before their streams.
    if (found.tags.length > 0) assert.deepEqual(found.tags, stream?.tags);
  }
  const tagged = messages.filter(
    (message) => message.kind === 'block-inserted' && message.tags.length > 0,
  );
  assert.ok(tagged.length > 0);
  const processId = loadFixture('small').processId;
  const lane = laneOf(ensureExists(parseProcessId(processId), 'a process id'), 8);
  for (const subject of await probe.subjects()) {
    assert.match(
      subject,
      new RegExp(`^telemetry\\.(process|stream|block)\\.inserted\\.${lane}\\.${processId}$`),
    );
  }
});

test('many cases at once from many clients are all durable and all announced', async () => {
  await using lake = await Lake.open();
  await using ingest = await startIngest(lake);
  const all = fixtureCases().flatMap((name) => loadFixture(name).requests);
  const answers = await Promise.all(all.map(({ path, body }) => ingest.post(path, body)));
  for (const answer of answers) assert.equal(answer.status, 200);
  assert.equal((await lake.listObjects()).length, all.filter(isBlock).length);
  await until('announcing', async () => (await lake.countUnannounced()) === 0);
  const left = { outcome: 'left-to-sweeper' };
  assert.equal(await readMetric(ingest.metrics, 'tracelake_ingest_announcements_total', left), 0);
});
