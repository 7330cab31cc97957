/** Tests of the cluster: what is doubled may fail in part, and work goes on. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadFixture } from '@tracelake/test-kit';
import { eventually, replay } from './harness/client.ts';
import {
  type Cluster,
  type NatsPart,
  natsParts,
  type Replica,
  type ServicePart,
  serviceParts,
} from './harness/cluster.ts';
import { assertExported, assertLogsAppear, replayAcross } from './harness/cluster-load.ts';
import { copyProcess, type ProcessCopy } from './harness/fixture-copy.ts';
import { queryRows } from './harness/query-answers.ts';

/** What Kubernetes injects beside Services of these names. */
const SERVICE_LINKS = {
  TRACELAKE_INGEST_PORT: 'tcp://10.0.0.1:4318',
  TRACELAKE_INGEST_SERVICE_HOST: '10.0.0.1',
  TRACELAKE_INGEST_PORT_4318_TCP_ADDR: '10.0.0.1',
  TRACELAKE_QUERY_PORT: 'tcp://10.0.0.2:4321',
  TRACELAKE_TRACE_EXPORT_PORT: 'tcp://10.0.0.3:4320',
  TRACELAKE_MATERIALIZER_PORT: 'tcp://10.0.0.4:4322',
};

export function testReplicas(get: () => Cluster): void {
  test('the leader of a stream killed under load: nothing is refused, nothing announced is lost', async () => {
    const cluster = get();
    const before = await settledStream(cluster, 'TELEMETRY', natsParts);
    const victim = before.leader;
    const survivors = natsParts.filter((part) => part !== victim);
    const copies = Array.from({ length: 8 }, () => copyProcess(loadFixture('small')));
    let killed = false;
    const sending = (async () => {
      const statuses: number[] = [];
      for (const [n, copy] of copies.entries()) {
        // The second half is sent to a cluster of two.
        while (n > copies.length / 2 && !killed) await sleep(10);
        for (const { path, body } of copy.requests) {
          const request = { method: 'POST', body: new Uint8Array(body) };
          statuses.push((await fetch(`${cluster.ingestUrl}${path}`, request)).status);
        }
      }
      return statuses;
    })();
    await sleep(200);
    await cluster.kill(victim);
    killed = true;
    const statuses = await sending;
    assert.deepEqual(new Set(statuses), new Set([200]));

    for (const copy of copies) await assertLogsAppear(cluster.materializerUrl, copy, 90_000);
    const after = await settledStream(cluster, 'TELEMETRY', survivors);
    assert.notEqual(after.leader, victim);
    const announced = after.messages - before.messages;
    assert.ok(announced >= statuses.length, `${announced} of ${statuses.length} announced`);

    await cluster.start(victim);
    const whole = await settledStream(cluster, 'TELEMETRY', natsParts);
    assert.ok(whole.messages >= after.messages);
    for (const copy of copies) await assertExported(cluster.exportUrl, copy);
  });

  test('Postgres restarted under load loses nothing that was acknowledged', async () => {
    const cluster = get();
    const copies = Array.from({ length: 8 }, () => copyProcess(loadFixture('small')));
    const sending = (async () => {
      for (const copy of copies) await replay(cluster.ingestUrl, copy.requests);
    })();
    await sleep(150);
    assert.equal(await cluster.terminate('postgres'), 0, await cluster.logs('postgres'));
    await cluster.start('postgres');
    await sending;
    for (const copy of copies) {
      await assertLogsAppear(cluster.materializerUrl, copy, 90_000);
      await assertExported(cluster.exportUrl, copy);
    }
  });

  describe('with two replicas of each service', () => {
    const replicas = new Map<ServicePart, Replica>();
    const urlOf = (part: ServicePart) => replicas.get(part)?.url ?? '';

    test('the second works, with the variables that Kubernetes injects beside it', async () => {
      for (const part of serviceParts) {
        replicas.set(part, await get().startReplica(part, SERVICE_LINKS));
      }
      const copy = copyProcess(loadFixture('small'));
      await replay(urlOf('ingest'), copy.requests);
      await assertExported(urlOf('trace-export'), copy);
      await assertQueried(urlOf('query'), copy);
    });

    for (const part of serviceParts) {
      test(`${part} killed under load: the other goes on, and has all that was acknowledged`, async () => {
        const cluster = get();
        const copies = Array.from({ length: 4 }, () => copyProcess(loadFixture('small')));
        const sending = Promise.all(
          copies.map((copy) => replayAcross([cluster.ingestUrl, urlOf('ingest')], copy.requests)),
        );
        await sleep(100);
        await cluster.kill(part);
        await sending;
        for (const copy of copies) {
          await assertLogsAppear(urlOf('partition-materializer'), copy, 120_000);
          await assertExported(urlOf('trace-export'), copy);
          await assertQueried(urlOf('query'), copy);
        }
        await cluster.start(part);
      });
    }

    test('the replicas killed at once leave the first ones with all of the work', async () => {
      const cluster = get();
      await Promise.all([...replicas.values()].map((replica) => replica.kill()));
      const copy = copyProcess(loadFixture('small'));
      await replay(cluster.ingestUrl, copy.requests);
      await assertLogsAppear(cluster.materializerUrl, copy, 120_000);
      await assertExported(cluster.exportUrl, copy);
      await assertQueried(cluster.queryUrl, copy);
    });
  });
}

/** Waits until the stream has a leader, and the given servers hold all of it. */
async function settledStream(cluster: Cluster, name: string, holders: readonly NatsPart[]) {
  return eventually(
    async () => {
      for (const asked of holders) {
        const stream = await cluster.readStream(name, asked);
        // Only the leader knows how far the others are.
        if (stream?.leader !== asked) continue;
        const others = stream.followers.filter(({ name }) => holders.some((part) => part === name));
        const isWhole = others.length === holders.length - 1;
        if (isWhole && others.every(({ current }) => current)) return stream;
      }
      return undefined;
    },
    `${name} held by ${holders.join(', ')}`,
    60_000,
  );
}

async function assertQueried(queryUrl: string, copy: ProcessCopy): Promise<void> {
  const sql = `SELECT count(*) AS n FROM view_instance('log_entries', '${copy.processId}')`;
  const n = copy.fixture.expected('log_entries').rows.length;
  assert.deepEqual(await queryRows(queryUrl, sql), [{ n }]);
}
