/**
 * Scenario: the service on real servers, a process that logs a line a block for long.
 * Guarantees: its files stay few with no request, and merging shows in no answer and in no count of builds.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RecordingBuilder } from '@tracelake/test-kit';
import {
  eventually,
  openServiceLab,
  type RunningMaterializer,
  type ServiceLab,
} from '../../test/service-lab.ts';
import { readViewRows } from '../../test/view-rows.ts';

let lab: ServiceLab;
before(async () => {
  lab = await openServiceLab();
});
after(() => lab[Symbol.asyncDispose]());

const LINES = 24;
const FAST = { TRACELAKE_MATERIALIZER_DEBOUNCE_MS: '10' };
const viewSet = 'log_entries';

/** Lines that arrive one after another, each once the one before is built. */
async function logLines(seed: number): Promise<string> {
  const recording = new RecordingBuilder({ seed });
  for (let line = 0; line < LINES; line++) {
    recording.log({ ticks: 1000 * (line + 1), message: `line ${line}` });
    recording.logStream.flushBlock();
  }
  const { processId } = recording;
  let lines = 0;
  for (const request of recording.requests()) {
    await lab.ingest(request);
    if (!request.path.endsWith('insert_block')) continue;
    lines++;
    await eventually(`line ${lines}`, async () => (await countLines(processId)) === lines);
  }
  return processId;
}

async function countLines(instance: string): Promise<number> {
  const rows = await readViewRows(lab.lake, { viewSet, instance, columns: ['msg'] });
  return new Set(rows.map(([message]) => message)).size;
}

const countRuns = async (instance: string) =>
  (await lab.lake.catalog.listPartitions(viewSet, instance)).length;

async function materialize(service: RunningMaterializer, instance: string) {
  const url = `${service.url}/v1/materialize/${viewSet}/${instance}`;
  const response = await fetch(url, { method: 'POST' });
  return (await response.json()) as { decision: string; built: number; partitions: number };
}

test('a process that logs for long stays a few files, and an identical request builds nothing', async () => {
  await using service = await lab.start(FAST);
  const processId = await logLines(81);
  await eventually('runs merged', async () => (await countRuns(processId)) <= 16);
  assert.equal(await countLines(processId), LINES);
  const runs = (direction: string) =>
    service.metric(
      `tracelake_materializer_compaction_runs_total{view="${viewSet}",direction="${direction}"}`,
    );
  assert(await eventually('counted', async () => (await runs('in')) >= 8));
  assert((await runs('out')) < (await runs('in')));
  const built = `tracelake_materializer_partitions_built_total{view="${viewSet}"}`;
  assert.equal(await service.metric(built), LINES);
  const { decision, built: builtNow } = await materialize(service, processId);
  assert.deepEqual([decision, builtNow], ['current', 0]);
  assert.equal(await service.metric(built), LINES);
  const merged = service.logLines.filter(({ msg }) => msg === 'partitions merged');
  assert(merged.every(({ instance, runCount }) => instance === processId && Number(runCount) >= 8));
  assert(merged.length > 0);
});

test('what was left in small runs is merged after the next request; switched off, it stays', async () => {
  let processId: string;
  {
    await using service = await lab.start({ ...FAST, TRACELAKE_MATERIALIZER_COMPACTION: 'false' });
    processId = await logLines(82);
    assert.equal((await materialize(service, processId)).partitions, LINES);
    assert.equal(await countRuns(processId), LINES);
  }
  await using service = await lab.start(FAST);
  await eventually('a lane takes it', async () => {
    const { decision, built } = await materialize(service, processId);
    assert.deepEqual([decision, built], ['current', 0]);
    return (await countRuns(processId)) === 1;
  });
  assert.equal(await countLines(processId), LINES);
});
