/**
 * Scenario: `tracelake doctor` on real services, one thing wrong at a time: addresses, NATS, Postgres and its schema, the
 * store, the clock, what the lake holds.
 * Guarantees: each is found, in words that say what to do, with a runbook that exists; and is found no more once mended.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { connectBus } from '@tracelake/bus';
import { ensureExists, parseProcessId } from '@tracelake/domain';
import { findNatsBinary } from '@tracelake/local-servers';
import { loadFixture } from '@tracelake/test-kit';
import pg from 'pg';
import { eventually, replay } from './harness/client.ts';
import { copyProcess } from './harness/fixture-copy.ts';
import { poisonedRequests } from './harness/measured-stack.ts';
import {
  type ProcessStack,
  type ServiceProcess,
  startProcessStack,
} from './harness/process-stack.ts';

const root = join(import.meta.dirname, '../..');
const main = join(root, 'packages/cli/src/main.ts');

interface Finding {
  readonly verdict: 'well' | 'note' | 'wrong' | 'unknown';
  readonly check: string;
  readonly text: string;
  readonly runbook: string | null;
}

type Variables = Readonly<Record<string, string>>;

let stack: ProcessStack;
let query: ServiceProcess;

before(async () => {
  stack = await startProcessStack({
    'partition-materializer': { env: { TRACELAKE_MATERIALIZER_OBSERVE_INTERVAL_S: '0.5' } },
  });
  query = await stack.startService('query');
});
after(() => stack?.[Symbol.asyncDispose]());

/** What is not well, beside what concerns the clone on this machine. */
async function examine(variables: Variables = {}): Promise<Finding[]> {
  const env = {
    PATH: process.env.PATH,
    TRACELAKE_INGEST_URL: stack.ingest.url,
    TRACELAKE_TRACE_EXPORT_URL: stack.traceExport.url,
    TRACELAKE_QUERY_URL: query.url,
    TRACELAKE_MATERIALIZER_URL: stack.materializer.url,
    TRACELAKE_DATABASE_URL: stack.databaseUrl,
    TRACELAKE_NATS_URL: stack.nats.url,
    TRACELAKE_OBJECT_STORE_URL: pathToFileURL(stack.objectsDir).href,
    ...variables,
  };
  const { promise, resolve } = Promise.withResolvers<string>();
  execFile(process.execPath, [main, 'doctor', '--json'], { env }, (_error, stdout) =>
    resolve(stdout),
  );
  const { findings } = JSON.parse(await promise) as { findings: Finding[] };
  const troubles = findings.filter(
    ({ verdict, check }) => verdict !== 'well' && !['own-stack', 'docker', 'disk'].includes(check),
  );
  for (const { runbook, text } of troubles) {
    assert.ok(runbook !== null && existsSync(join(root, runbook)), `${text}: ${runbook}`);
  }
  return troubles;
}

/** Until the doctor finds just these, as `verdict check page`, in words that match. */
async function finds(
  wanted: Readonly<Record<string, RegExp>>,
  variables?: Variables,
): Promise<void> {
  let found: Finding[] = [];
  const check = async () => {
    found = await examine(variables);
    const names = found.map(
      ({ verdict, check, runbook }) => `${verdict} ${check} ${runbook?.slice(16, -3)}`,
    );
    assert.deepEqual([...new Set(names)].sort(), Object.keys(wanted).sort());
    for (const [index, { text }] of found.entries())
      assert.match(text, wanted[names[index] ?? ''] ?? / /);
    return true;
  };
  await eventually(check, 'the findings', 20_000).catch((error: Error) => {
    throw new Error(`found ${JSON.stringify(found, undefined, 2)}`, { cause: error.cause });
  });
}

test('a healthy lake has no finding', () => finds({}));

test('an address where nothing listens, something else answers, or another service does', async () => {
  await finds(
    { 'wrong service service-down': /query does not answer at http:\/\/127\.0\.0\.1:1 .*start it/ },
    { TRACELAKE_QUERY_URL: 'http://127.0.0.1:1' },
  );
  const website = createServer((_request, response) => response.end('<h1>Welcome</h1>')).listen(
    0,
    '127.0.0.1',
  );
  await once(website, 'listening');
  await finds(
    {
      'wrong service service-down':
        /where query should be, answers something that is no service of Tracelake.*Welcome/,
    },
    { TRACELAKE_QUERY_URL: `http://127.0.0.1:${(website.address() as AddressInfo).port}` },
  );
  website.close();
  const { hostname, port } = new URL(stack.ingest.url);
  await finds(
    { 'wrong service service-down': /where query should be, answers ingest: correct/ },
    {
      TRACELAKE_QUERY_URL: `http://localhost:${port}`,
      TRACELAKE_INGEST_URL: `http://${hostname}:${port}`,
    },
  );
});

test('a clock that is off', async () => {
  const late = createServer((incoming, response) => {
    request(`${query.url}${incoming.url}`, (answer) => {
      response.setHeader('date', new Date(Date.now() - 60_000).toUTCString());
      answer.pipe(response);
    }).end();
  }).listen(0, '127.0.0.1');
  await once(late, 'listening');
  await finds(
    { 'note clock service-not-ready': /clock of query is \d+ s behind .* NTP/ },
    { TRACELAKE_QUERY_URL: `http://127.0.0.1:${(late.address() as AddressInfo).port}` },
  );
  late.close();
});

