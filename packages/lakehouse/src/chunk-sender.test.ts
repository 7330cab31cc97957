import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BoundedChannel, ChannelClosedError } from '@tracelake/channels';
import { seededRandom } from '@tracelake/test-kit';
import { RecordBatchStreamWriter, tableFromIPC } from 'apache-arrow';
import { type Chunk, ChunkSender, chunkSchema } from './chunk-sender.ts';

function makeChannel(capacity = 1000): BoundedChannel<Chunk> {
  return new BoundedChannel({ capacity, name: 'chunks' });
}

/** As plain bytes, once it is seen that its record batch says the same. */
function copyOf(chunk: Chunk): { readonly id: number; readonly bytes: Uint8Array } {
  const batch = chunk.toRecordBatch();
  assert.equal(batch.numRows, 1);
  assert.equal(batch.getChild('chunk_id')?.get(0), chunk.id);
  assert.deepEqual(batch.getChild('chunk_data')?.get(0), new Uint8Array(chunk.data));
  return { id: chunk.id, bytes: chunk.data };
}

async function drain(channel: BoundedChannel<Chunk>): Promise<ReturnType<typeof copyOf>[]> {
  channel.close();
  const chunks: Chunk[] = [];
  for await (const chunk of channel) chunks.push(chunk);
  return chunks.map(copyOf);
}

test('bytes below the chunk size wait for a flush, which sends them once', async () => {
  const channel = makeChannel();
  const sender = new ChunkSender(channel, 8192);
  await sender.writeAll(Buffer.from('Hello, World!'));
  assert.equal(channel.depth, 0);
  await sender.flush();
  await sender.flush();
  const [chunk, ...more] = await drain(channel);
  assert.equal(more.length, 0);
  assert.equal(chunk?.id, 0);
  assert.equal(Buffer.from(chunk?.bytes ?? []).toString(), 'Hello, World!');
});

test('chunks are exactly of their size, and a larger write is split', async () => {
  const channel = makeChannel();
  const sender = new ChunkSender(channel, 10);
  await sender.writeAll(new Uint8Array(22));
  assert.equal(channel.depth, 2, 'full chunks leave at once');
  await sender.writeAll(new Uint8Array(8));
  assert.equal(channel.depth, 3, 'and one that fills exactly too');
  await sender.flush();
  const chunks = await drain(channel);
  assert.deepEqual(
    chunks.map(({ bytes }) => bytes.length),
    [10, 10, 10],
  );
  assert.deepEqual(
    chunks.map(({ id }) => id),
    [0, 1, 2],
  );
  assert.equal(sender.chunkCount, 3);
});

test('nothing written, nothing sent', async () => {
  const channel = makeChannel();
  const sender = new ChunkSender(channel, 10);
  await sender.writeAll(new Uint8Array(0));
  await sender.flush();
  assert.deepEqual(await drain(channel), []);
});

test('any writes and flushes: the bytes come out as they went in, short only before a flush', async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed);
    const chunkBytes = 1 + random.int(40);
    const channel = makeChannel(10_000);
    const sender = new ChunkSender(channel, chunkBytes);
    const written: number[] = [];
    let flushes = 0;
    for (let write = 0; write < 20; write++) {
      const bytes = Uint8Array.from({ length: random.int(100) }, () => random.int(256));
      written.push(...bytes);
      await sender.writeAll(bytes);
      bytes.fill(0);
      if (random.int(5) > 0) continue;
      flushes++;
      await sender.flush();
    }
    await sender.flush();
    const chunks = await drain(channel);
    assert.deepEqual(
      chunks.flatMap(({ bytes }) => [...bytes]),
      written,
      `seed ${seed}`,
    );
    assert.deepEqual(
      chunks.map(({ id }) => id),
      [...chunks.keys()],
      `seed ${seed}`,
    );
    const short = chunks.filter(({ bytes }) => bytes.length < chunkBytes).length;
    assert(short <= flushes + 1, `seed ${seed}`);
    assert(chunks.every(({ bytes }) => bytes.length >= 1 && bytes.length <= chunkBytes));
  }
});

test('a full channel makes the writer wait, and a slow reader still gets every byte', async () => {
  const channel = makeChannel(16);
  const sender = new ChunkSender(channel, 8192);
  let isDone = false;
  const writing = sender
    .writeAll(new Uint8Array(1024 * 1024))
    .then(() => sender.flush())
    .then(() => {
      isDone = true;
      channel.close();
    });
  await sleep(5);
  assert.equal(channel.depth, 16);
  assert.equal(isDone, false);
  let byteCount = 0;
  for await (const { data } of channel) byteCount += data.length;
  await writing;
  assert.equal(byteCount, 1024 * 1024);
  assert.equal(channel.stats.maxDepth, 16);
});

test('a reader that leaves while the channel is full ends the writer', async () => {
  const channel = makeChannel(2);
  const sender = new ChunkSender(channel, 8);
  const writing = sender.writeAll(new Uint8Array(1000));
  await sleep(1);
  channel.cancel();
  await assert.rejects(writing, ChannelClosedError);
});

test('an abort ends a writer that waits', async () => {
  const controller = new AbortController();
  const sender = new ChunkSender(makeChannel(1), 8, controller.signal);
  const writing = sender.writeAll(new Uint8Array(1000));
  controller.abort(new Error('the client went away'));
  await assert.rejects(writing, /the client went away/);
});

test('the batches are an Arrow stream of int32 ids and binary data', async () => {
  const channel = makeChannel();
  const sender = new ChunkSender(channel, 4);
  await sender.writeAll(Buffer.from('abcdefghij'));
  await sender.flush();
  channel.close();
  const writer = new RecordBatchStreamWriter();
  writer.reset(undefined, chunkSchema);
  for await (const chunk of channel) writer.write(chunk.toRecordBatch());
  writer.finish();
  const parts: Uint8Array[] = [];
  for await (const part of writer) parts.push(part);
  const table = tableFromIPC(Buffer.concat(parts));
  assert.equal(table.schema.toString(), 'Schema<{ 0: chunk_id: Int32, 1: chunk_data: Binary }>');
  assert(table.schema.fields.every(({ nullable }) => !nullable));
  assert.deepEqual([...(table.getChild('chunk_id') ?? [])], [0, 1, 2]);
  const texts = [...(table.getChild('chunk_data') ?? [])].map((bytes) =>
    Buffer.from(bytes).toString(),
  );
  assert.deepEqual(texts, ['abcd', 'efgh', 'ij']);
});
