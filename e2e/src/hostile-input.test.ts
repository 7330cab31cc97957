/**
 * Input that no honest client sends, against the running services: what is refused leaves nothing behind, what
 * is taken and cannot be decoded is rejected by name, and everything beside it is built and exported as ever.
 */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { BlockId } from '@tracelake/domain';
import {
  type DecodedTrace,
  decodeTrace,
  encodeLz4Frame,
  RecordingBuilder,
  seededRandom,
} from '@tracelake/test-kit';
import {
  type BlockEnvelope,
  decodeBlockEnvelope,
  decodeLz4Frame,
  decodeProcessInfo,
  decodeStreamInfo,
  encodeBlockEnvelope,
  encodeProcessInfo,
  encodeStreamInfo,
} from '@tracelake/transit';
import { eventually, exportTrace, type TelemetryRequest } from './harness/client.ts';
import { LakeReader } from './harness/lake-rows.ts';
import { type ProcessStack, startProcessStack } from './harness/process-stack.ts';

const BLOCK = '/ingestion/insert_block';
const MIB = 1024 * 1024;
const scope = { name: 'work', target: 'app', file: 'main.rs', line: 1 };

describe('hostile input', () => {
  let stack: ProcessStack;
  let lake: LakeReader;

  before(async () => {
    stack = await startProcessStack();
    lake = await LakeReader.open(stack);
  });

  after(async () => {
    await lake?.[Symbol.asyncDispose]();
    await stack?.[Symbol.asyncDispose]();
  });

  const post = async ({ path, body }: TelemetryRequest): Promise<number> => {
    const url = `${stack.ingest.url}${path}`;
    const response = await fetch(url, { method: 'POST', body: new Uint8Array(body) });
    const text = await response.text();
    if (response.status !== 200) assertProblem(response, text);
    return response.status;
  };

  const takeAll = async (requests: readonly TelemetryRequest[]): Promise<void> => {
    for (const request of requests) assert.equal(await post(request), 200, request.path);
  };

  /** The keys of all blocks' objects. A directory without one is nobody's: a store of objects knows none. */
  const blobKeys = async () => {
    const entries = await readdir(stack.objectsDir, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(stack.objectsDir, join(entry.parentPath, entry.name)))
      .filter((key) => key.startsWith('blobs/'));
  };

  /** Everything durable: rows of all tables of ingest, and object keys. */
  const kept = async () => ({
    rows: await lake.sql(
      `SELECT (SELECT count(*) FROM processes) AS processes, (SELECT count(*) FROM streams) AS streams,
        (SELECT count(*) FROM blocks) AS blocks, (SELECT count(*) FROM rejected_blocks) AS rejected`,
    ),
    blobs: await blobKeys(),
  });

  test('what is refused leaves no row and no object', async () => {
    const recording = new RecordingBuilder({ seed: 201 });
    const thread = recording.addThread({ name: 'main', id: '1' });
    thread.begin(scope, 10);
    thread.end(scope, 20);
    const [process, stream, block] = recording.requests().map(({ body }) => body);
    if (!process || !stream || !block) throw new Error('three requests are recorded');
    await takeAll(recording.requests());
    const before = await kept();
    const envelope = exactEnvelope(block);
    const like = (change: Partial<BlockEnvelope>) =>
      encodeBlockEnvelope({ ...envelope, blockId: randomUUID() as BlockId, ...change }, 'rust');
    const known = envelope.blockId;
    const other = {
      dependencies: envelope.payload.dependencies,
      objects: encodeLz4Frame(Buffer.of(9)),
    };
    const bomb = encodeLz4Frame(Buffer.alloc(257 * MIB));
    const cases: [status: number, what: string, request: TelemetryRequest][] = [
      [400, 'nothing', { path: BLOCK, body: Buffer.alloc(0) }],
      [400, 'JSON', { path: BLOCK, body: Buffer.from('{"block_id": 1}') }],
      [400, 'a process', { path: BLOCK, body: process }],
      [400, 'negative offset', { path: BLOCK, body: like({ objectOffset: -1n }) }],
      [400, 'negative count', { path: BLOCK, body: like({ objectCount: -1 }) }],
      [400, 'path', { path: BLOCK, body: like({ blockId: '../../../../etc/passwd' as BlockId }) }],
      [409, 'other content', { path: BLOCK, body: like({ blockId: known, payload: other }) }],
      [409, 'other ticks', { path: BLOCK, body: like({ blockId: known, endTicks: 21n as never }) }],
      [
        409,
        'other stream',
        { path: BLOCK, body: like({ blockId: known, streamId: randomUUID() as never }) },
      ],
      [
        409,
        'other process',
        { path: BLOCK, body: like({ blockId: known, processId: randomUUID() as never }) },
      ],
      [413, 'bomb', { path: BLOCK, body: like({ payload: { ...other, objects: bomb } }) }],
      [413, 'too large', { path: BLOCK, body: Buffer.alloc(65 * MIB) }],
      [
        400,
        'NUL',
        {
          path: '/ingestion/insert_process',
          body: encodeProcessInfo({ ...decodeProcessInfo(process), exe: 'a\0b' }, 'rust'),
        },
      ],
      [
        400,
        'huge properties',
        {
          path: '/ingestion/insert_stream',
          body: encodeStreamInfo(
            { ...decodeStreamInfo(stream), properties: { x: 'y'.repeat(10 * MIB) } },
            'rust',
          ),
        },
      ],
    ];
    for (let end = 0; end < block.length; end += 7)
      cases.push([400, `cut at ${end}`, { path: BLOCK, body: block.subarray(0, end) }]);
    for (const [status, what, request] of cases) assert.equal(await post(request), status, what);
    assert.deepEqual(await kept(), before);
  });

  test('undecodable blocks are rejected by name, all others are exported, later ones too', async () => {
    const recording = new RecordingBuilder({ seed: 202 });
    const thread = recording.addThread({ name: 'main', id: '1' });
    const blockCount = 12;
    for (let index = 0; index < blockCount; index++) {
      const name = `span ${index}`;
      thread.begin({ ...scope, name }, index * 100);
      thread.asyncBegin({
        scope: { name: `async ${index}` },
        spanId: index + 1,
        ticks: index * 100 + 1,
      });
      thread.asyncEnd({
        scope: { name: `async ${index}` },
        spanId: index + 1,
        ticks: index * 100 + 2,
      });
      thread.end({ ...scope, name }, index * 100 + 50);
      thread.flushBlock();
    }
    const damages: ((objects: Uint8Array, dependencies: Uint8Array) => [Uint8Array, Uint8Array])[] =
      [
        (objects, dependencies) => [objects.subarray(0, objects.length - 3), dependencies],
        (objects) => [objects, new Uint8Array(0)],
        (objects, dependencies) => [Buffer.concat([objects, Buffer.of(250)]), dependencies],
        (objects, dependencies) => [objects, Buffer.concat([dependencies, dependencies])],
        () => [Buffer.alloc(8 * MIB), new Uint8Array(0)],
      ];
    const requests = recording.requests();
    const [late] = requests.splice(-1);
    if (late === undefined) throw new Error('the last request is a block');
    const bad = new Set<string>();
    const sent = requests.map((request, index) => {
      const damage = damages[(index - 2) / 2];
      if (!request.path.endsWith('block') || damage === undefined) return request;
      const block = exactEnvelope(request.body);
      bad.add(block.blockId);
      const raw = (frame: Uint8Array) => decodeLz4Frame(frame, MIB);
      const [objects, dependencies] = damage(
        raw(block.payload.objects),
        raw(block.payload.dependencies),
      );
      const payload = {
        objects: encodeLz4Frame(objects),
        dependencies: encodeLz4Frame(dependencies),
      };
      return { path: BLOCK, body: encodeBlockEnvelope({ ...block, payload }, 'rust') };
    });
    const notCompressed = exactEnvelope(late.body);
    const payload = { objects: Buffer.from('no frame'), dependencies: new Uint8Array(0) };
    const noFrame = { ...notCompressed, blockId: randomUUID() as BlockId, payload };
    bad.add(noFrame.blockId);
    await takeAll([...sent, { path: BLOCK, body: encodeBlockEnvelope(noFrame, 'rust') }]);
    assert.equal(bad.size, damages.length + 1);

    const goodNames = (first: number, last: number) =>
      Array.from({ length: last - first }, (_, index) => index + first)
        .filter((index) => index % 2 === 1 || index >= damages.length * 2)
        .flatMap((index) => [`async ${index}`, `span ${index}`])
        .sort();
    const before = await exported(recording.processId, bad.size);
    assert.deepEqual(namesOf(before), goodNames(0, blockCount - 1));
    await takeAll([late]);
    assert.deepEqual(
      namesOf(await exported(recording.processId, bad.size)),
      goodNames(0, blockCount),
    );
    const listed = await lake.sql(
      `SELECT view_set, block_id, reason FROM rejected_blocks
        JOIN blocks USING (block_id) WHERE process_id = $1`,
      [recording.processId],
    );
    for (const view of ['thread_spans', 'async_events']) {
      const ofView = listed.filter(({ view_set }) => view_set === view);
      assert.deepEqual(new Set(ofView.map(({ block_id }) => block_id)), bad);
      for (const { reason } of ofView) assert.match(String(reason), /^transit\./);
    }
  });

  const exported = async (processId: string, rejected: number): Promise<DecodedTrace> => {
    const { bytes, headers } = await exportTrace(stack.traceExport.url, processId);
    assert.equal(headers.get('tracelake-blocks-rejected'), String(rejected));
    const trace = decodeTrace(bytes);
    assert.deepEqual(trace.problems, []);
    return trace;
  };

  test('a log block that cannot be decoded costs its own lines and no others', async () => {
    const recording = new RecordingBuilder({ seed: 203 });
    recording.log({ ticks: 1, message: 'before' });
    recording.logStream.flushBlock();
    recording.log({ ticks: 2, message: 'bad', properties: { level: 'no level' } });
    recording.logStream.flushBlock();
    recording.log({ ticks: 3, message: 'after' });
    await takeAll(recording.requests());
    const messages = await eventually(
      async () => {
        const rows = await lake.rows('log_entries', recording.processId);
        return rows.length >= 2 ? rows.map(({ msg }) => msg).sort() : undefined;
      },
      'the log partition',
      10_000,
    );
    assert.deepEqual(messages, ['after', 'before']);
  });

  for (const seed of [1, 2]) {
    test(`random requests to the reading services are answered, none with a failure, seed ${seed}`, async () => {
      const random = seededRandom(seed);
      const known = new RecordingBuilder({ seed: 201 }).processId;
      const word = () =>
        random.pick([
          ...[
            known,
            known.toUpperCase(),
            randomUUID(),
            'global',
            '..',
            '%2e%2e%2f',
            '%00',
            '%ff',
            '',
          ],
          ...['thread_spans', 'async_events', 'log_entries', 'x'.repeat(3000), '1 OR 1=1', '🗼'],
        ]);
      const parameter = () =>
        `${random.pick(['spans', 'begin', 'end', 'limit', 'search', 'x', '__proto__'])}=${random.pick(
          [
            ...[
              'both',
              'thread',
              '',
              '-1',
              '1e99',
              '0',
              '2026-11-21T04:00:00Z',
              '9999-99-99T99:99:99Z',
            ],
            ...['%00', '%ff', '%', "' OR 1=1 --", 'x'.repeat(2000), '1969-01-01T00:00:00Z'],
          ],
        )}`;
      for (let round = 0; round < 150; round++) {
        const [base, path] = random.pick([
          [stack.traceExport.url, `/v1/processes/${word()}/trace`],
          [stack.traceExport.url, `/v1/processes/${word()}`],
          [stack.traceExport.url, '/v1/processes'],
          [stack.materializer.url, `/v1/partitions/${word()}/${word()}`],
          [stack.materializer.url, `/v1/materialize/${word()}/${word()}`],
          [stack.ingest.url, `/${word()}/${word()}`],
        ] as const);
        const parameters = Array.from({ length: random.int(3) }, parameter).join('&');
        const method = path.includes('materialize') ? 'POST' : random.pick(['GET', 'GET', 'PUT']);
        const url = `${base}${path}?${parameters}`;
        const response = await fetch(url, { method });
        const text = await response.text();
        assert.ok(response.status < 500, `${method} ${url}: ${response.status} ${text}`);
        if (response.status >= 400) assertProblem(response, text);
      }
    });
  }
});

function assertProblem(response: Response, text: string): void {
  assert.equal(response.headers.get('content-type'), 'application/problem+json');
  const problem = JSON.parse(text) as Record<string, unknown>;
  assert.equal(problem.status, response.status);
  for (const member of ['type', 'title', 'detail']) assert.equal(typeof problem[member], 'string');
}

/** The block as it was sent, to the nanosecond. */
function exactEnvelope(body: Uint8Array): BlockEnvelope {
  const block = decodeBlockEnvelope(body);
  return { ...block, beginNs: block.exactBeginNs, endNs: block.exactEndNs };
}

function namesOf({ slices }: DecodedTrace): string[] {
  return slices.map(({ name }) => name).sort();
}
