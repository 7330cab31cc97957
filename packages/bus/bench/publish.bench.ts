/**
 * Messages a second through a real nats-server on this machine: published with windows of several sizes, then
 * consumed with several batches. Run: `node packages/bus/bench/publish.bench.ts [messages]`.
 * Expected of two quiet cores: a few thousand one at a time, 10,000 to 20,000 with a window of 100.
 */
import { randomUUID } from 'node:crypto';
import { ensureExists, parseBlockId, parseProcessId, parseStreamId } from '@tracelake/domain';
import { startTestNats } from '@tracelake/test-kit';
import { type BlockInserted, connectBus } from '../src/index.ts';

const messageCount = Number(process.argv[2] ?? 5_000);
const rows: Record<string, string | number>[] = [];

await using nats = await startTestNats();
for (const publishWindow of [1, 10, 100, 1_000]) {
  await nats.wipeStore();
  await using bus = await connectBus({
    servers: nats.url,
    name: 'bench',
    lanes: 1,
    publishWindow,
    publishWaitersMax: messageCount,
  });
  const messages = Array.from({ length: messageCount }, blockInserted);
  await measure(`publish, window ${publishWindow}`, () =>
    Promise.all(messages.map((message) => bus.announceBlock(message))),
  );
  if (publishWindow !== 100) continue;
  for (const batch of [1, 16, 256]) {
    await measure(`consume, batch ${batch}`, async () => {
      const done = Promise.withResolvers<void>();
      let count = 0;
      await using _consumer = bus.consume({
        stream: 'TELEMETRY',
        durable: `bench-${batch}`,
        filterSubject: 'telemetry.>',
        batch,
        handler: () => {
          count++;
          if (count === messageCount) done.resolve();
          return 'ack';
        },
      });
      await done.promise;
    });
  }
}
console.table(rows);

async function measure(name: string, work: () => Promise<unknown>): Promise<void> {
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  await work();
  const elapsedMs = performance.now() - startMs;
  const cpu = process.cpuUsage(startCpu);
  rows.push({
    name,
    'messages/s': Math.round((messageCount / elapsedMs) * 1000),
    'client CPU us': Math.round((cpu.user + cpu.system) / messageCount),
  });
}

function blockInserted(): BlockInserted {
  return {
    processId: ensureExists(parseProcessId(randomUUID()), 'a process id'),
    streamId: ensureExists(parseStreamId(randomUUID()), 'a stream id'),
    blockId: ensureExists(parseBlockId(randomUUID()), 'a block id'),
    tags: ['cpu'],
    insertTimeUs: 1_763_690_000_000_001n,
    objectCount: 1_000,
    payloadBytes: 100_000,
  };
}
