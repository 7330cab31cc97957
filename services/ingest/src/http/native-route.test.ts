/**
 * Scenario: hostile and hasty clients send bodies to a native route over real sockets.
 * Guarantees: bodies arrive whole whatever their content type; what is too large or too much is refused
 * before it is held; no share of the budget is kept once a request is over.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ByteBudget,
  createHttpServer,
  createLogger,
  createMetrics,
  type HttpServer,
} from '@tracelake/service-kit';
import { type NativeHandler, registerNativeBodies, toRouteHandler } from './native-route.ts';
import { ReceiveBuffers } from './receive-buffers.ts';
import { REQUEST_OVERHEAD_BYTES } from './request-body.ts';

const KIB = 1024;

interface Rig extends AsyncDisposable {
  readonly server: HttpServer;
  readonly url: string;
  readonly port: number;
  readonly budget: ByteBudget;
  readonly bodies: Buffer[];
}

async function startRig(
  handle: NativeHandler = async () => {},
  { maxBodyBytes = 64 * KIB, budgetBytes = 512 * KIB, writeTimeoutMs = 5000 } = {},
): Promise<Rig> {
  const budget = new ByteBudget(budgetBytes);
  const bodies: Buffer[] = [];
  const server = createHttpServer({
    logger: createLogger({ service: 'test', level: 'silent' }),
    metrics: createMetrics({ service: 'test' }),
    checks: {},
    apiKeys: [],
    allowAnonymous: false,
    bind: '127.0.0.1',
    port: 0,
    healthCheckTimeoutMs: 100,
    requestTimeoutS: 5,
  });
  const options = { maxBodyBytes, budget, buffers: new ReceiveBuffers(), writeTimeoutMs };
  server.app.register(async (native) => {
    registerNativeBodies(native, options);
    const keep: NativeHandler = async (body, signal) => {
      bodies.push(Buffer.from(body));
      await handle(body, signal);
    };
    native.post('/take', toRouteHandler(keep, options));
  });
  const url = await server.listen();
  const port = Number(new URL(url).port);
  const close = () => server[Symbol.asyncDispose]();
  return { server, url, port, budget, bodies, [Symbol.asyncDispose]: close };
}

/** Sends raw bytes, keeps the connection open, and resolves with what came until the server closed it. */
async function exchange(port: number, ...parts: readonly (string | Buffer)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text;
  });
  socket.on('error', () => {});
  for (const part of parts) socket.write(part);
  await closed(socket);
  return answer;
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.on('close', () => resolve()));
}

