/**
 * What operators run against a lake at work: the commands of `tracelake` on real services.
 *
 * Guarantees: a backfill leaves nothing for whoever asks next; figures are those of the rows that are there.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { loadFixture } from '@tracelake/test-kit';
import pg from 'pg';
import { replay } from './harness/client.ts';
import {
  type ProcessStack,
  type ServiceProcess,
  startProcessStack,
} from './harness/process-stack.ts';

const main = join(import.meta.dirname, '../../packages/cli/src/main.ts');

describe('commands of operators', () => {
  let stack: ProcessStack;
  let query: ServiceProcess;

  before(async () => {
    stack = await startProcessStack();
    query = await stack.startService('query');
    for (const name of ['small', 'spans'] as const) {
      await replay(stack.ingest.url, loadFixture(name).requests);
    }
  });

  after(() => stack?.[Symbol.asyncDispose]());

  function tracelake(...argv: string[]) {
    return runTracelake(argv, {
      TRACELAKE_URL: 'http://127.0.0.1',
      TRACELAKE_INGEST_PORT: new URL(stack.ingest.url).port,
      TRACELAKE_MATERIALIZER_PORT: new URL(stack.materializer.url).port,
      TRACELAKE_TRACE_EXPORT_PORT: new URL(stack.traceExport.url).port,
      TRACELAKE_QUERY_PORT: new URL(query.url).port,
      TRACELAKE_NATS_URL: stack.nats.url,
      TRACELAKE_DATABASE_URL: stack.databaseUrl,
    });
  }

  test('backfill builds every instance of a view, and the next one finds all of it current', async () => {
    const first = await tracelake('backfill', 'thread_spans', '--json');
    assert.equal(first.status, 0, first.stderr);
    const built = JSON.parse(first.stdout);
    assert.ok(built.instances >= 3 && built.built > 0, first.stdout);
    assert.equal(built.built + built.current, built.instances);
    assert.deepEqual(built.failed, []);
    const again = await tracelake('backfill', 'thread_spans');
    assert.equal(again.status, 0, again.stderr);
    assert.match(again.stdout, new RegExp(`; 0 built, ${built.instances} current, 0 failed`));
  });

  test('backfill of a range or of a process leaves the others alone', async () => {
    const none = await tracelake('backfill', 'async_events', '--end', '2001-01-01T00:00:00Z');
    assert.match(none.stdout, /0 of 0 instances/, none.stderr);
    const { processId } = loadFixture('small');
    const one = await tracelake('backfill', 'async_events', '--process', processId);
    assert.match(one.stdout, /1 of 1 instances; 1 built/, one.stderr);
    const all = await tracelake('backfill', 'async_events', '--begin', '2001-01-01T00:00:00Z');
    assert.match(all.stdout, /2 of 2 instances; 1 built, 1 current/, all.stderr);
  });

  test('the cost is that of the blocks and partitions that are there', async () => {
    const { stdout, stderr } = await tracelake('cost', '--json', '--gb-month-price', '2');
    assert.notEqual(stdout, '', stderr);
    const { holdings, million_events: cost } = JSON.parse(stdout) as CostAnswer;
    const [row] = await rowsOf(
      stack.databaseUrl,
      `SELECT (SELECT count(*) FROM blocks)::int AS blocks, (SELECT sum(nb_objects) FROM blocks)::int AS events,
        (SELECT sum(payload_size) FROM blocks)::int AS raw_bytes, count(object_key)::int AS partition_files,
        sum(size_bytes)::int AS partition_bytes FROM partitions`,
    );
    assert.deepEqual({ ...holdings }, row);
    const gigabytes = (holdings.raw_bytes + holdings.partition_bytes) / 1e9;
    const wanted = ((2 * gigabytes) / holdings.events) * 1e6;
    assert.ok(Math.abs((cost.parts[0]?.cost ?? 0) - wanted) < wanted * 1e-9);
    const text = await tracelake('cost', '--begin', '1h');
    assert.match(text.stdout, /partition bytes an event\) x 1e6 \/ 1e9 x 0\.023 a GB-month/);
    const none = await tracelake('cost', '--end', '2001-01-01T00:00:00Z');
    assert.match(none.stdout, /0 events in 0 blocks[\s\S]*Without events/);
  });

  test('the doctor knows the figures of a healthy lake, and finds the service that ended', async () => {
    const deadline = Date.now() + 60_000;
    let healthy = await tracelake('doctor', '--json');
    // The materializer looks at the lake every 15 s.
    while (unknownChecks(healthy.stdout).length > 0 && Date.now() < deadline) {
      await delay(500);
      healthy = await tracelake('doctor', '--json');
    }
    assert.equal(healthy.status, 0, healthy.stdout);
    assert.deepEqual(unknownChecks(healthy.stdout), []);
    const { findings } = JSON.parse(healthy.stdout) as { findings: { check: string }[] };
    for (const check of ['versions', 'lanes', 'announcements', 'consumer-lag', 'dead-letters']) {
      assert.ok(
        findings.some((finding) => finding.check === check),
        check,
      );
    }
    await stack.traceExport.end('SIGTERM');
    const sick = await tracelake('doctor');
    assert.equal(sick.status, 1);
    assert.match(
      sick.stdout,
      /wrong trace-export does not answer.*\n +see deploy\/runbooks\/service-down\.md/,
    );
  });
});

interface CostAnswer {
  readonly holdings: Readonly<Record<string, number>> & {
    readonly raw_bytes: number;
    readonly partition_bytes: number;
    readonly events: number;
  };
  readonly million_events: { readonly parts: readonly { readonly cost: number }[] };
}

async function rowsOf(databaseUrl: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

function unknownChecks(stdout: string): string[] {
  const { findings } = JSON.parse(stdout) as { findings: { verdict: string; text: string }[] };
  return findings.filter(({ verdict }) => verdict === 'unknown').map(({ text }) => text);
}

function runTracelake(argv: readonly string[], env: Readonly<Record<string, string>>) {
  return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(
      process.execPath,
      [main, ...argv],
      { env: { PATH: process.env.PATH, ...env } },
      (_error, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}
