/**
 * Scenario: seeded noise at every level of the HTTP surface: bytes on the socket, methods, paths and headers,
 * and bodies that are damaged recordings.
 * Guarantees: every answer is one of the protocol's, failures are problem documents, never a 5xx, the service
 * lives on, and each row that was made has its object and each object its row.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { objectKeys } from '@tracelake/storage';
import {
  type IngestRequest,
  loadFixture,
  type SeededRandom,
  seededRandom,
} from '@tracelake/test-kit';
import { Lake, type RunningIngest, startIngest } from '../test/ingest-rig.ts';

const BODIES_A_SEED = 400;
const REQUESTS_A_SEED = 200;
const SOCKETS_A_SEED = 60;
const seeds = [1, 2, 20_261_121];
const recorded = loadFixture('small').requests;

let lake: Lake;
let ingest: RunningIngest;

before(async () => {
  lake = await Lake.open();
  ingest = await startIngest(lake, { TRACELAKE_MAX_BODY_BYTES: '100000' });
});

after(async () => {
  await ingest[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
});

/** Each row has its object and each object its row: nothing is half there. */
async function assertWhole(): Promise<void> {
  const { rows, objects } = await lake.dump();
  const keys: string[] = [];
  for (const entry of rows as { kind: string; row: Record<string, string> }[]) {
    if (entry.kind !== 'block') continue;
    const { process_id, stream_id, block_id } = entry.row;
    keys.push(objectKeys.block(process_id as never, stream_id as never, block_id as never));
  }
  assert.deepEqual(
    objects.map((object) => object.split(' ')[0]),
    keys.sort(),
  );
  assert.equal((await fetch(`${ingest.url}/readyz`)).status, 200);
}

function damage(random: SeededRandom, request: IngestRequest): Uint8Array {
  let bytes = Buffer.from(request.body);
  const times = 1 + random.int(4);
  for (let time = 0; time < times; time += 1) {
    const at = random.int(bytes.length);
    switch (random.int(6)) {
      case 0:
        bytes.writeUInt8(random.int(256), at);
        break;
      case 1:
        bytes.fill(0xff, at, at + 4);
        break;
      case 2:
        bytes = bytes.subarray(0, Math.max(1, at));
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), noise(random, 8), bytes.subarray(at)]);
        break;
      case 4:
        bytes.copy(bytes, random.int(bytes.length), at, at + 8);
        break;
      default:
        bytes = Buffer.concat([bytes, noise(random, 16)]);
    }
  }
  return bytes;
}

function noise(random: SeededRandom, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.int(256)));
}

for (const seed of seeds) {
  test(`damaged recordings are taken or refused, nothing else (seed ${seed})`, async () => {
    const random = seededRandom(seed);
    for (let index = 0; index < BODIES_A_SEED; index += 1) {
      const request = random.pick(recorded);
      const { path } = random.int(10) === 0 ? random.pick(recorded) : request;
      const answer = await ingest.post(path, damage(random, request));
      assert.ok(
        [200, 400, 409, 413].includes(answer.status),
        `seed ${seed} body ${index}: ${answer.status} ${answer.text}`,
      );
      if (answer.status === 200) assert.equal(answer.text, '');
      else assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    }
    await assertWhole();
  });

  test(`odd methods, paths and headers are answered by the protocol (seed ${seed})`, async () => {
    const random = seededRandom(seed);
    const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
    const paths = [
      ...recorded.map((request) => request.path),
      '/',
      '/ingestion',
      '/ingestion/insert_block/',
      '/ingestion/../etc/passwd',
      '/ingestion/%2e%2e/insert_block',
      '/ingestion/insert_block?x=%00',
      '/%zz',
      `/${'a'.repeat(5000)}`,
      '/ready',
      '/constructor',
      '/__proto__',
    ];
    for (let index = 0; index < REQUESTS_A_SEED; index += 1) {
      const method = random.pick(methods);
      const headers: Record<string, string> = {};
      if (random.int(2) === 0) headers['content-type'] = noise(random, 12).toString('base64');
      if (random.int(3) === 0) headers['content-encoding'] = random.pick(['gzip', 'identity', 'x']);
      if (random.int(3) === 0) headers.accept = random.pick(['text/html', 'application/cbor', '']);
      if (random.int(3) === 0) headers.authorization = `Bearer ${noise(random, 9).toString('hex')}`;
      const hasBody = method !== 'GET' && method !== 'HEAD';
      const response = await fetch(ingest.url + random.pick(paths), {
        method,
        headers,
        ...(hasBody ? { body: noise(random, random.int(300)) } : {}),
      });
      const text = await response.text();
      const isExpected = [200, 204, 400, 404, 405, 409, 413, 414].includes(response.status);
      assert.ok(isExpected, `seed ${seed} request ${index}: ${response.status} ${text}`);
      if (response.status >= 400 && method !== 'HEAD') {
        assert.equal((JSON.parse(text) as { status: number }).status, response.status);
      }
    }
    await assertWhole();
  });

  test(`noise on the socket is answered with 4xx or hung up on (seed ${seed})`, async () => {
    const random = seededRandom(seed);
    const port = Number(new URL(ingest.url).port);
    for (let index = 0; index < SOCKETS_A_SEED; index += 1) {
      const request = random.pick(recorded);
      const head = `POST ${request.path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${request.body.length}\r\n\r\n`;
      const bytes = damage(random, {
        path: '',
        body: Buffer.concat([Buffer.from(head), request.body]),
      });
      const answer = await sendAndHangUp(port, bytes);
      for (const [, status] of answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)) {
        assert.ok(Number(status) < 500, `seed ${seed} socket ${index}: ${answer.slice(0, 300)}`);
      }
    }
    await assertWhole();
  });
}

function sendAndHangUp(port: number, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    let answer = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
  });
}
