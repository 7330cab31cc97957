/**
 * Scenario: `tracelake doctor` on services in several states of health, from a clone and from an image.
 * Guarantees: what is wrong is the exit status and names the page that mends it; an image is no broken clone.
 */
import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { lookAtMachine } from '../src/doctor/machine-findings.ts';
import { runCommand } from './run-command.ts';
import { startTraceServer } from './trace-server.ts';

const metrics = `tracelake_build_info{version="0.1.0"} 1
tracelake_lake_unannounced_rows 3
tracelake_lake_unannounced_oldest_seconds 4
tracelake_lake_lanes_without_owner 2
tracelake_bus_stream_messages{stream="DEAD"} 1
`;

/** A service behind one address, with these answers. */
const service =
  (status: number, readiness: unknown): RequestListener =>
  (request, response) => {
    if (request.url === '/metrics') response.end(metrics);
    else response.writeHead(status).end(JSON.stringify(readiness));
  };

test('a lane without an owner is wrong, a dead letter a note, and both name their page', async () => {
  await using server = await startTraceServer(service(200, { status: 'ready', failing: [] }));
  const { status, stdout } = await runCommand(['doctor', '--url', server.url]);
  assert.equal(status, 1);
  assert.match(stdout, /ok {4}ingest at .* is ready\n/);
  assert.match(stdout, /ok {4}all of them are version 0\.1\.0\n/);
  assert.match(stdout, /ok {4}what is stored is announced\n/);
  assert.match(stdout, /wrong 2 lane\(s\) .*\n {6}see deploy\/runbooks\/lane-without-owner\.md\n/);
  assert.match(
    stdout,
    /note {2}1 dead letter\(s\).*\n {6}see deploy\/runbooks\/dead-letters\.md\n/,
  );
  assert.match(stdout, /\? {5}rejected-blocks, pending-blocks: .*no such metric\n/);
  assert.match(stdout, /See the lines marked "wrong"/);
});

test('a service that is not ready says why, one that is away where it was looked for', async () => {
  const failing = { failing: ['postgres'], checks: { postgres: { error: 'refused' } } };
  await using sick = await startTraceServer(service(503, failing));
  const env = { TRACELAKE_INGEST_URL: `${sick.url}/`, TRACELAKE_URL: 'http://127.0.0.1:1' };
  const { status, stdout } = await runCommand(['doctor', '--json'], { env });
  assert.equal(status, 1);
  const answer = JSON.parse(stdout) as {
    is_well: boolean;
    findings: { verdict: string; text: string; runbook: string | null }[];
  };
  assert.equal(answer.is_well, false);
  const wrong = answer.findings.filter(({ verdict }) => verdict === 'wrong');
  assert.equal(wrong.length, 4);
  assert.match(wrong[0]?.text ?? '', /ingest at .* is not ready: postgres \(refused\)/);
  assert.equal(wrong[0]?.runbook, 'deploy/runbooks/service-not-ready.md');
  assert.match(wrong[1]?.text ?? '', /does not answer at http:\/\/127\.0\.0\.1:1 /);
  assert.equal(wrong[1]?.runbook, 'deploy/runbooks/service-down.md');
});

test('where there is no clone nothing is said about its set-up, its stack or Docker', async () => {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const context = {
    env: {},
    cwd: '/',
    signal: new AbortController().signal,
    stdin: Readable.from([]),
    stdout: nowhere,
    stderr: nowhere,
  };
  const image = await lookAtMachine(context, tmpdir());
  assert.deepEqual(
    image.map(({ check, verdict }) => [check, verdict]),
    [['node', 'well']],
  );
  const clone = await lookAtMachine(context);
  assert.deepEqual(
    clone.map(({ check }) => check),
    ['node', 'set-up', 'own-stack', 'docker'],
  );
});
