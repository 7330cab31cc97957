/** Partitions are not built, built late or not readable fast. */

import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, exportTrace, readMetric } from '../client.ts';
import { sendSyntheticProcess } from '../slow-export.ts';
import { type Arrange, assertExports } from './scenario.ts';

/** Enough of a trace to fill every buffer between the service and a reader that reads nothing. */
const LONG_TRACE_SPANS = 600_000;

const materializerGone: Arrange = async (lab) => {
  await lab.service('partition-materializer').end('SIGKILL');
  const copy = await lab.sendProcess();
  return { claim: () => assertExports(lab, copy.processId) };
};

/** The files of one instance cannot be written; all others can. */
const storeRefuses: Arrange = async (lab) => {
  const copy = await lab.sendProcess();
  const [recorded = ''] = copy.fixture.expectedThreadSpanStreams();
  const stream = copy.idOf(recorded);
  lab.set('STREAM_ID', stream);
  const inTheWay = join(lab.stack.objectsDir, 'views/thread_spans', stream);
  await mkdir(dirname(inTheWay), { recursive: true });
  await writeFile(inTheWay, 'a file where a directory must be');
  const { url } = lab.service('partition-materializer');
  const failed = { view: 'thread_spans', outcome: 'failed' };
  for (let attempt = 0; attempt < 4; attempt += 1) {
    const response = await fetch(`${url}/v1/materialize/thread_spans/${stream}`, {
      method: 'POST',
    });
    await response.bytes();
    assert.notEqual(response.status, 200);
  }
  assert.ok((await readMetric(url, 'tracelake_materializer_builds_total', failed)) > 3);
  return {
    steps: { 'mend the store': () => rm(inTheWay) },
    claim: () => assertExports(lab, copy.processId),
  };
};

/** A materializer that hangs, as one whose CPU is taken away: exports wait, and nothing says that anything failed. */
const materializerHangs: Arrange = async (lab) => {
  const materializer = lab.service('partition-materializer');
  process.kill(materializer.pid, 'SIGSTOP');
  const copy = await lab.sendProcess();
  const { url } = lab.service('trace-export');
  const waiting = exportTrace(url, copy.processId);
  waiting.catch(() => {});
  await eventually(
    async () => ((await readMetric(url, 'tracelake_exports_in_flight')) > 0 ? true : undefined),
    'an export that waits',
    20_000,
  );
  return {
    steps: {
      'replace the materializer': async () => {
        await materializer.end('SIGKILL');
        await lab.start('partition-materializer');
      },
    },
    claim: async () => {
      assert.ok((await waiting).bytes.length > 1000, 'who waited has the trace');
    },
  };
};

/** A long trace that nobody built before, and two who read it: one slowly, one not at all. */
const slowReader: Arrange = async (lab) => {
  const processId = await sendSyntheticProcess(lab.service('ingest').url, {
    spanCount: LONG_TRACE_SPANS,
  });
  lab.set('PROCESS_ID', processId);
  lab.set(
    'STREAM_ID',
    await lab.sql(`SELECT stream_id FROM streams WHERE process_id = '${processId}'`),
  );
  const { url } = lab.service('trace-export');
  const slow = await openTrace(url, processId);
  await sleep(1500);
  for (let part = await slow.reader.read(); !part.done; part = await slow.reader.read());
  await eventually(
    async () =>
      (await readMetric(url, 'tracelake_export_channel_blocked_ms_sum')) > 1000 ? true : undefined,
    'an export that waited for its reader',
    20_000,
  );
  const stalled = await openTrace(url, processId);
  lab.defer(() => stalled.leave());
  return {
    steps: { 'the reader leaves': () => stalled.leave() },
    claim: async () => {
      await eventually(
        async () =>
          (await readMetric(url, 'tracelake_exports_in_flight')) === 0 ? true : undefined,
        'the end of the export whose reader left',
        20_000,
      );
    },
  };
};

async function openTrace(url: string, processId: string) {
  const abort = new AbortController();
  const path = `/v1/processes/${processId}/trace`;
  const response = await fetch(`${url}${path}`, { signal: abort.signal });
  assert.equal(response.status, 200);
  const reader = (response.body ?? assert.fail()).getReader();
  await reader.read();
  return { reader, leave: async () => abort.abort() };
}

/** What came before anybody asked: no partition of it is there. */
const neverBuilt: Arrange = async (lab) => {
  const copies = [await lab.sendProcess(), await lab.sendProcess()];
  const streams = copies.flatMap((copy) => copy.fixture.expectedThreadSpanStreams().map(copy.idOf));
  const list = streams.map((stream) => `'${stream}'`).join();
  const built = `SELECT count(DISTINCT instance) FROM partitions WHERE instance IN (${list})`;
  assert.equal(await lab.sql(built), '0');
  const [last = ''] = streams.slice(-1);
  lab.set('STREAM_ID', last);
  return {
    // The page drops the last one again, to show how.
    claim: async () => assert.equal(await lab.sql(built), String(streams.length - 1)),
  };
};

export const buildFaults: Readonly<Record<string, Arrange>> = {
  'consumer-lag.md': materializerGone,
  'freshness-lag.md': materializerGone,
  'lane-without-owner.md': materializerGone,
  'export-errors.md': materializerGone,
  'query-errors.md': materializerGone,
  'build-failures.md': storeRefuses,
  'export-slow.md': materializerHangs,
  'slow-export.md': slowReader,
  'backfill-view.md': neverBuilt,

  'service-down.md': async (lab) => {
    await lab.service('trace-export').end('SIGKILL');
    return {};
  },
};