test('NATS is away, and then comes back without JetStream', async () => {
  await stack.nats.stop();
  await finds({
    'note service service-not-ready': /works, but without nats/,
    'wrong service service-not-ready': /materializer .* is not ready: nats/,
    'wrong nats service-not-ready':
      /NATS does not answer with JetStream from here \(.*TRACELAKE_NATS_URL says/,
    'unknown lake service-not-ready': /consumer-lag, dead-letters/,
  });
  const { port } = new URL(stack.nats.url);
  const { path } = await findNatsBinary({
    ...{ searchPath: process.env.PATH ?? '', mayInstall: true, signal: undefined, log: undefined },
    cacheDir: join(root, 'node_modules/.cache/tracelake'),
  });
  const plain = spawn(path, ['-a', '127.0.0.1', '-p', port], { stdio: 'ignore' });
  try {
    await finds({
      'note service service-not-ready': /without nats \(.*jetstream is not enabled/,
      'wrong service service-not-ready': /materializer .* is not ready: nats/,
      'wrong nats service-not-ready': /NATS .*\(.*jetstream is not enabled\).* -js/,
      'unknown lake service-not-ready': /consumer-lag, dead-letters/,
    });
  } finally {
    plain.kill('SIGKILL');
    await once(plain, 'exit');
    await stack.nats.start();
  }
  await finds({});
});

test('Postgres is away, or lacks a step of its schema', async () => {
  await finds(
    { 'wrong postgres service-not-ready': /Postgres does not answer from here/ },
    { TRACELAKE_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' },
  );
  const client = new pg.Client(stack.databaseUrl);
  await client.connect();
  try {
    const newest = 'WHERE version = (SELECT max(version) FROM schema_migrations)';
    await client.query(`CREATE TABLE aside AS SELECT * FROM schema_migrations ${newest}`);
    await client.query(`DELETE FROM schema_migrations ${newest}`);
    await finds({
      'wrong postgres upgrade':
        /schema version \d+, and this release needs \d+: run "tracelake migrate"/,
    });
    await client.query('INSERT INTO schema_migrations SELECT * FROM aside');
    const first = (sha256: string) =>
      client.query(`UPDATE schema_migrations SET sha256 = ${sha256} WHERE version = 1`);
    await first("'other' || sha256");
    await finds({ 'wrong postgres rollback': /do not fit/ });
    await first('substr(sha256, 6)');
    await finds({});
  } finally {
    await client.end();
  }
});

test('the store cannot be written', async () => {
  const aside = `${stack.objectsDir}.aside`;
  await rename(stack.objectsDir, aside);
  await writeFile(stack.objectsDir, 'not a directory');
  const found = await examine();
  assert.ok(
    found.some(
      ({ check, text }) =>
        check === 'object-store' && /cannot be written from here \(.*ENOTDIR|EEXIST/.test(text),
    ),
    JSON.stringify(found),
  );
  await rename(stack.objectsDir, `${aside}.file`);
  await rename(aside, stack.objectsDir);
  await finds({});
});

test('what the lake holds: dead letters, rejected and pending blocks', async () => {
  const unknown = ensureExists(parseProcessId(randomUUID()), 'an id');
  {
    await using bus = await connectBus({ servers: stack.nats.url, name: 'doctor-test', lanes: 8 });
    await bus.requestMaterialization({
      ...{
        viewSet: 'async_events',
        processId: unknown,
        instance: unknown,
        wantedHash: 'w',
        attempt: 1,
      },
      ...{ beginNs: undefined, endNs: undefined },
    });
  }
  await replay(stack.ingest.url, poisonedRequests(7));
  const pending = copyProcess(loadFixture('small'));
  const withoutStreams = pending.requests.filter(({ path }) => !path.endsWith('insert_stream'));
  await replay(stack.ingest.url, withoutStreams);
  await finds({
    'note dead-letters dead-letters': /1 dead letter\(s\): "tracelake dead-letters list"/,
    'note rejected-blocks blocks-rejected': /1 block\(s\) could not be decoded/,
    'note pending-blocks blocks-pending': /block\(s\) of the last hour wait for their stream/,
  });
});

test('requests wait for a lane whose owner hangs', async () => {
  const instances = Array.from({ length: 120 }, () =>
    ensureExists(parseProcessId(randomUUID()), 'an id'),
  );
  await stack.materializer.end('SIGKILL');
  {
    await using bus = await connectBus({ servers: stack.nats.url, name: 'doctor-test', lanes: 8 });
    for (const id of instances) {
      await bus.requestMaterialization({
        ...{ viewSet: 'async_events', processId: id, instance: id, wantedHash: 'w', attempt: 1 },
        ...{ beginNs: undefined, endNs: undefined },
      });
    }
  }
  // This one looks and works on nothing: the lanes are another's.
  const client = new pg.Client(stack.databaseUrl);
  await client.connect();
  await client.query(
    "UPDATE lane_leases SET expires_at = clock_timestamp() + interval '2 minutes'",
  );
  const replica = await stack.startService('partition-materializer', {
    env: { TRACELAKE_MATERIALIZER_OBSERVE_INTERVAL_S: '0.5' },
  });
  const variables = { TRACELAKE_MATERIALIZER_URL: replica.url };
  const lake = {
    'note dead-letters dead-letters': /dead letter/,
    'note rejected-blocks blocks-rejected': /block/,
    'note pending-blocks blocks-pending': /block/,
  };
  await finds({ ...lake, 'note consumer-lag consumer-lag': /1\d\d of MATERIALIZE/ }, variables);
  await client.end();
  await replica.end('SIGKILL');
});
