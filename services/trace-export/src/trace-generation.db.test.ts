/** Real Parquet files in, the bytes of a trace out, read back by the decoder of the test kit. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { xxHash64OfText } from '@tracelake/bus';
import { type DecodedTrace, decodeTrace, inflateTrace, seededRandom } from '@tracelake/test-kit';
import {
  type AsyncRow,
  PROCESS_ID,
  type SamplePlan,
  SpanFiles,
  START_NS,
  samplePlan,
  scopeNumber,
  type ThreadRow,
} from '../test/span-files.ts';
import type { TraceCompression } from './export-request.ts';
import { type GeneratedTrace, startTrace } from './trace-generation.ts';

let dir = '';
let tempDir = '';
let files: SpanFiles;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tracelake-trace-'));
  tempDir = join(dir, 'temp');
  await mkdir(tempDir);
  files = new SpanFiles(dir);
});
after(async () => {
  await rm(dir, { recursive: true, force: true });
});

const LIMITS = {
  chunkBytes: 8192,
  channelChunks: 16,
  openSpansMax: 1_000_000,
  queryMemoryBytes: 128 * 2 ** 20,
};

async function generate(
  sample: SamplePlan,
  limits: Partial<typeof LIMITS> = {},
  compress: TraceCompression = 'none',
): Promise<{ bytes: Uint8Array; trace: DecodedTrace; summary: GeneratedTrace; sizes: number[] }> {
  await using stream = startTrace({
    plan: samplePlan(sample),
    objects: files.objects,
    tempDir,
    hash: xxHash64OfText,
    compress,
    limits: { ...LIMITS, ...limits },
    signal: new AbortController().signal,
  });
  const chunks: Uint8Array[] = [];
  for await (const { data } of stream.channel) chunks.push(data);
  const summary = await stream.done;
  const bytes = Buffer.concat(chunks);
  return { bytes, trace: decodeTrace(bytes), summary, sizes: chunks.map((chunk) => chunk.length) };
}

function slicesOf(trace: DecodedTrace): string[] {
  return trace.slices
    .map((slice) => {
      const begin = slice.beginNs - START_NS;
      const end = slice.endNs - START_NS;
      return `${slice.track.name} ${slice.name} ${begin}..${end}${slice.open ? ' open' : ''}`;
    })
    .sort();
}

const chainRow = (begin: number, end: number): ThreadRow => ({
  id: -1,
  parent: 0,
  depth: 0,
  begin,
  end,
  name: 'thread-0',
});

function call(id: number, depth: number, begin: number, end: number, open = false): ThreadRow {
  return { id, parent: depth === 1 ? -1 : id - 1, depth, begin, end, name: `call ${id}`, open };
}

test('a process without spans is a process track and its threads', async () => {
  const { trace, summary } = await generate({ threads: [[], []] });
  assert.deepEqual(trace.problems, []);
  assert.deepEqual(
    trace.tracks.map(({ kind, name, pid, tid }) => ({ kind, name, pid, tid })),
    [
      { kind: 'process', name: 'sample-app', pid: trace.tracks[0]?.pid, tid: undefined },
      { kind: 'thread', name: 'thread-0', pid: trace.tracks[0]?.pid, tid: 100 },
      { kind: 'thread', name: 'thread-1', pid: trace.tracks[0]?.pid, tid: 101 },
    ],
  );
  assert.equal(trace.tracks[0]?.commandLine, '/opt/games/sample-app');
  assert.match(trace.tracks[0]?.description ?? '', /computer: build-host/);
  assert.equal(trace.tracks[0]?.uuid, xxHash64OfText(PROCESS_ID));
  assert.equal(summary.spanCount, 0);
});

test('calls are slices of their thread, the pseudo row is none, an open one is marked', async () => {
  const rows = [
    chainRow(0, 100),
    call(0, 1, 5, 50),
    call(1, 2, 10, 20),
    call(2, 2, 20, 20),
    call(5, 1, 60, 100, true),
  ];
  const { trace } = await generate({ threads: [[await files.writeThread(rows)]] });
  assert.deepEqual(trace.problems, []);
  assert.deepEqual(slicesOf(trace), [
    'thread-0 call 0 5..50',
    'thread-0 call 1 10..20',
    'thread-0 call 2 20..20',
    'thread-0 call 5 60..100 open',
  ]);
  assert.deepEqual(
    trace.slices.map(({ name, depth, category, file }) => ({ name, depth, category, file })),
    [
      { name: 'call 1', depth: 1, category: 'target', file: 'file.rs' },
      { name: 'call 2', depth: 1, category: 'target', file: 'file.rs' },
      { name: 'call 0', depth: 0, category: 'target', file: 'file.rs' },
      { name: 'call 5', depth: 0, category: 'target', file: 'file.rs' },
    ],
  );
});

test('every slice has the source line of its own scope', async () => {
  const rows = Array.from({ length: 50 }, (_, i) => call(i, 1, 10 * i, 10 * i + 5));
  const { trace } = await generate({ threads: [[await files.writeThread(rows)]] });
  assert.equal(trace.slices.length, 50);
  for (const { name, line } of trace.slices) assert.equal(line, scopeNumber(name));
});

test('ends without begins nest, and spans that overlap go beside the thread', async () => {
  const rows = [
    chainRow(0, 100),
    call(1, 1, 0, 5),
    call(4, 1, 0, 20, true),
    call(5, 1, 0, 30, true),
    call(6, 1, 40, 60),
    call(7, 2, 50, 70),
    call(8, 3, 55, 58),
  ];
  const { trace } = await generate({ threads: [[await files.writeThread(rows)]] });
  assert.deepEqual(trace.problems, []);
  assert.deepEqual(slicesOf(trace), [
    'Overlapping spans call 7 50..70',
    'Overlapping spans call 8 55..58',
    'thread-0 call 1 0..5',
    'thread-0 call 4 0..20 open',
    'thread-0 call 5 0..30 open',
    'thread-0 call 6 40..60',
  ]);
});

test('concurrent async spans sit on tracks of their own, a child on its parent', async () => {
  const rows: AsyncRow[] = [
    { time: 0, kind: 'begin', id: 1, parent: 0, name: 'outer' },
    { time: 100, kind: 'end', id: 1, parent: 0, name: 'outer' },
    { time: 10, kind: 'begin', id: 2, parent: 1, depth: 1, name: 'first' },
    { time: 60, kind: 'end', id: 2, parent: 1, depth: 1, name: 'first' },
    { time: 20, kind: 'begin', id: 3, parent: 1, depth: 1, name: 'second' },
    { time: 70, kind: 'end', id: 3, parent: 1, depth: 1, name: 'second' },
    { time: 90, kind: 'begin', id: 4, parent: 0, name: 'forever' },
    { time: 3, kind: 'end', id: 99, parent: 0, name: 'unknown' },
  ];
  const sample = { asyncFiles: [await files.writeAsync(rows)], openEnd: 500 };
  const { trace, summary } = await generate(sample);
  assert.deepEqual(trace.problems, []);
  assert.deepEqual(slicesOf(trace), [
    'Async Operations first 10..60',
    'Async Operations forever 90..500 open',
    'Async Operations outer 0..100',
    'Async Operations second 20..70',
  ]);
  const trackOf = (name: string) => trace.slices.find((slice) => slice.name === name)?.track.uuid;
  assert.equal(trackOf('first'), trackOf('outer'));
  assert.notEqual(trackOf('second'), trackOf('outer'));
  assert.equal(summary.endsWithoutBegin, 1);
});

test('async spans beyond the limit become instants and are counted', async () => {
  const rows: AsyncRow[] = Array.from({ length: 10 }, (_, i) => ({
    time: i,
    kind: 'begin' as const,
    id: i + 1,
    parent: 0,
    name: 'open',
  }));
  const sample = { asyncFiles: [await files.writeAsync(rows)], openEnd: 500 };
  const { trace, summary } = await generate(sample, { openSpansMax: 4 });
  assert.deepEqual(trace.problems, []);
  assert.equal(trace.slices.length, 4);
  assert.equal(trace.instants.length, 6);
  assert.equal(summary.instantCount, 6);
  assert.equal(summary.openSpansMax, 4);
});

test('a range keeps what overlaps it, whole', async () => {
  const rows = [chainRow(0, 100), call(0, 1, 5, 50), call(1, 1, 51, 60), call(2, 1, 61, 99)];
  const threads = [[await files.writeThread(rows)]];
  const { trace } = await generate({ threads, range: { begin: 50, end: 51 } });
  assert.deepEqual(slicesOf(trace), ['thread-0 call 0 5..50', 'thread-0 call 1 51..60']);
});

/** A clock that often stands still, calls that nest, cut into files at random. */
function randomThread(seed: number): ThreadRow[] {
  const random = seededRandom(seed);
  const rows: ThreadRow[] = [];
  const stack: { id: number; begin: number; parent: number }[] = [];
  let time = 0;
  for (let id = 0; id < 400; id += 1) {
    time += random.int(3);
    if (stack.length === 0 || random.int(2) === 0) {
      stack.push({ id, begin: time, parent: stack.at(-1)?.id ?? -1 });
    } else {
      const span = stack.pop();
      const depth = stack.length + 1;
      if (span !== undefined) rows.push({ ...span, depth, end: time, name: `n${span.id % 7}` });
    }
  }
  rows.push(chainRow(0, time));
  return rows.sort((a, b) => a.begin - b.begin || a.id - b.id);
}

