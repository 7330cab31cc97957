/** More work than a service takes at once. */

import assert from 'node:assert/strict';
import { type ClientRequest, request } from 'node:http';
import { loadFixture } from '@tracelake/test-kit';
import { eventually, readMetric, replay } from '../client.ts';
import { copyProcess } from '../fixture-copy.ts';
import type { ServiceProcess } from '../process-stack.ts';
import { type Arrange, assertExports } from './scenario.ts';

const MIB = 1024 * 1024;

/** Clients that send large bodies slowly hold all that ingest may hold at once. */
const slowUploads: Arrange = async (lab) => {
  await lab.restart('ingest', {
    TRACELAKE_MAX_BODY_BYTES: String(MIB),
    TRACELAKE_INGEST_MAX_IN_FLIGHT_BYTES: String(2 * MIB),
  });
  const { url } = lab.service('ingest');
  // Each with what a request costs beside its body; what is left is less than that.
  const uploads = [1_000_000, 1_000_000, 40_000].map((bytes) => beginUpload(url, bytes));
  await eventually(
    async () =>
      (await readMetric(url, 'tracelake_ingest_in_flight_bytes')) > 0.99 * 2 * MIB
        ? true
        : undefined,
    'bodies in flight at the bound',
    20_000,
  );
  const copy = copyProcess(loadFixture('small'));
  const [first] = copy.requests;
  const refused = await fetch(`${url}${first?.path}`, { method: 'POST', body: 'x' });
  assert.equal(refused.status, 503);
  assert.ok(refused.headers.has('retry-after'));
  assert.match(((await refused.json()) as { type: string }).type, /ingest\.overloaded$/);
  let replica: ServiceProcess | undefined;
  return {
    steps: {
      'more replicas of ingest': async () => {
        replica = await lab.addReplica('ingest');
        await replay(replica.url, copy.requests);
      },
      'the client stops': async () => {
        for (const upload of uploads) upload.destroy();
      },
      'fewer replicas of ingest': async () => assert.equal(await replica?.end('SIGTERM'), 0),
    },
    claim: async () => {
      await lab.restart('ingest');
      await assertExports(lab, copy.processId);
    },
  };
};

/** Declares so many bytes and sends none of them. */
function beginUpload(url: string, bytes: number): ClientRequest {
  const upload = request(`${url}/ingestion/insert_block`, {
    method: 'POST',
    headers: { 'content-length': bytes },
  });
  upload.on('error', () => {});
  upload.flushHeaders();
  return upload;
}

/** One statement runs without an end, one waits, and no third one may. */
const endlessStatements: Arrange = async (lab) => {
  await lab.restart('query', {
    TRACELAKE_QUERY_CONCURRENT_REQUESTS: '1',
    TRACELAKE_QUERY_QUEUE_REQUESTS: '1',
  });
  const { url } = lab.service('query');
  const people = new AbortController();
  const ask = () =>
    fetch(`${url}/v1/query`, {
      method: 'POST',
      body: 'SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b',
      signal: people.signal,
    });
  const asked = [ask(), ask()];
  for (const answer of asked) answer.catch(() => {});
  lab.defer(async () => people.abort());
  await eventually(
    async () => ((await readMetric(url, 'tracelake_query_queue_depth')) > 0 ? true : undefined),
    'a full queue',
    20_000,
  );
  const turnedAway = await ask();
  assert.equal(turnedAway.status, 429);
  assert.ok(turnedAway.headers.has('retry-after'));
  let replica: ServiceProcess | undefined;
  return {
    steps: {
      'more replicas of query': async () => {
        replica = await lab.addReplica('query');
        const answer = await fetch(`${replica.url}/v1/query`, {
          method: 'POST',
          body: 'SELECT 1 AS one',
        });
        assert.deepEqual(await answer.json(), [{ one: 1 }]);
      },
      'the clients leave': async () => people.abort(),
      'fewer replicas of query': async () => assert.equal(await replica?.end('SIGTERM'), 0),
    },
    claim: () => lab.restart('query'),
  };
};

export const loadFaults: Readonly<Record<string, Arrange>> = {
  'ingest-overloaded.md': slowUploads,
  'query-queue-full.md': endlessStatements,

  'scale.md': async (lab) => ({
    steps: {
      'two more materializers': async () => {
        await lab.addReplica('partition-materializer');
        await lab.addReplica('partition-materializer');
      },
    },
  }),
};
