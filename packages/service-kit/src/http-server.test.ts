import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { AppError, Secret } from '@tracelake/domain';
import { createHttpServer, type HttpServer, type HttpServerOptions } from './http-server.ts';
import { createLogger } from './logger.ts';
import { createMetrics } from './metrics.ts';
import { ProblemError } from './problem.ts';

function makeServer(overrides: Partial<HttpServerOptions> = {}): HttpServer {
  return createHttpServer({
    logger: createLogger({ service: 'test', level: 'silent' }),
    metrics: createMetrics({ service: 'test' }),
    checks: {},
    apiKeys: [],
    allowAnonymous: false,
    bind: '127.0.0.1',
    port: 0,
    healthCheckTimeoutMs: 100,
    requestTimeoutS: 5,
    ...overrides,
  });
}

interface ReceivedProblem {
  type: string;
  title: string;
  status: number;
  detail: string;
  [fact: string]: unknown;
}

async function readProblem(response: Response): Promise<ReceivedProblem> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json');
  const document = (await response.json()) as ReceivedProblem;
  assert.equal(document.status, response.status);
  for (const member of ['type', 'title', 'detail'] as const) {
    assert.equal(typeof document[member], 'string', member);
  }
  return document;
}

test('a live service answers healthz, readyz and metrics', async () => {
  await using server = makeServer({ checks: { postgres: async () => {} } });
  const url = await server.listen();
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  const ready = await fetch(`${url}/readyz`);
  assert.equal(ready.status, 200);
  const report = (await ready.json()) as { status: string; checks: object };
  assert.equal(report.status, 'ready');
  assert.deepEqual(Object.keys(report.checks), ['postgres']);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.match(metrics, /tracelake_http_requests_total\{.*route="\/readyz".*status="200".*\} 1/);
});

test('readyz names the dependency that fails and the one that hangs, in bounded time', async () => {
  let hangingStarts = 0;
  await using server = makeServer({
    checks: {
      postgres: async () => {},
      nats: async () => {
        throw new Error('connection refused');
      },
      'object-store': () => {
        hangingStarts += 1;
        return new Promise(() => {});
      },
    },
  });
  const url = await server.listen();
  const startedMs = performance.now();
  const responses = await Promise.all([1, 2, 3].map(() => fetch(`${url}/readyz`)));
  await fetch(`${url}/readyz`);
  assert.ok(performance.now() - startedMs < 2000);
  assert.equal(hangingStarts, 1, 'a hanging check is not started again');
  for (const response of responses) {
    assert.equal(response.status, 503);
    const report = (await response.json()) as {
      failing: string[];
      checks: Record<string, { error?: string }>;
    };
    assert.deepEqual(report.failing, ['nats', 'object-store']);
    assert.equal(report.checks.nats?.error, 'connection refused');
    assert.match(report.checks['object-store']?.error ?? '', /no answer within 100 ms/);
  }
});

test('a failing dependency that the service can do without is named and leaves it ready', async () => {
  const nats = async () => {
    throw new Error('connection refused');
  };
  await using server = makeServer({
    checks: { postgres: async () => {} },
    optionalChecks: { nats },
  });
  const response = await fetch(`${await server.listen()}/readyz`);
  assert.equal(response.status, 200);
  const report = (await response.json()) as { status: string; failing: string[] };
  assert.deepEqual([report.status, report.failing], ['degraded', ['nats']]);
});

test('a draining service is not ready but still answers', async () => {
  await using server = makeServer();
  const url = await server.listen();
  server.beginDrain();
  const response = await fetch(`${url}/readyz`);
  assert.equal(response.status, 503);
  assert.equal(((await response.json()) as { status: string }).status, 'draining');
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
});

test('data routes need a key once keys are set, the operations routes do not', async () => {
  const apiKeys = [
    { name: 'ci', key: new Secret('abc') },
    { name: 'game', key: new Secret('xyz') },
  ];
  await using server = makeServer({ apiKeys });
  server.app.get('/v1/whoami', async (request) => request.apiKeyName);
  const url = await server.listen();
  for (const authorization of [undefined, 'Bearer', 'Bearer abcd', 'abc', 'Basic abc']) {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    const response = await fetch(`${url}/v1/whoami`, { headers });
    assert.equal(response.status, 401);
    assert.equal(response.headers.get('www-authenticate'), 'Bearer');
    await readProblem(response);
  }
  const allowed = await fetch(`${url}/v1/whoami`, { headers: { authorization: 'Bearer xyz' } });
  assert.equal(await allowed.text(), 'game');
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    assert.equal((await fetch(url + path)).status, 200);
  }
});