test('the bytes do not depend on how rows are cut into files nor on the size of chunks', async () => {
  for (let seed = 1; seed <= 6; seed += 1) {
    const random = seededRandom(seed * 31);
    const rows = randomThread(seed);
    const whole = await generate({ threads: [[await files.writeThread(rows)]] });
    assert.deepEqual(whole.trace.problems, [], `seed ${seed}`);
    assert.equal(whole.trace.slices.length, rows.length - 1);
    const parts: ThreadRow[][] = [[], [], [], []];
    for (const row of rows) parts[random.int(4)]?.push(row);
    const cut = [];
    for (const part of parts) if (part.length > 0) cut.push(await files.writeThread(part));
    const other = await generate({ threads: [random.shuffle(cut)] }, { chunkBytes: 100 });
    assert.ok(Buffer.from(other.bytes).equals(whole.bytes), `seed ${seed}`);
    assert.deepEqual([...new Set(other.sizes.slice(0, -1))], [100]);
    assert.deepEqual([...new Set(whole.sizes.slice(0, -1))], [8192]);
  }
});

test('nothing of an export is left in its temporary directory', async () => {
  const rows = [chainRow(0, 100), call(0, 1, 5, 50)];
  await generate({ threads: [[await files.writeThread(rows)]] });
  assert.deepEqual(await readdir(tempDir), []);
});

