/**
 * Scenario: `tracelake backfill` against services that answer well, refuse one instance, are overloaded or go away.
 * Guarantees: every instance is asked for once it can be; what failed is named, and is the exit status.
 * e2e/src/operator-commands.test.ts has it with real services.
 */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { runCommand } from './run-command.ts';
import { startTraceServer, type TraceServer } from './trace-server.ts';

const processId = '9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f';
const current = { decision: 'current', rejected: [] };

interface Lake extends TraceServer {
  readonly asked: string[];
  readonly statements: { sql: string; begin?: string }[];
}

type Answer = { readonly status?: number; readonly body: unknown } | 'cut';

/** A query service that knows these instances and a materializer that answers so. */
async function startLake(
  instances: readonly string[],
  materialize: (instance: string, count: number) => Answer,
): Promise<Lake> {
  const asked: string[] = [];
  const statements: { sql: string; begin?: string }[] = [];
  const server = await startTraceServer(async (request, response) => {
    if (request.url === '/v1/query') {
      statements.push(JSON.parse(await textOf(request)));
      const rows = instances.map((instance) => `${instance},${processId}\n`);
      response.end(`instance,process_id\n${rows.join('')}`);
      return;
    }
    const instance = request.url?.split('/').at(-1) ?? '';
    asked.push(instance);
    const answer = materialize(instance, asked.filter((one) => one === instance).length);
    if (answer === 'cut') response.destroy();
    else response.writeHead(answer.status ?? 200).end(JSON.stringify(answer.body));
  });
  return {
    url: server.url,
    asked,
    statements,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  return Buffer.concat(await Array.fromAsync<Buffer>(request)).toString();
}

const names = Array.from({ length: 30 }, (_, index) => `instance-${index}`);

test('every instance is asked for once, and the summary tells built from current', async () => {
  await using lake = await startLake(names, (instance) => ({
    body: instance.endsWith('7') ? { decision: 'written', rejected: [{}, {}] } : current,
  }));
  const argv = ['backfill', 'thread_spans', '--url', lake.url, '--concurrency', '4'];
  const { status, stdout, stderr } = await runCommand([...argv, '--begin', '1h']);
  assert.equal(status, 0, stderr);
  assert.deepEqual(lake.asked.toSorted(), names.toSorted());
  assert.match(stdout, /30 of 30 instances; 3 built, 27 current, 0 failed/);
  assert.match(stderr, /6 block\(s\) could not be decoded/);
  assert.match(lake.statements[0]?.sql ?? '', /DISTINCT stream_id .* FROM blocks\s.*'cpu'/s);
  assert.match(lake.statements[0]?.begin ?? '', /^20/);
  await runCommand(['backfill', 'measures', '--process', processId, '--url', lake.url]);
  const wanted = new RegExp(
    `DISTINCT process_id .* FROM streams\\s.*'metrics'.*'${processId}'`,
    's',
  );
  assert.match(lake.statements[1]?.sql ?? '', wanted);
});

test('one that fails for good is named with its reason, and the others are done', async () => {
  await using lake = await startLake(names, (instance) =>
    instance === 'instance-3'
      ? { status: 500, body: { title: 'Internal', detail: 'the disk is full' } }
      : { body: current },
  );
  const argv = ['backfill', 'thread_spans', '--url', lake.url, '--json'];
  const { status, stdout, stderr } = await runCommand(argv);
  assert.equal(status, 1);
  assert.match(stderr, /instance-3 failed: Internal: the disk is full/);
  const summary = JSON.parse(stdout);
  assert.equal(summary.current, 29);
  assert.equal(summary.failed.length, 1);
  assert.equal(summary.failed[0].instance, 'instance-3');
  assert.equal(summary.failed[0].process_id, processId);
});

test('an overloaded or restarted materializer is asked again', async () => {
  await using lake = await startLake(names.slice(0, 2), (_instance, count) => {
    if (count === 1) return { status: 503, body: { title: 'Busy', detail: 'too many builds' } };
    return count === 2 ? 'cut' : { body: current };
  });
  const { status, stdout } = await runCommand(['backfill', 'measures', '--url', lake.url]);
  assert.equal(status, 0);
  assert.match(stdout, /2 of 2 instances; 0 built, 2 current/);
});

test('a materializer that stays away ends it in time, with what was done', async () => {
  await using lake = await startLake(names, (instance) =>
    instance === 'instance-0' ? { body: current } : 'cut',
  );
  const argv = ['backfill', 'measures', '--url', lake.url, '--patience', '0'];
  const { status, stdout, stderr } = await runCommand(argv);
  assert.equal(status, 1);
  assert.match(stdout, /1 of 30 instances/);
  assert.match(stderr, /no answer from materializer/);
});
