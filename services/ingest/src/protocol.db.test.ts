/**
 * Scenario: recordings of real clients, and damaged, repeated and contradicting versions of them, are posted
 * to ingest over HTTP; Postgres, NATS and the object directory are real.
 * Guarantees: what is kept is a function of what was sent, not of its order, repetition or encoding; what is
 * refused leaves nothing behind.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ensureExists } from '@tracelake/domain';
import { objectKeys, openObjectStore, sql } from '@tracelake/storage';
import {
  fixtureCases,
  type IngestRequest,
  loadFixture,
  seededRandom,
  startTestNats,
  type TestNats,
} from '@tracelake/test-kit';
import {
  type BlockEnvelope,
  decodeBlockEnvelope,
  decodeProcessInfo,
  decodeStreamInfo,
  encodeBlockEnvelope,
  encodeBlockPayload,
  encodeProcessInfo,
  encodeStreamInfo,
} from '@tracelake/transit';
import { Lake, type RunningIngest, readMetric, startIngest } from '../test/ingest-rig.ts';

const PROCESS = '/ingestion/insert_process';
const STREAM = '/ingestion/insert_stream';
const BLOCK = '/ingestion/insert_block';

let nats: TestNats;

before(async () => {
  nats = await startTestNats();
});

after(() => nats[Symbol.asyncDispose]());

async function withIngest(
  work: (ingest: RunningIngest, lake: Lake) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  await using lake = await Lake.open({ nats });
  await using ingest = await startIngest(lake, env);
  await work(ingest, lake);
}

/** What a lake keeps after these requests, each of which must be acknowledged. */
async function keptOf(requests: readonly IngestRequest[]) {
  let dump: Awaited<ReturnType<Lake['dump']>> | undefined;
  await withIngest(async (ingest, lake) => {
    for (const { path, body } of requests) {
      const answer = await ingest.post(path, body);
      assert.deepEqual([answer.status, answer.text], [200, ''], path);
    }
    dump = await lake.dump();
  });
  return ensureExists(dump, 'the dump');
}

function allRequests(): IngestRequest[] {
  return fixtureCases().flatMap((name) => loadFixture(name).requests);
}

/** The same request in another encoding; Unreal's times and ids are its own, so its recordings stay. */
function reencode(
  request: IngestRequest,
  style: 'rust' | 'legacy-arrays' | 'unreal',
): IngestRequest {
  const { path } = request;
  if (path === PROCESS) {
    const process = decodeProcessInfo(request.body);
    return { path, body: encodeProcessInfo(process, style === 'unreal' ? 'rust' : style) };
  }
  if (path === STREAM) {
    return { path, body: encodeStreamInfo(decodeStreamInfo(request.body), style) };
  }
  const block = exactBlock(decodeBlockEnvelope(request.body));
  const wholeMs = block.beginNs % 1_000_000n === 0n && block.endNs % 1_000_000n === 0n;
  return {
    path,
    body: encodeBlockEnvelope(block, style === 'unreal' && !wholeMs ? 'rust' : style),
  };
}

function exactBlock(block: BlockEnvelope): BlockEnvelope {
  return { ...block, beginNs: block.exactBeginNs, endNs: block.exactEndNs };
}

function firstRequest(path: string): IngestRequest {
  return ensureExists(
    loadFixture('small').requests.find((request) => request.path === path),
    path,
  );
}

function recordedBlock(): BlockEnvelope {
  return exactBlock(decodeBlockEnvelope(firstRequest(BLOCK).body));
}

test('rows of the recordings are those the reference has', async () => {
  await withIngest(async (ingest, lake) => {
    for (const { path, body } of allRequests()) await ingest.post(path, body);
    for (const name of fixtureCases()) {
      const { header, rows } = loadFixture(name).expected('blocks');
      const numberOf = (column: string) => header.indexOf(column);
      for (const row of rows) {
        const [stored] = await lake.db.query<Record<string, unknown>>(sql`
          SELECT stream_id, process_id, unix_us(begin_time) * 1000 AS begin_time, begin_ticks,
            unix_us(end_time) * 1000 AS end_time, end_ticks, nb_objects, object_offset, payload_size
          FROM blocks WHERE block_id = ${row[numberOf('block_id')]}`);
        for (const [column, value] of Object.entries(ensureExists(stored, 'the block row'))) {
          assert.equal(String(value), row[numberOf(column)], `${name} ${column}`);
        }
      }
    }
  });
});

