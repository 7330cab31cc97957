/** Exports through the whole lake at its edges: nothing to show, partitions replaced, objects that are gone. */

import assert from 'node:assert/strict';
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { decodeTrace, RecordingBuilder } from '@tracelake/test-kit';
import { startTestLake, type TestLake } from '../test/lake.ts';

let lake: TestLake;
before(async () => {
  lake = await startTestLake();
});
after(async () => {
  await lake[Symbol.asyncDispose]();
});

const QUERIES = [
  '',
  '?spans=thread',
  '?spans=async',
  '?compress=deflate',
  '?end=2001-01-01T00:00:00Z',
];

interface Answer {
  readonly status: number;
  readonly bytes: Uint8Array;
}

async function ask(processId: string, query: string): Promise<Answer> {
  const response = await fetch(`${lake.exportUrl}/v1/processes/${processId}/trace${query}`);
  return { status: response.status, bytes: new Uint8Array(await response.arrayBuffer()) };
}

const builders: Record<string, (recording: RecordingBuilder) => void> = {
  'logs alone': (recording) => {
    for (let index = 0; index < 3; index += 1) {
      recording.log({ ticks: 100 + index, message: `line ${index}` });
      recording.flushAll();
    }
  },
  'metrics alone': (recording) => {
    recording.metric({ ticks: 100, name: 'fps', unit: 'hz', value: 60 });
  },
  'a thread that never sent a block': (recording) => {
    recording.addThread({ name: 'silent', id: '1' });
  },
  'no stream at all': () => {},
};

for (const [what, build] of Object.entries(builders)) {
  test(`a process with ${what} is an empty trace, cold, warm and to many at once`, async () => {
    const recording = new RecordingBuilder({ seed: 300 + what.length });
    build(recording);
    await lake.ingest(recording.requests());
    for (let round = 0; round < 3; round += 1) {
      const answers = await Promise.all(
        QUERIES.map(async (query) => ({ query, ...(await ask(recording.processId, query)) })),
      );
      for (const { query, status, bytes } of answers) {
        assert.equal(status, 200, `round ${round} ${query}: ${Buffer.from(bytes).toString()}`);
        if (query.includes('deflate')) continue;
        const trace = decodeTrace(bytes);
        assert.deepEqual(trace.problems, []);
        assert.deepEqual(trace.slices, []);
      }
    }
  });
}

test('exports asked for without a pause while blocks come and partitions are replaced are all whole', async () => {
  const recording = new RecordingBuilder({ seed: 410 });
  const thread = recording.addThread({ name: 'worker', id: '7' });
  const scope = { name: 'work', target: 't', file: 'w.rs', line: 1 };
  const send = async (index: number) => {
    const at = 1000 * index;
    thread.begin(scope, at);
    thread.asyncBegin({ scope, ticks: at + 1, spanId: index });
    thread.end(scope, at + 300);
    if (index % 2 === 0) thread.asyncEnd({ scope, ticks: at + 600, spanId: index });
    recording.log({ ticks: at, message: `block ${index}` });
    recording.flushAll();
    await lake.ingest(recording.takeRequests());
  };
  await send(1);
  let isDone = false;
  const readers = ['', '?spans=thread', '?spans=async'].map(async (query) => {
    while (!isDone) {
      const { status, bytes } = await ask(recording.processId, query);
      assert.equal(status, 200, `${query}: ${Buffer.from(bytes).toString()}`);
      assert.deepEqual(decodeTrace(bytes).problems, []);
    }
  });
  for (let index = 2; index <= 10; index += 1) await send(index);
  isDone = true;
  await Promise.all(readers);
  const { bytes } = await ask(recording.processId, '');
  assert.equal(decodeTrace(bytes).slices.length, 20);
});

test('an object that is gone is a 503 that says so, and the trace is whole once it is back', async () => {
  const recording = new RecordingBuilder({ seed: 411 });
  const thread = recording.addThread({ name: 'worker', id: '7' });
  const scope = { name: 'work', target: 't', file: 'w.rs', line: 1 };
  thread.begin(scope, 100);
  thread.asyncBegin({ scope, ticks: 110, spanId: 1 });
  thread.end(scope, 200);
  await lake.ingest(recording.requests());
  const wanted = await ask(recording.processId, '');
  assert.equal(wanted.status, 200);
  const paths = (await readdir(lake.objectsDir, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.parquet'))
    .map((entry) => join(entry.parentPath, entry.name));
  assert(paths.length >= 2);
  for (const path of paths) await rename(path, `${path}.away`);
  for (const query of QUERIES.slice(0, 3)) {
    const { status, bytes } = await ask(recording.processId, query);
    assert.equal(status, 503, query);
    assert.match(Buffer.from(bytes).toString(), /parquet\.read-failed/);
  }
  for (const path of paths) await rename(`${path}.away`, path);
  assert.deepEqual(await ask(recording.processId, ''), wanted);
});