test('any content type, a malformed one and none are accepted, and the body arrives whole', async () => {
  await using rig = await startRig();
  const body = Buffer.from('a body of some bytes');
  const types = [
    'application/octet-stream',
    'application/json',
    'cbor',
    ';;;',
    'text/plain; x',
    '',
  ];
  for (const type of types) {
    const head = `POST /take HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n`;
    const rest = `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
    assert.match(await exchange(rig.port, head + rest, body), /^HTTP\/1.1 200 /, `type ${type}`);
  }
  const bare = `POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n`;
  assert.match(
    await exchange(rig.port, `${bare}Connection: close\r\n\r\n`, body),
    /^HTTP\/1.1 200 /,
  );
  assert.equal(rig.bodies.length, types.length + 1);
  for (const received of rig.bodies) assert.deepEqual(received, body);
  assert.equal(rig.budget.usedBytes, 0);
});

test('a body has memory of its own for as long as its write may be under way, after a failure for good', async () => {
  const seen: { readonly view: Uint8Array; readonly sent: Buffer }[] = [];
  const gate = Promise.withResolvers<void>();
  await using rig = await startRig(async (body) => {
    seen.push({ view: body, sent: Buffer.from(body) });
    if (body[0] === 1) throw new Error('the write was given up');
    if (body[0] === 2) await gate.promise;
  });
  const post = async (marker: number) => {
    const body = Buffer.alloc(9000, marker);
    return (await fetch(`${rig.url}/take`, { method: 'POST', body })).status;
  };
  assert.equal(await post(1), 500);
  const waiting = post(2);
  while (seen.length < 2) await sleep(5);
  for (let marker = 3; marker < 20; marker += 1) assert.equal(await post(marker), 200);
  for (const { view, sent } of seen.slice(0, 2)) assert.deepEqual(Buffer.from(view), sent);
  gate.resolve();
  assert.equal(await waiting, 200);
  const reused = new Set(seen.slice(2).map(({ view }) => view.buffer));
  assert.equal(reused.size, 1, 'one after the other use the same memory');
});

test('the answer is an empty 200, and a request without a body is an empty body', async () => {
  await using rig = await startRig();
  const response = await fetch(`${rig.url}/take`, { method: 'POST' });
  assert.equal(response.status, 200);
  assert.equal(await response.text(), '');
  assert.deepEqual(rig.bodies, [Buffer.alloc(0)]);
});

test('a body of exactly the limit is taken and one byte more is 413, declared or chunked', async () => {
  await using rig = await startRig();
  const post = async (byteCount: number, isChunked: boolean) => {
    const bytes = Buffer.alloc(byteCount, 7);
    const body = isChunked ? new Blob([bytes]).stream() : bytes;
    const response = await fetch(`${rig.url}/take`, { method: 'POST', body, duplex: 'half' });
    await response.arrayBuffer();
    return response.status;
  };
  for (const isChunked of [false, true]) {
    assert.equal(await post(64 * KIB, isChunked), 200);
    assert.equal(await post(64 * KIB + 1, isChunked), 413);
  }
  assert.deepEqual(
    rig.bodies.map((body) => body.length),
    [64 * KIB, 64 * KIB],
  );
  assert.equal(rig.budget.usedBytes, 0);
});

test('a declared gigabyte is refused at once, before any of it is read', async () => {
  await using rig = await startRig();
  const startedMs = performance.now();
  const head = 'POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n';
  const answer = await exchange(rig.port, head);
  assert.match(answer, /^HTTP\/1.1 413 .*connection: close.*"limit":65536/is);
  assert.ok(performance.now() - startedMs < 2000);
  assert.equal(rig.bodies.length, 0);
});

test('a chunked body without an end is cut at the limit', async () => {
  await using rig = await startRig();
  const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
  const head = 'POST /take HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
  const answer = await exchange(rig.port, head, ...new Array<string>(64).fill(chunk));
  assert.match(answer, /^HTTP\/1.1 413 /);
  assert.equal(rig.budget.usedBytes, 0);
});

test('what does not fit beside the requests under way is 503 with Retry-After', async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  await using rig = await startRig(() => released, {
    budgetBytes: 2 * (REQUEST_OVERHEAD_BYTES + 10 * KIB),
  });
  const post = () => fetch(`${rig.url}/take`, { method: 'POST', body: Buffer.alloc(10 * KIB) });
  const held = [post(), post()];
  while (rig.bodies.length < 2) await sleep(5);
  const refused = await post();
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('retry-after'), '1');
  release();
  for (const response of await Promise.all(held)) assert.equal(response.status, 200);
  assert.equal((await post()).status, 200);
  assert.equal(rig.budget.usedBytes, 0);
});

test('a client that goes away in the middle of its body leaves nothing behind', async () => {
  await using rig = await startRig();
  for (const kind of ['Content-Length: 5000', 'Transfer-Encoding: chunked']) {
    const socket = connect(rig.port, '127.0.0.1');
    socket.write(`POST /take HTTP/1.1\r\nHost: x\r\n${kind}\r\n\r\n3e8\r\n${'x'.repeat(1000)}\r\n`);
    while (rig.budget.usedBytes === 0) await sleep(5);
    socket.destroy();
    while (rig.budget.usedBytes > 0) await sleep(5);
  }
  assert.equal(rig.bodies.length, 0);
  assert.equal((await fetch(`${rig.url}/take`, { method: 'POST', body: 'x' })).status, 200);
});

test('a write that takes too long is 503, so that the client sends it again', async () => {
  const never: NativeHandler = (_, signal) =>
    new Promise((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason)),
    );
  await using rig = await startRig(never, { writeTimeoutMs: 50 });
  const response = await fetch(`${rig.url}/take`, { method: 'POST', body: 'x' });
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('retry-after'), '1');
  assert.equal(rig.budget.usedBytes, 0);
});

test('requests on one connection are served one after the other', async () => {
  await using rig = await startRig();
  const one = 'POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc';
  const last = 'POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
  const answer = await exchange(rig.port, one + one + last);
  assert.equal(answer.match(/HTTP\/1.1 200 /g)?.length, 3);
  assert.deepEqual(rig.bodies.map(String), ['abc', 'abc', '']);
});