test('order, repetition and encoding change nothing in what is kept', async () => {
  const requests = allRequests();
  const kept = await keptOf(requests);
  for (const seed of [11, 12]) {
    console.log(`seed ${seed}`);
    const random = seededRandom(seed);
    const mixed = [...requests, ...requests].map((request) => {
      const style = random.pick(['as recorded', 'rust', 'legacy-arrays', 'unreal'] as const);
      return style === 'as recorded' ? request : reencode(request, style);
    });
    assert.deepEqual(await keptOf(random.shuffle(mixed)), kept);
  }
});

test('one block posted sixteen times at once is one row, one object and sixteen acknowledgements', async () => {
  await withIngest(async (ingest, lake) => {
    const { body } = firstRequest(BLOCK);
    const answers = await Promise.all(Array.from({ length: 16 }, () => ingest.post(BLOCK, body)));
    assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
    assert.deepEqual(await lake.countRows(), { processes: 0, streams: 0, blocks: 1 });
    assert.equal((await lake.listObjects()).length, 1);
    assert.equal(await readMetric(ingest.metrics, 'tracelake_ingest_blocks_total'), 16);
  });
});

test('the same id with other content is 409, nothing changes, and it is counted', async () => {
  await withIngest(async (ingest, lake) => {
    const block = recordedBlock();
    assert.equal((await ingest.post(BLOCK, encodeBlockEnvelope(block, 'rust'))).status, 200);
    const kept = await lake.dump();
    const others: BlockEnvelope[] = [
      { ...block, objectCount: block.objectCount + 1 },
      { ...block, payload: { ...block.payload, objects: Buffer.from('other') } },
      { ...block, streamId: crypto.randomUUID() as typeof block.streamId },
      { ...block, beginNs: (block.beginNs + 1n) as typeof block.beginNs },
    ];
    for (const other of others) {
      const answer = await ingest.post(BLOCK, encodeBlockEnvelope(other, 'rust'));
      assert.equal(answer.status, 409);
      assert.equal(answer.headers.get('content-type'), 'application/problem+json');
      assert.match(answer.text, /block-conflict.*block_id/);
    }
    assert.deepEqual(await lake.dump(), kept);
    const conflicts = await readMetric(ingest.metrics, 'tracelake_ingest_block_conflicts_total');
    assert.equal(conflicts, others.length);
    assert.equal(
      (await ingest.post(BLOCK, encodeBlockEnvelope(block, 'legacy-arrays'))).status,
      200,
    );
  });
});

test('a block that names another process than its stream belongs to is refused, whoever took the stream', async () => {
  await using lake = await Lake.open({ nats });
  const { body } = firstRequest(STREAM);
  const { streamId } = decodeStreamInfo(body);
  const block = { ...recordedBlock(), streamId };
  const processId = crypto.randomUUID() as typeof block.processId;
  const strange = encodeBlockEnvelope({ ...block, processId }, 'rust');
  await using other = await startIngest(lake);
  assert.equal((await other.post(STREAM, body)).status, 200);
  const kept = await lake.dump();
  await using ingest = await startIngest(lake);
  for (const { post } of [other, ingest]) {
    const answer = await post(BLOCK, strange);
    assert.equal(answer.status, 409);
    assert.match(answer.text, /process-mismatch.*process_id/);
  }
  assert.deepEqual(await lake.dump(), kept);
  const own = { ...block, processId: decodeStreamInfo(body).processId };
  assert.equal((await ingest.post(BLOCK, encodeBlockEnvelope(own, 'rust'))).status, 200);
});

test('an upper-case id and a legacy payload are the same block, and so is its replay as such', async () => {
  await withIngest(async (ingest, lake) => {
    const block = recordedBlock();
    const legacy = encodeBlockEnvelope(block, 'legacy-arrays');
    const shouting = Buffer.from(encodeBlockEnvelope(block, 'rust'))
      .toString('latin1')
      .replace(block.blockId, block.blockId.toUpperCase());
    assert.equal((await ingest.post(BLOCK, legacy)).status, 200);
    assert.equal((await ingest.post(BLOCK, Buffer.from(shouting, 'latin1'))).status, 200);
    assert.equal((await lake.countRows()).blocks, 1);
    const duplicates = { outcome: 'duplicate' };
    assert.equal(await readMetric(ingest.metrics, 'tracelake_ingest_blocks_total', duplicates), 1);
  });
});