test('a file that is missing fails the channel and not only the task', async () => {
  const missing = { objectKey: 'none.parquet', minBeginNs: 0n };
  await assert.rejects(generate({ threads: [[missing]] }), { code: 'parquet.read-failed' });
  assert.deepEqual(await readdir(tempDir), []);
});

test('a compressed trace is the trace, smaller, in chunks of the same size', async () => {
  const rows = Array.from({ length: 40_000 }, (_, i) => {
    const name = i === 10_000 ? 'n'.repeat(1024 * 1024) : `call ${i % 50}`;
    return { ...call(i, 1, i * 1000, i * 1000 + 700 + (i % 97)), name };
  });
  const sample = { threads: [[await files.writeThread(rows)]] };
  const plain = await generate(sample);
  const compressed = await generate(sample, {}, 'deflate');
  assert.deepEqual(compressed.trace.problems, []);
  assert.ok(compressed.trace.compressedPacketCount > 4);
  assert.ok(Buffer.from(plain.bytes).equals(inflateTrace(compressed.bytes)));
  assert.deepEqual(compressed.summary, plain.summary);
  assert.ok(compressed.bytes.length * 3 < plain.bytes.length);
  assert.deepEqual([...new Set(compressed.sizes.slice(0, -1))], [8192]);
  const again = await generate(sample, {}, 'deflate');
  assert.ok(Buffer.from(compressed.bytes).equals(again.bytes));
});