test('every failure is a problem document', async () => {
  await using server = makeServer({
    problemOf: (error) =>
      (error as { code?: string }).code === 'lake.mapped'
        ? { type: 'urn:tracelake:problem:mapped', title: 'Mapped', status: 418, detail: 'd' }
        : undefined,
  });
  const fail = (path: string, error: unknown) =>
    server.app.post(path, async () => {
      throw error;
    });
  fail('/bug', new Error('the password is hunter2'));
  fail('/down', new AppError('storage.down', 'cannot reach it', { retryable: true }));
  fail('/mapped', new AppError('lake.mapped', 'x'));
  fail(
    '/known/:id',
    new ProblemError({ code: 'x.y', status: 409, detail: 'no', facts: { limit: 5n } }),
  );
  const url = await server.listen();
  const post = async (path: string) => readProblem(await fetch(url + path, { method: 'POST' }));

  const bug = await post('/bug');
  assert.equal(bug.status, 500);
  assert.doesNotMatch(JSON.stringify(bug), /hunter2/);
  assert.equal((await post('/down')).status, 503);
  assert.equal((await post('/mapped')).status, 418);
  const known = await post('/known/7');
  assert.deepEqual(
    [known.status, known.type, known.limit],
    [409, 'urn:tracelake:problem:x.y', '5'],
  );
  assert.equal((await post('/nowhere')).status, 404);
  assert.equal((await post('/known/%zz')).status, 400);
  const headers = { 'content-type': ';;' };
  const odd = await fetch(`${url}/nowhere`, { method: 'POST', headers, body: 'x'.repeat(2 ** 21) });
  assert.equal((await readProblem(odd)).status, 404);
  const wrongMethod = await fetch(`${url}/known/7?x=1`, { method: 'GET' });
  assert.equal(wrongMethod.status, 405);
  assert.equal(wrongMethod.headers.get('allow'), 'POST');
  await readProblem(wrongMethod);
  const down = await fetch(`${url}/down`, { method: 'POST' });
  assert.equal(down.headers.get('retry-after'), '1');
});

test('what is not HTTP is answered as a problem and the connection closed', async () => {
  await using server = makeServer();
  const { port } = new URL(await server.listen());
  for (const [sent, status] of [
    ['BLURB\r\n\r\n', '400'],
    [`GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, '431'],
  ] as const) {
    const answer = await exchange(Number(port), sent);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} .*application/problem\\+json`, 's'));
  }
});

test('a client too slow to send its request is told to send it again and hung up on', async () => {
  await using server = makeServer({ requestTimeoutS: 1 });
  server.app.post('/take', async () => 'taken');
  const { port } = new URL(await server.listen());
  const head = 'POST /take HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n';
  const startedMs = performance.now();
  const answer = await exchange(Number(port), `${head}Content-Length: 10\r\n\r\nfour`);
  assert.match(answer, /^HTTP\/1.1 503 .*retry-after: 1/is);
  assert.ok(performance.now() - startedMs < 4000);
});

test('closing waits for the request under way and refuses later ones', async () => {
  const server = makeServer();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
  server.app.get('/slow', async () => {
    enter();
    await released;
    return 'whole';
  });
  const url = await server.listen();
  const slow = fetch(`${url}/slow`);
  await entered;
  assert.equal(server.inFlight.count, 1);
  const closed = server[Symbol.asyncDispose]();
  await assert.rejects(fetch(`${url}/healthz`, { signal: AbortSignal.timeout(2000) }));
  release();
  assert.equal(await (await slow).text(), 'whole');
  await closed;
  assert.equal(server.inFlight.count, 0);
});

test('a server beyond loopback without keys is not made, a taken port is named', async () => {
  assert.throws(() => makeServer({ bind: '0.0.0.0' }), {
    code: 'service-kit.exposed-without-keys',
  });
  await using first = makeServer();
  const port = Number(new URL(await first.listen()).port);
  await using second = makeServer({ port });
  await assert.rejects(second.listen(), {
    code: 'service-kit.cannot-listen',
    message: `cannot listen on 127.0.0.1:${port}: another program has the port`,
  });
});

function exchange(port: number, sent: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(sent));
    let answer = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}

test('a reply that is under way when the drain begins ends, and its idle connection is not waited for', async () => {
  const server = makeServer();
  const finish = Promise.withResolvers<void>();
  server.app.get('/slow', (_request, reply) => {
    reply.hijack();
    reply.raw.write('first ');
    void finish.promise.then(() => reply.raw.end('last'));
  });
  const url = await server.listen();
  // fetch keeps its connection open for the next request.
  const response = await fetch(`${url}/slow`);
  const closed = server[Symbol.asyncDispose]();
  setTimeout(finish.resolve, 100);
  assert.equal(await response.text(), 'first last');
  const startMs = performance.now();
  await closed;
  assert.ok(performance.now() - startMs < 2000, 'the idle connection kept the server open');
});

test('problems are counted by code and status', async () => {
  const metrics = createMetrics({ service: 'test' });
  await using server = makeServer({ metrics });
  const url = await server.listen();
  for (let times = 0; times < 3; times++) await fetch(`${url}/nothing/here`);
  const counted = /^tracelake_http_problems_total\{code="not-found",status="404",.*\} 3$/m;
  assert.match(await metrics.render(), counted);
});