test('crashes between object and row are healed by the next attempt of the client', async () => {
  await withIngest(async (ingest, lake) => {
    const objects = await openObjectStore(`file://${lake.objectDirectory}`);
    const block = recordedBlock();
    const key = objectKeys.block(block.processId, block.streamId, block.blockId);
    const body = encodeBlockEnvelope(block, 'rust');
    await objects.putIfAbsent(key, encodeBlockPayload(block.payload));
    assert.equal((await ingest.post(BLOCK, body)).status, 200);
    await objects.delete(key);
    assert.equal((await ingest.post(BLOCK, body)).status, 200);
    assert.ok(await objects.get(key));
    for (const outcome of ['row-restored', 'object-restored']) {
      assert.equal(
        await readMetric(ingest.metrics, 'tracelake_ingest_blocks_total', { outcome }),
        1,
      );
    }
    const orphan = { ...block, blockId: crypto.randomUUID() as typeof block.blockId };
    const orphanKey = objectKeys.block(orphan.processId, orphan.streamId, orphan.blockId);
    await objects.putIfAbsent(orphanKey, Buffer.from('another payload'));
    assert.equal((await ingest.post(BLOCK, encodeBlockEnvelope(orphan, 'rust'))).status, 409);
    assert.equal((await lake.countRows()).blocks, 1);
  });
});

