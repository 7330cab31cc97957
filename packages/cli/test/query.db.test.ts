/**
 * Scenario: `tracelake query`, `logs` and `top` as processes, against a query service that answers, refuses
 * and breaks off.
 * Guarantees: the statement and its values arrive as given; an answer that broke off is a failure.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { startTraceServer } from './trace-server.ts';
import { startTracelake } from './tracelake-process.ts';

const processId = '9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'tracelake-query-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

interface Seen {
  readonly path: string;
  readonly accept: string;
  readonly text: string;
}

/** A query service that answers each request in its turn; the last answer is for all that follow. */
async function startQueryServer(
  ...answers: ((response: ServerResponse, request: IncomingMessage) => void)[]
) {
  const seen: Seen[] = [];
  const server = await startTraceServer(async (request, response) => {
    const text = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString();
    seen.push({ path: request.url ?? '', accept: request.headers.accept ?? '', text });
    const answer = answers[Math.min(seen.length, answers.length) - 1];
    answer?.(response, request);
  });
  return { url: server.url, seen, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

function sendCsv(csv: string) {
  return (response: ServerResponse) => {
    response.setHeader('tracelake-receipt-blocks-known', '3');
    response.setHeader('tracelake-receipt-blocks-read', '2');
    response.setHeader('tracelake-receipt-blocks-rejected', '1');
    response.setHeader('tracelake-receipt-rejected-ids', 'b1');
    response.setHeader('tracelake-receipt-range', '../..');
    response.setHeader('tracelake-receipt-view-versions', 'log_entries=1:ab');
    response.setHeader('tracelake-receipt-process-writing', 'true');
    response.end(csv);
  };
}

function run(argv: readonly string[], url: string, stdin?: string) {
  return startTracelake([...argv, '--url', url], directory, stdin).ended;
}

test('a table goes to stdout, the receipt and what is missing to stderr', async () => {
  await using server = await startQueryServer(sendCsv('name,n\nalpha,1\n,20\n'));
  const { status, stdout, stderr } = await run(['query', 'SELECT 1'], server.url);
  assert.equal(status, 0, stderr);
  assert.equal(stdout.toString(), 'name    n\n─────  ──\nalpha   1\n       20\n');
  assert.match(stderr, /^2 rows in /);
  assert.match(stderr, /receipt: 2 of 3 blocks read; log_entries=1:ab; still being written/);
  assert.match(stderr, /warning: 1 block\(s\) could not be decoded .*: b1/);
});

test('the statement, its values and its range arrive as given', async () => {
  await using server = await startQueryServer(sendCsv('a\n'));
  const values = ['9007199254740993', '1.5', 'true', 'null', 'text', '"12"', '{"a":1}', '007'];
  const params = values.flatMap((value) => ['--param', value]);
  const range = ['--begin', '2026-11-21T05:00:00+01:00', '--end', '2026-11-21T05:00:00Z'];
  const { status } = await run(['query', 'SELECT $1', ...params, ...range, '--quiet'], server.url);
  assert.equal(status, 0);
  const [request] = server.seen;
  assert.equal(request?.path, '/v1/query');
  assert.match(request?.text ?? '', /\[9007199254740993,1\.5,true,null,"text","12",/);
  const body = JSON.parse(request?.text ?? '');
  assert.deepEqual(body.params.slice(4), ['text', '12', '{"a":1}', '007']);
  assert.equal(body.sql, 'SELECT $1');
  assert.equal(body.begin, '2026-11-21T04:00:00.000000000Z');
  assert.equal(body.end, '2026-11-21T05:00:00.000000000Z');
});

test('the statement may be in a file or come on stdin', async () => {
  await using server = await startQueryServer(sendCsv('a\n'));
  await writeFile(path.join(directory, 'q.sql'), 'SELECT 2');
  assert.equal((await run(['query', '--file', 'q.sql'], server.url)).status, 0);
  assert.equal((await run(['query'], server.url, 'SELECT 3')).status, 0);
  assert.equal((await run(['query', '-'], server.url, 'SELECT 4')).status, 0);
  const statements = server.seen.map(({ text }) => JSON.parse(text).sql);
  assert.deepEqual(statements, ['SELECT 2', 'SELECT 3', 'SELECT 4']);
  const missing = await run(['query', '--file', 'none.sql'], server.url);
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /cannot read none\.sql/);
});

test('every other format is passed on byte for byte', async () => {
  const bytes = Buffer.from([0, 255, 10, 13, 34, 0]);
  await using server = await startQueryServer((response) => response.end(bytes));
  for (const [format, accept] of [
    ['json', 'application/json'],
    ['ndjson', 'application/x-ndjson'],
    ['csv', 'text/csv'],
    ['arrow', 'application/vnd.apache.arrow.stream'],
  ] as const) {
    const { status, stdout } = await run(['query', 'SELECT 1', '--format', format], server.url);
    assert.equal(status, 0);
    assert.ok(stdout.equals(bytes));
    assert.equal(server.seen.at(-1)?.accept, accept);
  }
  const toFile = ['query', 'SELECT 1', '--format', 'arrow', '-o', 'rows.arrows'];
  assert.equal((await run(toFile, server.url)).status, 0);
  assert.ok((await readFile(path.join(directory, 'rows.arrows'))).equals(bytes));
});

test('an answer that is broken off is a failure in every format, and leaves no file', async () => {
  await using server = await startQueryServer((response) => {
    response.write('a\n1\n', () => response.destroy());
  });
  for (const format of ['table', 'json', 'ndjson', 'csv', 'arrow']) {
    const output = format === 'table' ? [] : ['-o', 'answer'];
    const argv = ['query', 'SELECT 1', '--format', format, ...output];
    const { status, stderr } = await run(argv, server.url);
    assert.equal(status, 1, format);
    assert.match(stderr, /the answer was cut off/);
  }
  assert.deepEqual(await readdir(directory), []);
});

test('a refusal is told in its own words', async () => {
  await using server = await startQueryServer((response) => {
    response.writeHead(400, { 'content-type': 'application/problem+json' });
    response.end('{"title":"Bad Request","detail":"syntax error at or near \\"SELEC\\""}');
  });
  const { status, stdout, stderr } = await run(['query', 'SELEC 1'], server.url);
  assert.equal(status, 1);
  assert.equal(stdout.length, 0);
  assert.match(stderr, /syntax error at or near "SELEC" \(status 400/);
});

test('Ctrl-C leaves the query, which tells the service', async () => {
  const left = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  await using server = await startQueryServer((response) => {
    arrived.resolve();
    response.on('close', () => left.resolve());
  });
  const running = startTracelake(['query', 'SELECT 1', '--url', server.url], directory);
  await arrived.promise;
  running.child.kill('SIGINT');
  assert.equal((await running.ended).status, 130);
  await left.promise;
});

const logHeader = 'block_id,insert_time,time,level,target,msg\n';
const logRow = (block: string, second: number, level: number, text: string) =>
  `${block},2026-11-21T05:00:0${second}.000000000Z,2026-11-21T04:00:0${second}.123456789Z,${level},game,${text}\n`;

test('a log is printed line by line, with nothing that a terminal obeys', async () => {
  const rows = logRow('b1', 1, 3, '"two\nlines"') + logRow('b1', 2, 4, '\x1b[2Jwiped');
  await using server = await startQueryServer(sendCsv(logHeader + rows));
  const argv = ['logs', processId, '--level', 'warn', '--grep', 'x'];
  const { status, stdout } = await run(argv, server.url);
  assert.equal(status, 0);
  assert.equal(
    stdout.toString(),
    '2026-11-21 04:00:01.123456 WARN  game: two\n    lines\n' +
      '2026-11-21 04:00:02.123456 INFO  game: \\u001b[2Jwiped\n',
  );
  assert.deepEqual(JSON.parse(server.seen[0]?.text ?? '').params.slice(0, 2), [3, 'x']);
});

test('--follow prints each block once, late ones too, and outlives a service that is away', async () => {
  const first = logRow('b1', 1, 4, 'one');
  const late = logRow('b0', 0, 4, 'late');
  const next = logRow('b2', 5, 4, 'two');
  await using server = await startQueryServer(
    sendCsv(logHeader + first),
    (response) => response.writeHead(503).end('{"title":"Busy"}'),
    sendCsv(logHeader + late + first),
    sendCsv(logHeader + late + first + next),
  );
  const running = startTracelake(['logs', processId, '-f', '--url', server.url], directory);
  let text = '';
  for await (const chunk of running.child.stdout ?? []) {
    text += chunk;
    if (text.includes('two')) break;
  }
  running.child.kill('SIGINT');
  assert.equal((await running.ended).status, 130);
  const messages = [...text.matchAll(/game: (\w+)/g)].map(([, message]) => message);
  assert.deepEqual(messages, ['one', 'late', 'two']);
  assert.match(running.stderr(), /Busy .*trying again/);
  const sinceNs = BigInt(/,(\d+)\]\}$/.exec(server.seen.at(-1)?.text ?? '')?.[1] ?? '0');
  assert.ok(sinceNs > 0n, 'what arrived long ago is not asked for again');
});

test('top shows the times of spans for people, in the order that is asked for', async () => {
  const header = 'name,count,total_ns,self_ns,p50_ns,p95_ns,p99_ns,max_ns,target\n';
  const row = 'frame,60,1000000000,16600000,999,16600,16700000,17000000,game\n';
  await using server = await startQueryServer(sendCsv(header + row));
  const { status, stdout } = await run(['top', processId, '--sort', 'p99'], server.url);
  assert.equal(status, 0);
  assert.match(
    stdout.toString(),
    /frame +60 +1\.00 s +16\.60 ms +999 ns +16\.60 µs +16\.70 ms +17\.00 ms +game\n/,
  );
  const { sql } = JSON.parse(server.seen[0]?.text ?? '');
  assert.match(sql, new RegExp(`span_stats\\('${processId}'\\)\\s+ORDER BY p99_ns DESC`));
});
