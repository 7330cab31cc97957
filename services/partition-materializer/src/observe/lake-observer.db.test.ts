/**
 * Scenario: the service on a real Postgres and nats-server, while blocks come, are rejected or wait, and stores go away.
 * Guarantees: the figures are those of the stores, and a store that is away leaves none behind.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@tracelake/storage';
import { RecordingBuilder } from '@tracelake/test-kit';
import {
  eventually,
  LANES,
  openServiceLab,
  type RunningMaterializer,
  type ServiceLab,
} from '../../test/service-lab.ts';

let lab: ServiceLab;
before(async () => {
  lab = await openServiceLab();
});
after(() => lab[Symbol.asyncDispose]());

const OBSERVE_OFTEN = { TRACELAKE_MATERIALIZER_OBSERVE_INTERVAL_S: '0.2' };

/** The value of a series, or undefined when there is none. */
async function read(service: RunningMaterializer, series: string): Promise<number | undefined> {
  const text = await (await fetch(`${service.url}/metrics`)).text();
  const [name, labels = ''] = series.split(/[{}]/);
  const line = text
    .split('\n')
    .find((one) => one.startsWith(`${name}{`) && labels.split(',').every((l) => one.includes(l)));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

const becomes = (service: RunningMaterializer, series: string, value: number | undefined) =>
  eventually(`${series} is ${value}`, async () => {
    const now = await read(service, series);
    return now === value ? { now } : undefined;
  });

test('what is stored, waits or is rejected is counted', async () => {
  await using service = await lab.start(OBSERVE_OFTEN);
  await becomes(service, 'tracelake_lake_lanes_without_owner', 0);
  await becomes(service, 'tracelake_lake_blocks', 0);
  assert.equal(await read(service, 'tracelake_lake_oldest_block_timestamp_seconds'), undefined);
  const recording = new RecordingBuilder({ seed: 1 });
  recording.log({ ticks: 1000, message: 'readable' });
  recording.logStream.flushBlock();
  recording.logStream.appendRecord(Uint8Array.of(0xff));
  recording.logStream.flushBlock();
  const [processRequest, ...others] = recording.requests();
  assert.ok(processRequest);
  for (const request of others) await lab.ingest(request);
  await becomes(service, 'tracelake_lake_pending_blocks', 2);
  await lab.ingest(processRequest);
  await becomes(service, 'tracelake_lake_pending_blocks', 0);
  await becomes(service, 'tracelake_lake_rejected_blocks', 1);
  await becomes(service, 'tracelake_lake_blocks', 2);
  const [stored] = await lab.lake.database.query<{ blobs: bigint; files: bigint }>(sql`
    SELECT (SELECT sum(payload_size)::bigint FROM blocks) AS blobs,
      (SELECT sum(size_bytes)::bigint FROM partitions) AS files`);
  await becomes(service, 'tracelake_lake_blob_bytes', Number(stored?.blobs));
  await becomes(service, 'tracelake_lake_partition_bytes', Number(stored?.files));
  const oldestS = await read(service, 'tracelake_lake_oldest_block_timestamp_seconds');
  assert.ok(Math.abs(Date.now() / 1000 - (oldestS ?? 0)) < 60);
  // The test stores rows as ingest does, and nobody here takes them off the list.
  const rows = recording.requests().length;
  await becomes(service, 'tracelake_lake_unannounced_rows', rows);
  assert.ok(((await read(service, 'tracelake_lake_unannounced_oldest_seconds')) ?? 0) > 0);
});

test('consumers and streams have figures while the bus is there, and none while it is away', async () => {
  await using service = await lab.start(OBSERVE_OFTEN);
  const consumer = 'stream="TELEMETRY",consumer="materializer-eager-0"';
  const pending = `tracelake_bus_consumer_pending{${consumer}}`;
  await becomes(service, pending, 0);
  await becomes(service, `tracelake_bus_consumer_unacknowledged{${consumer}}`, 0);
  await becomes(service, 'tracelake_bus_stream_messages{stream="DEAD"}', 0);
  const outages = () => service.logLines.filter(({ msg }) => msg === 'figures cannot be read');
  const earlier = outages().length;
  await lab.nats.stop();
  await becomes(service, pending, undefined);
  await becomes(service, 'tracelake_bus_stream_messages{stream="DEAD"}', undefined);
  const failures = 'tracelake_lake_observe_failures_total{source="bus"}';
  assert.ok(((await read(service, failures)) ?? 0) > 0);
  assert.equal(await read(service, 'tracelake_ready{dependency="nats"}'), 0);
  assert.equal(await read(service, 'tracelake_ready{dependency="postgres"}'), 1);
  assert.equal(await read(service, 'tracelake_lake_lanes_without_owner'), 0);
  assert.equal(outages().length, earlier + 1, 'an outage is told once');
  await lab.nats.start();
  await becomes(service, pending, 0);
});

test('lanes of a replica that is gone have no owner until another takes them', async () => {
  await using service = await lab.start(OBSERVE_OFTEN);
  await becomes(service, 'tracelake_lake_lanes_without_owner', 0);
  // As if the lanes of a lake had never been taken: nobody renews what is not there.
  await lab.lake.database.query(sql`DELETE FROM lane_leases`);
  await eventually('lanes without owner', async () => {
    const without = await read(service, 'tracelake_lake_lanes_without_owner');
    return without === LANES;
  });
  await becomes(service, 'tracelake_lake_lanes_without_owner', 0);
});

test('an eager view that is not built shows how far it is behind, and which instances wait', async () => {
  const often = { ...OBSERVE_OFTEN, TRACELAKE_MATERIALIZER_CATCH_UP_INTERVAL_S: '0.2' };
  const quietMs = 3000;
  const slow = { ...often, TRACELAKE_MATERIALIZER_DEBOUNCE_MS: String(quietMs) };
  await using service = await lab.start(slow);
  await becomes(service, 'tracelake_materializer_eager_behind_seconds', 0);
  const recording = new RecordingBuilder({ seed: 2 });
  recording.log({ ticks: 1000, message: 'not yet' });
  recording.logStream.flushBlock();
  for (const request of recording.requests()) await lab.ingest(request);
  // Instances of the tests before may be looked at once more as lanes are taken, and wait beside it.
  await eventually('an instance waits', async () => {
    return ((await read(service, 'tracelake_materializer_eager_pending')) ?? 0) >= 1;
  });
  await eventually('the view is behind', async () => {
    const behindS = await read(service, 'tracelake_materializer_eager_behind_seconds');
    return behindS !== undefined && behindS > 1 && behindS < 60;
  });
  await becomes(service, 'tracelake_materializer_eager_behind_seconds', 0);
  await becomes(service, 'tracelake_materializer_eager_pending', 0);
});

test('a look that Postgres keeps waiting is given up, and its figures are left out until the next', async () => {
  await using service = await lab.start(OBSERVE_OFTEN);
  await eventually('figures', async () => {
    return (await read(service, 'tracelake_lake_observed_timestamp_seconds')) !== undefined;
  });
  const blocks = await read(service, 'tracelake_lake_blocks');
  assert.ok(blocks !== undefined);
  const failures = 'tracelake_lake_observe_failures_total{source="lake"}';
  const earlier = (await read(service, failures)) ?? 0;
  await lab.lake.database.transaction(async (transaction) => {
    await transaction.query(sql`LOCK TABLE blocks IN ACCESS EXCLUSIVE MODE`);
    await becomes(service, 'tracelake_lake_blocks', undefined);
    assert.ok(((await read(service, failures)) ?? 0) > earlier);
  });
  await becomes(service, 'tracelake_lake_blocks', blocks);
});
