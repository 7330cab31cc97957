/**
 * Scenario: `tracelake replay` against an ingest that is overloaded, away or refuses.
 * Guarantees: order and content as recorded; what can succeed later is tried again, nothing else is.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fixtureDirectory, loadFixture } from '@tracelake/test-kit';
import { startTraceServer } from './trace-server.ts';
import { startTracelake } from './tracelake-process.ts';

const small = fileURLToPath(fixtureDirectory('small'));

async function collectBody(request: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(request));
}

test('the requests come in their order, byte for byte, and the process id goes to stdout', async () => {
  const seen: { path: string | undefined; body: Buffer }[] = [];
  await using server = await startTraceServer(async (request, response) => {
    seen.push({ path: request.url, body: await collectBody(request) });
    response.end();
  });
  const { status, stdout } = await startTracelake(['replay', small, '--url', server.url], '/')
    .ended;
  assert.equal(status, 0);
  const { requests, processId } = loadFixture('small');
  assert.equal(stdout.toString().trim(), processId);
  assert.deepEqual(
    seen.map(({ path }) => path),
    requests.map(({ path }) => path),
  );
  for (const [index, { body }] of seen.entries()) {
    assert.ok(body.equals(requests[index]?.body ?? Buffer.alloc(0)));
  }
});

test('a seed gives the same shuffled order each time, and --times sends all of it again', async () => {
  const orders: string[] = [];
  for (let run = 0; run < 2; run += 1) {
    const lengths: number[] = [];
    await using server = await startTraceServer(async (request, response) => {
      lengths.push((await collectBody(request)).length);
      response.end();
    });
    const options = ['--shuffle', '42', '--times', '2', '--url', server.url];
    assert.equal((await startTracelake(['replay', small, ...options], '/').ended).status, 0);
    assert.equal(lengths.length, 2 * loadFixture('small').requests.length);
    orders.push(lengths.join());
  }
  assert.equal(orders[0], orders[1]);
  const recorded = loadFixture('small').requests.map(({ body }) => body.length);
  assert.notEqual(orders[0], [...recorded, ...recorded].join());
});

test('an overloaded ingest is tried again when it says, and a broken connection too', async () => {
  let count = 0;
  await using server = await startTraceServer(async (request, response) => {
    await collectBody(request);
    count += 1;
    if (count % 5 === 1) response.writeHead(503, { 'retry-after': '0' }).end();
    else if (count % 5 === 2) response.destroy();
    else response.end();
  });
  const { status, stderr } = await startTracelake(['replay', small, '--url', server.url], '/')
    .ended;
  assert.equal(status, 0);
  assert.match(stderr, /14 requests, \d+ tried again/);
});

test('a request that is refused for good stops the replay and is named', async () => {
  let count = 0;
  await using server = await startTraceServer(async (request, response) => {
    await collectBody(request);
    count += 1;
    if (count < 4) response.end();
    else response.writeHead(409).end('{"title":"Conflict","detail":"other content"}');
  });
  const { status, stderr } = await startTracelake(['replay', small, '--url', server.url], '/')
    .ended;
  assert.equal(status, 1);
  assert.equal(count, 4);
  assert.match(stderr, /0004\.insert_block\.cbor: Conflict: other content \(status 409/);
});

test('a directory that is no recording is said so', async () => {
  const { status, stderr } = await startTracelake(['replay', '/'], '/').ended;
  assert.equal(status, 1);
  assert.match(stderr, /is not a recording/);
});

test("the shipped sample is the fixture's recording", async () => {
  const sample = new URL('../sample/requests/', import.meta.url);
  const index = await readFile(new URL('index.jsonl', sample), 'utf8');
  assert.equal(index, await readFile(path.join(small, 'requests/index.jsonl'), 'utf8'));
});
