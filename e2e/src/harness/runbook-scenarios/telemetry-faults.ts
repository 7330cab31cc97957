/** What clients sent cannot be used, or is too old or too much; what was asked for cannot be fulfilled. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectBus } from '@tracelake/bus';
import { loadFixture, RecordingBuilder } from '@tracelake/test-kit';
import { replay, type TelemetryRequest } from '../client.ts';
import { copyProcess } from '../fixture-copy.ts';
import type { RunbookLab } from '../runbook-lab.ts';
import { type Arrange, assertExports } from './scenario.ts';

const deadLetter: Arrange = async (lab) => {
  await using bus = await connectBus({ servers: lab.nats.url, name: 'runbooks', lanes: 8 });
  const copy = copyProcess(loadFixture('small'));
  // A request for what nobody knows yet can never succeed: it is put aside at once.
  await bus.requestMaterialization({
    processId: copy.processId,
    viewSet: 'async_events',
    instance: copy.processId,
    beginNs: undefined,
    endNs: undefined,
    wantedHash: '0'.repeat(64),
    attempt: 1,
  });
  lab.set('DEAD_PROCESS_ID', copy.processId);
  return {
    steps: {
      'mend the cause': () => replay(lab.service('ingest').url, copy.requests),
    },
    claim: () => assertExports(lab, copy.processId),
  };
};

/** A block's object is damaged, and what was built from it is gone. */
const poisonedBlock: Arrange = async (lab) => {
  const copy = await lab.sendProcess();
  const good = await lab.export(copy.processId);
  const streams = copy.fixture.expectedThreadSpanStreams().map(copy.idOf);
  const [stream = ''] = streams;
  const directory = join(lab.stack.objectsDir, 'blobs', copy.processId, stream);
  const [blockId = ''] = await readdir(directory);
  const file = join(directory, blockId);
  const bytes = await readFile(file);
  await rm(file);
  await writeFile(file, bytes.subarray(0, bytes.length / 2));
  await lab.sql(`DELETE FROM partitions WHERE instance = '${stream}'`);
  lab.set('BLOCK_ID', blockId);
  lab.set('STREAM_ID', stream);
  // Asked for directly: a request like the last one counts as the same on the bus for two minutes.
  const url = `${lab.service('partition-materializer').url}/v1/materialize/thread_spans/${stream}`;
  assert.equal((await fetch(url, { method: 'POST' })).status, 200);
  const damaged = await lab.export(copy.processId);
  assert.equal(damaged.headers.get('tracelake-blocks-rejected'), '1');
  return {
    steps: {
      'put the object back': async () => {
        await rm(file);
        await writeFile(file, bytes);
      },
    },
    claim: async () =>
      assert.equal((await lab.export(copy.processId)).sha256, good.sha256, 'the whole trace again'),
  };
};

/** A process that ended long ago, and one that somebody wants to be forgotten. */
const oldProcess: Arrange = async (lab) => {
  const old = copyProcess(loadFixture('small'));
  await replay(lab.service('ingest').url, old.requests);
  const trace = await lab.export(old.processId);
  await lab.sql(`SET session_replication_role = replica;
    ${['processes', 'streams', 'blocks']
      .map(
        (table) => `UPDATE ${table} SET insert_time = insert_time - interval '500 days'
        WHERE process_id = '${old.processId}'`,
      )
      .join(';')};
    SET session_replication_role = origin`);
  const kept = await lab.sendProcess();
  const forgotten = await lab.sendProcess();
  lab.set('OLD_PROCESS_ID', old.processId);
  lab.set('FORGOTTEN_PROCESS_ID', forgotten.processId);
  lab.set('PROCESS_ID', kept.processId);
  return {
    steps: {
      'send the recording again': async () => {
        for (const { processId } of [old, forgotten]) {
          const left = await readdir(join(lab.stack.objectsDir, 'blobs'));
          assert.ok(!left.includes(processId), 'its objects are gone');
          assert.equal(await statusOfExport(lab, processId), 404);
        }
        await replay(lab.service('ingest').url, old.requests);
      },
    },
    claim: async () => assert.equal((await lab.export(old.processId)).sha256, trace.sha256),
  };
};

async function statusOfExport(lab: RunbookLab, processId: string): Promise<number> {
  const { url } = lab.service('trace-export');
  return (await fetch(`${url}/v1/processes/${processId}/trace`)).status;
}

/** One program writes far more than all the others. */
const chattyProgram: Arrange = async (lab) => {
  const recording = new RecordingBuilder({ seed: Date.now(), exe: '/opt/chatty/server' });
  for (let line = 0; line < 2000; line += 1) {
    recording.log({ ticks: line, message: randomBytes(600).toString('base64') });
    if (line % 500 === 499) recording.logStream.flushBlock();
  }
  const before = await storedBytes(lab);
  await replay(lab.service('ingest').url, recording.requests());
  const during = await storedBytes(lab);
  assert.ok(during > 2 * before, `${before} bytes became ${during}`);
  lab.set('COSTLY_PROCESS_ID', recording.processId);
  return {
    claim: async () => assert.ok((await storedBytes(lab)) < during / 2, 'less is stored'),
  };
};

async function storedBytes(lab: RunbookLab): Promise<number> {
  return Number(await lab.sql('SELECT coalesce(sum(payload_size), 0) FROM blocks'));
}

export const telemetryFaults: Readonly<Record<string, Arrange>> = {
  'poisoned-block.md': poisonedBlock,
  'blocks-rejected.md': poisonedBlock,
  'dead-letters.md': deadLetter,
  'replay-dead-letter.md': deadLetter,
  'retention.md': oldProcess,
  'storage-cost.md': chattyProgram,

  'blocks-pending.md': async (lab) => {
    const copy = copyProcess(loadFixture('small'));
    const isStream = ({ path }: TelemetryRequest) => path.endsWith('insert_stream');
    const ingest = lab.service('ingest').url;
    await replay(
      ingest,
      copy.requests.filter((request) => !isStream(request)),
    );
    return {
      steps: { 'the client sends the rest': () => replay(ingest, copy.requests.filter(isStream)) },
      claim: () => assertExports(lab, copy.processId),
    };
  },
};