test('each envelope cut at every byte is 400 with the field named, and leaves nothing', async () => {
  await withIngest(async (ingest, lake) => {
    const block = {
      ...recordedBlock(),
      payload: { dependencies: Buffer.alloc(3), objects: Buffer.alloc(5) },
    };
    const stream = decodeStreamInfo(firstRequest(STREAM).body);
    const shortStream = {
      ...stream,
      dependenciesMetadata: stream.dependenciesMetadata.slice(0, 1),
      objectsMetadata: stream.objectsMetadata.slice(0, 1),
    };
    for (const style of ['rust', 'unreal', 'legacy-arrays'] as const) {
      const whole: IngestRequest[] = [
        {
          path: PROCESS,
          body: encodeProcessInfo(decodeProcessInfo(firstRequest(PROCESS).body), style),
        },
        { path: STREAM, body: encodeStreamInfo(shortStream, style) },
        { path: BLOCK, body: encodeBlockEnvelope(block, style) },
      ];
      for (const { path, body } of whole) {
        for (let start = 0; start < body.length; start += 16) {
          const lengths = Array.from(
            { length: Math.min(16, body.length - start) },
            (_, i) => start + i,
          );
          await Promise.all(
            lengths.map(async (length) => {
              const answer = await ingest.post(path, body.subarray(0, length));
              assert.equal(answer.status, 400, `${style} ${path} cut at ${length}`);
              assert.match(answer.text, /"type":"urn:tracelake:problem:transit\./);
            }),
          );
        }
      }
    }
    assert.deepEqual(await lake.dump(), { rows: [], objects: [] });
    assert.equal(await lake.countUnannounced(), 0);
  });
});

test('ids that are paths, and other wrong fields, are 400 and reach no disk', async () => {
  await withIngest(async (ingest, lake) => {
    const block = recordedBlock();
    const ids = [
      '../../../etc/passwd',
      '..',
      '/',
      'a/b',
      '',
      'x'.repeat(36),
      `${block.blockId}/..`,
      'é',
    ];
    for (const field of ['blockId', 'streamId', 'processId'] as const) {
      for (const id of ids) {
        const body = encodeBlockEnvelope({ ...block, [field]: id }, 'rust');
        const answer = await ingest.post(BLOCK, body);
        assert.equal(answer.status, 400);
        assert.match(answer.text, /"field":"(?:block|stream|process)_id"/);
      }
    }
    const absurd: Partial<BlockEnvelope>[] = [
      { objectCount: -1 },
      { objectCount: 2 ** 40 },
      { objectOffset: -5n },
      { objectOffset: 2n ** 63n },
      { beginTicks: (2n ** 63n) as typeof block.beginTicks },
    ];
    for (const wrong of absurd) {
      assert.equal(
        (await ingest.post(BLOCK, encodeBlockEnvelope({ ...block, ...wrong }, 'rust'))).status,
        400,
      );
    }
    assert.deepEqual(await lake.dump(), { rows: [], objects: [] });
  });
});

test('a body of another route, JSON, and nothing at all are 400', async () => {
  await withIngest(async (ingest, lake) => {
    const bodies = [
      firstRequest(PROCESS).body,
      Buffer.from('{"block_id":"x"}'),
      Buffer.alloc(0),
      Buffer.from([0xff]),
      Buffer.from('a0', 'hex'),
      // A map that declares 2^64-1 entries, and a byte string that declares 2^63 bytes.
      Buffer.from('bbffffffffffffffff', 'hex'),
      Buffer.from('5b8000000000000000', 'hex'),
    ];
    for (const body of bodies) assert.equal((await ingest.post(BLOCK, body)).status, 400);
    const deep = Buffer.alloc(100_000, 0x81);
    for (const path of [PROCESS, STREAM, BLOCK])
      assert.equal((await ingest.post(path, deep)).status, 400);
    assert.deepEqual(await lake.dump(), { rows: [], objects: [] });
  });
});

test('texts and lists beyond their limits are 400 and name the field', async () => {
  await withIngest(async (ingest, lake) => {
    const process = decodeProcessInfo(firstRequest(PROCESS).body);
    const long = { ...process, exe: 'x'.repeat(20_000) };
    const answer = await ingest.post(PROCESS, encodeProcessInfo(long, 'rust'));
    assert.equal(answer.status, 400);
    assert.match(answer.text, /"field":"exe"/);
    const wordy = { ...process, exe: 'x'.repeat(2000), properties: { line: 'y'.repeat(100_000) } };
    assert.equal((await ingest.post(PROCESS, encodeProcessInfo(wordy, 'rust'))).status, 200);
    assert.equal((await lake.countRows()).processes, 1);
  });
});

test('frames that could decompress past the limit are 413 and are not kept', async () => {
  await withIngest(
    async (ingest, lake) => {
      const block = recordedBlock();
      const bomb = { ...block, payload: { ...block.payload, objects: lz4Bomb(64) } };
      const answer = await ingest.post(BLOCK, encodeBlockEnvelope(bomb, 'rust'));
      assert.equal(answer.status, 413);
      assert.match(answer.text, /"limit":1048576/);
      assert.deepEqual(await lake.dump(), { rows: [], objects: [] });
    },
    { TRACELAKE_MAX_DECOMPRESSED_BYTES: '1048576' },
  );
});

test('keys, once set, are needed on the three routes and not for health', async () => {
  await withIngest(
    async (ingest, lake) => {
      const { path, body } = firstRequest(PROCESS);
      assert.equal((await ingest.post(path, body)).status, 401);
      assert.equal((await ingest.post(path, body, { authorization: 'Bearer wrong' })).status, 401);
      assert.deepEqual(await lake.dump(), { rows: [], objects: [] });
      assert.equal((await ingest.post(path, body, { authorization: 'Bearer abc' })).status, 200);
      for (const health of ['/healthz', '/readyz', '/metrics', '/health', '/ready']) {
        assert.equal((await fetch(ingest.url + health)).status, 200, health);
      }
    },
    { TRACELAKE_API_KEYS: 'game:abc' },
  );
});

test('wrong methods and paths are 405 and 404', async () => {
  await withIngest(async (ingest) => {
    const get = await fetch(`${ingest.url}${BLOCK}`);
    assert.equal(get.status, 405);
    assert.equal(get.headers.get('allow'), 'POST');
    assert.equal((await ingest.post('/ingestion/insert_nothing', Buffer.alloc(1))).status, 404);
  });
});

/** A frame whose blocks declare that they grow far beyond what they weigh. */
function lz4Bomb(blockCount: number): Uint8Array {
  const header = Buffer.from('04224d18604082', 'hex');
  // A match of offset 1 whose length goes on for 5,000 bytes of 255: over a megabyte from five kilobytes.
  const sequence = Buffer.concat([
    Buffer.from([0x1f, 0x00, 0x01, 0x00]),
    Buffer.alloc(5000, 255),
    Buffer.from([0]),
  ]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(sequence.length);
  const blocks = new Array<Buffer>(blockCount).fill(Buffer.concat([size, sequence]));
  return Buffer.concat([header, ...blocks, Buffer.alloc(4)]);
}
