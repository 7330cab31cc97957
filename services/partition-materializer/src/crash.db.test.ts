/**
 * Scenario: the service runs as a process of its own, under load, and is killed at random moments.
 * Guarantees: what is visible is whole at every moment; after the last start every row is there once.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type IngestRequest, RecordingBuilder, seededRandom } from '@tracelake/test-kit';
import { eventually, openServiceLab, type ServiceLab } from '../test/service-lab.ts';
import { partitionPaths, readViewRows } from '../test/view-rows.ts';

let lab: ServiceLab;
before(async () => {
  lab = await openServiceLab();
});
after(() => lab[Symbol.asyncDispose]());

const MAIN = new URL('./main.ts', import.meta.url).pathname;

async function startProcess(): Promise<{ child: ChildProcess; url: string; lines: string[] }> {
  const { PATH = '', TMPDIR = lab.lake.directory } = process.env;
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH, TMPDIR, ...lab.environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  const started = Promise.withResolvers<string>();
  child.once('exit', (code) => started.reject(new Error(`exited with ${code}: ${lines.at(-1)}`)));
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    lines.push(...text.split('\n').filter(Boolean));
    const line = lines.find((one) => one.includes('"service started"'));
    if (line !== undefined) started.resolve((JSON.parse(line) as { url: string }).url);
  });
  return { child, url: await started.promise, lines };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

interface Recorded {
  readonly processId: string;
  readonly streamId: string;
  readonly requests: IngestRequest[];
  readonly blockCount: number;
}

function record(seed: number, blockCount: number): Recorded {
  const recording = new RecordingBuilder({ seed, frequencyHz: 1e9 });
  const thread = recording.addThread({ name: 'worker', id: '1' });
  const scope = { name: 'step', target: 't', file: 'f.rs', line: 3 };
  for (let block = 0; block < blockCount; block++) {
    for (let span = 0; span < 50; span++) {
      const ticks = block * 100_000 + span * 1000;
      thread.begin(scope, ticks);
      thread.end(scope, ticks + 500);
    }
    thread.flushBlock();
    recording.log({ ticks: block * 100_000, message: `block ${block}` });
    recording.logStream.flushBlock();
  }
  const { streamId } = thread.stream;
  const requests = recording.requests();
  return { processId: recording.processId, streamId, requests, blockCount };
}

/** Every file that the catalog names can be read whole, and no row is there twice. */
async function checkVisible(recorded: Recorded): Promise<{ spans: number; lines: number }> {
  const spans = await readViewRows(lab.lake, {
    viewSet: 'thread_spans',
    instance: recorded.streamId,
    columns: ['id', 'depth'],
  });
  const lines = await readViewRows(lab.lake, {
    viewSet: 'log_entries',
    instance: recorded.processId,
    columns: ['msg'],
  });
  const ids = spans.filter(([, depth]) => depth !== '0').map(([id]) => id);
  assert.equal(new Set(ids).size, ids.length, 'no span twice');
  assert.equal(new Set(lines.map(String)).size, lines.length, 'no line twice');
  return { spans: ids.length, lines: lines.length };
}

test('kill -9 at random moments under load leaves nothing half done and loses nothing', async () => {
  const random = seededRandom(Number(process.env.TEST_SEED ?? Date.now() % 1_000_000));
  console.log(`seed ${random.seed}`);
  const recorded = record(random.seed, 60);
  let running = await startProcess();
  try {
    let nextKill = 10;
    for (const [index, request] of recorded.requests.entries()) {
      await lab.ingest(request);
      const path = `/v1/materialize/thread_spans/${recorded.streamId}`;
      const build = fetch(`${running.url}${path}`, { method: 'POST' }).catch(() => {});
      if (index >= nextKill) {
        nextKill += 15 + random.int(15);
        await sleep(random.int(120));
        await kill(running.child);
        await build;
        await checkVisible(recorded);
        running = await startProcess();
      } else if (random.int(3) === 0) await build;
    }
    await eventually(
      'all log lines, with no request',
      async () => (await checkVisible(recorded)).lines === recorded.blockCount,
      30_000,
    );
    const answer = await fetch(`${running.url}/v1/materialize/thread_spans/${recorded.streamId}`, {
      method: 'POST',
      signal: AbortSignal.timeout(30_000),
    });
    assert.equal(answer.status, 200);
    assert.equal((await checkVisible(recorded)).spans, recorded.blockCount * 50);
  } finally {
    await kill(running.child);
  }
});

test('SIGTERM under load ends the process in time with status 0', async () => {
  const recorded = record(process.pid, 40);
  const { child, url, lines } = await startProcess();
  try {
    for (const request of recorded.requests) await lab.ingest(request);
    const path = `/v1/materialize/thread_spans/${recorded.streamId}`;
    const build = fetch(`${url}${path}`, { method: 'POST' });
    await eventually('the service has the request', async () => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      const begun = /^tracelake_materializer_builds(_in_flight|_total\{.*thread_spans.*\}) [1-9]/m;
      return begun.test(metrics);
    });
    const exited = once(child, 'exit', { signal: AbortSignal.timeout(25_000) });
    child.kill('SIGTERM');
    assert.equal((await build).status, 200, 'what had begun is finished');
    assert.deepEqual(await exited, [0, null]);
    assert.ok(lines.some((line) => line.includes('"service stopped"')));
    const paths = await partitionPaths(lab.lake, 'thread_spans', recorded.streamId);
    assert.ok(paths.length > 0);
  } finally {
    await kill(child);
  }
});
