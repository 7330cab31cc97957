/**
 * The stack as one person runs it on one machine: `tracelake up` and the commands that talk to it.
 *
 * Guarantees: an empty directory becomes a lake with a trace to open; what crashes comes back; Ctrl-C and
 * even `kill -9` leave nothing running; starting again finds the data, byte for byte.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { decodeTrace, loadFixture } from '@tracelake/test-kit';
import { eventually } from './harness/client.ts';
import { findSliceDifferences } from './harness/expected-slices.ts';
import {
  chooseStackPorts,
  findServicePid,
  isAlive,
  type RunningStack,
  runCommand,
  type StackPorts,
  type StackService,
  startStack,
} from './harness/local-stack.ts';
import { waitUntilReady } from './harness/readiness.ts';

const sample = loadFixture('small');
const services: readonly StackService[] = ['ingest', 'trace-export', 'query', 'materializer'];

describe('the stack on one machine', () => {
  let directory: string;
  let dataDir: string;
  let ports: StackPorts;
  let stack: RunningStack | undefined;
  let firstTrace: string;

  const run = (...argv: string[]) => runCommand(argv, ports, directory);

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'tracelake-e2e-stack-'));
    dataDir = directory;
    ports = await chooseStackPorts();
  });

  after(async () => {
    if (stack?.child.exitCode === null) await stack.end('SIGTERM');
    await rm(directory, { recursive: true, force: true });
  });

  test('an empty directory becomes a lake, and the last line opens its trace', async () => {
    stack = await startStack(dataDir, ports);
    const command = stack.banner.trimEnd().split('\n').at(-1) ?? '';
    assert.match(stack.banner, /Postgres \d+/);
    assert.match(stack.banner, /nats-server/);
    const argv = command.replace(/^.*npx tracelake /, '').split(' ');
    assert.deepEqual(argv.slice(0, 2), ['export', sample.processId]);
    const { status, stderr } = await run(...argv);
    assert.equal(status, 0, stderr);
    const bytes = await readFile(path.join(directory, 'trace.pftrace'));
    assert.deepEqual(findSliceDifferences(decodeTrace(bytes), sample), []);
    firstTrace = sha256(bytes);
  });

  test('the commands find what the sample left', async () => {
    const processes = await run('processes', '--json');
    assert.equal(processes.status, 0, processes.stderr);
    assert.deepEqual(
      (JSON.parse(processes.stdout) as { process_id: string }[]).map((row) => row.process_id),
      [sample.processId],
    );
    assert.match((await run('processes')).stdout, new RegExp(sample.processId));
    const built = await run('materialize', 'async_events', sample.processId);
    assert.equal(built.status, 0, built.stderr);
    assert.match(built.stdout, /"decision": "current"/);
    const listed = await run('partitions', 'async_events', sample.processId);
    assert.equal(listed.status, 0, listed.stderr);
    assert.ok(listed.stdout.split('\n').length > 2, listed.stdout);
    const refused = await run('materialize', 'async_events', 'global');
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /async_events/);
    const doctor = await run('doctor');
    assert.equal(doctor.status, 0, doctor.stdout);
  });

  test('the lake answers SQL, prints its log and tells where the time went', async () => {
    const { header, rows } = sample.expected('log_entries');
    const statement = `SELECT count(*) AS n, epoch_ns(max(time)) AS last
      FROM view_instance('log_entries', $1)`;
    const counted = await run(
      'query',
      statement.replace('$1', `'${sample.processId}'`),
      '--format',
      'csv',
    );
    const times = rows.map((row) => BigInt(row[header.indexOf('time')] ?? 0));
    const last = times.reduce((most, time) => (time > most ? time : most));
    assert.equal(counted.stdout, `n,last\n${rows.length},${last}\n`, counted.stderr);
    assert.match(counted.stderr, /receipt: 1 of 1 blocks read/);
    const log = await run('logs', sample.processId);
    const messages = rows.map((row) => row[header.indexOf('msg')] ?? '');
    assert.equal(log.status, 0, log.stderr);
    assert.deepEqual(
      log.stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/^.*? \w+ +\w+: /, '')),
      messages,
    );
    const top = await run('top', sample.processId, '--sort', 'count', '--limit', '1');
    assert.equal(top.status, 0, top.stderr);
    const counts = new Map<string, number>();
    for (const stream of sample.expectedThreadSpanStreams()) {
      const spans = sample.expected(`thread_spans.${stream}`);
      for (const row of spans.rows) {
        const name = row[spans.header.indexOf('name')] ?? '';
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
    const [name, count] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
    assert.match(top.stdout, new RegExp(`\n${name} +${count} `));
    const refused = await run('query', 'SELECT * FROM nothing_like_this');
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /nothing_like_this/);
  });

  test('a second stack is refused, on the same data as on the same ports', async () => {
    const same = await run('up', '--data-dir', dataDir);
    assert.equal(same.status, 1);
    assert.match(same.stderr, /already runs on .*process \d+/);
    const other = await run('up', '--data-dir', path.join(directory, 'other'));
    assert.equal(other.status, 1);
    for (const service of services) {
      assert.match(other.stderr, new RegExp(`port ${ports[service]}.* is busy: another Tracelake`));
    }
  });

  test('a service that is killed comes back', async () => {
    for (const service of services) {
      const pid = await findServicePid(dataDir, service);
      process.kill(pid, 'SIGKILL');
      const successor = await eventually(
        async () => {
          const now = await findServicePid(dataDir, service);
          return now === pid ? undefined : now;
        },
        `${service} starts again`,
        20_000,
      );
      assert.ok(isAlive(successor));
      await waitUntilReady(`http://127.0.0.1:${ports[service]}`);
    }
    assert.equal(await exportedSha256(run, directory), firstTrace);
  });

  test('Ctrl-C stops everything, and starting again finds the data', async () => {
    const pids = await Promise.all(services.map((service) => findServicePid(dataDir, service)));
    assert.equal(await stack?.end('SIGINT'), 0);
    assert.deepEqual(pids.filter(isAlive), []);
    assert.ok(!(await readdir(dataDir)).includes('up.lock'));
    stack = await startStack(dataDir, ports);
    assert.equal(await exportedSha256(run, directory), firstTrace);
  });

  test('kill -9 leaves no service behind, and starting again finds the data', async () => {
    const pids = await Promise.all(services.map((service) => findServicePid(dataDir, service)));
    await stack?.end('SIGKILL');
    await eventually(
      async () => (pids.some(isAlive) ? undefined : true),
      'the services end after their supervisor',
      40_000,
    );
    stack = await startStack(dataDir, ports);
    assert.equal(await exportedSha256(run, directory), firstTrace);
    assert.equal(await stack.end('SIGTERM'), 0);
  });
});

async function exportedSha256(
  run: (...argv: string[]) => Promise<{ status: number | null; stderr: string }>,
  directory: string,
): Promise<string> {
  const { status, stderr } = await run('export', sample.processId, '-o', 'again.pftrace');
  assert.equal(status, 0, stderr);
  return sha256(await readFile(path.join(directory, 'again.pftrace')));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
