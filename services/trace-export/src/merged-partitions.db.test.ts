/** Scenario: a trace is asked for again and again while its process grows and the small runs this leaves are merged. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { RecordingBuilder } from '@tracelake/test-kit';
import { startTestLake } from '../test/lake.ts';

const BLOCKS = 12;

test('a trace has the same bytes before, while and after the runs it is read from are merged', async () => {
  await using lake = await startTestLake();
  const recording = new RecordingBuilder({ seed: 91, frequencyHz: 1e9 });
  const thread = recording.addThread({ name: 'worker', id: '7' });
  const outer = { name: 'outer', target: 't', file: 'o.rs', line: 1 };
  thread.begin(outer, 10);
  for (let index = 0; index < BLOCKS; index++) {
    const at = 1000 * (index + 1);
    thread.begin({ ...outer, name: `inner ${index}` }, at);
    thread.asyncBegin({ scope: outer, ticks: at + 1, spanId: index });
    thread.end({ ...outer, name: `inner ${index}` }, at + 300);
    thread.asyncEnd({ scope: outer, ticks: at + 600, spanId: index });
    thread.flushBlock();
  }
  const url = `${lake.exportUrl}/v1/processes/${recording.processId}/trace`;
  const readTrace = async (): Promise<string> => {
    const response = await fetch(url);
    assert.equal(response.status, 200);
    return createHash('sha256')
      .update(new Uint8Array(await response.arrayBuffer()))
      .digest('hex');
  };
  for (const request of recording.requests()) {
    await lake.ingest([request]);
    if (request.path.endsWith('insert_block')) await readTrace();
  }
  const countRuns = async (view: string, instance: string): Promise<number> => {
    const response = await fetch(`${lake.materializerUrl}/v1/partitions/${view}/${instance}`);
    const partitions = (await response.json()) as { kind: string }[];
    return partitions.filter(({ kind }) => kind === 'run').length;
  };
  const wanted = await readTrace();
  const giveUpMs = performance.now() + 180_000;
  const { streamId } = thread.stream;
  while (
    (await countRuns('thread_spans', streamId)) === BLOCKS ||
    (await countRuns('async_events', recording.processId)) === BLOCKS
  ) {
    assert(performance.now() < giveUpMs, 'runs are merged');
    assert.equal(await readTrace(), wanted);
    await sleep(20);
  }
  assert.equal(await readTrace(), wanted);
});
