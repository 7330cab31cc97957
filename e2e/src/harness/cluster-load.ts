/** What tests of the cluster do to it, and how they look whether all that was acknowledged is there. */

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeTrace, loadFixture, type SeededRandom } from '@tracelake/test-kit';
import {
  eventually,
  exportEventually,
  exportTrace,
  postUntilAcknowledged,
  type TelemetryRequest,
} from './client.ts';
import { type Cluster, natsParts, type Part } from './cluster.ts';
import { findSliceDifferences } from './expected-slices.ts';
import { copyProcess, type ProcessCopy } from './fixture-copy.ts';

/** The trace of the copy is what the rows of its recording say. */
export async function assertExported(exportUrl: string, copy: ProcessCopy): Promise<void> {
  const exported = await exportEventually(exportUrl, copy.processId);
  const differences = findSliceDifferences(decodeTrace(exported.bytes), copy.fixture);
  assert.deepEqual(differences.slice(0, 5), [], `${copy.fixture.name} as ${copy.processId}`);
}

/** Partitions of the copy's logs hold every row of its recording, without anybody's request. */
export async function assertLogsAppear(
  materializerUrl: string,
  copy: ProcessCopy,
  timeoutMs: number,
): Promise<void> {
  const expected = copy.fixture.expected('log_entries').rows.length;
  await eventually(
    async () => {
      const rows = await countPartitionRows(materializerUrl, 'log_entries', copy.processId);
      return rows === expected ? rows : undefined;
    },
    `log partitions of ${copy.fixture.name} as ${copy.processId}`,
    timeoutMs,
  );
}

async function countPartitionRows(
  materializerUrl: string,
  view: string,
  instance: string,
): Promise<number | undefined> {
  const response = await fetch(`${materializerUrl}/v1/partitions/${view}/${instance}`);
  if (!response.ok) return undefined;
  const partitions = (await response.json()) as { row_count: number }[];
  return partitions.reduce((sum, partition) => sum + partition.row_count, 0);
}

/** Sends each request to the next of the addresses until one acknowledges it, as a client of replicas does. */
export async function replayAcross(
  urls: readonly string[],
  requests: readonly TelemetryRequest[],
): Promise<void> {
  let turn = 0;
  for (const request of requests) {
    await eventually(
      async () => {
        const url = urls[turn++ % urls.length] ?? '';
        await postUntilAcknowledged(url, request, 1);
        return true;
      },
      `an acknowledgement of ${request.path}`,
      60_000,
    );
  }
}

/** Sends processes from several clients while services, Postgres and a nats-server are killed and come back. */
export async function crashUnderLoad(cluster: Cluster, random: SeededRandom): Promise<void> {
  const copies = Array.from({ length: 9 }, () =>
    copyProcess(loadFixture(random.pick(['small', 'open', 'legacy-arrays']))),
  );
  const queue = [...copies];
  const client = async () => {
    for (let copy = queue.pop(); copy !== undefined; copy = queue.pop()) {
      for (const request of copy.requests) {
        await postUntilAcknowledged(cluster.ingestUrl, request);
        await sleep(random.int(30));
      }
      // A request for a trace puts the materializer and the export to work in the middle of it all.
      exportTrace(cluster.exportUrl, copy.processId).catch(() => undefined);
    }
  };
  const victims: Part[] = [
    ...(['ingest', 'partition-materializer', 'trace-export', 'postgres'] as const),
    random.pick([...natsParts]),
  ];
  const assassin = async () => {
    for (const victim of random.shuffle(victims)) {
      await sleep(100 + random.int(700));
      await cluster.kill(victim);
      await sleep(random.int(300));
      await cluster.start(victim);
    }
  };
  await Promise.all([client(), client(), client(), assassin()]);
  for (const copy of copies) await assertExported(cluster.exportUrl, copy);
}
