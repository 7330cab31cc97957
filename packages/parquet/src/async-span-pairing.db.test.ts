/** Pairs are checked against a pairing in plain JavaScript over the same events. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ColumnDefinition, RowColumns } from '@tracelake/lakehouse';
import { seededRandom } from '@tracelake/test-kit';
import { PairedAsyncSpans } from './async-span-pairing.ts';
import type { EventFile } from './pairing/event-merge.ts';
import { ParquetReader } from './parquet-reading.ts';
import { writeParquet } from './parquet-writing.ts';

const COLUMNS: ColumnDefinition[] = [
  { name: 'time', type: 'timestamp' },
  { name: 'event_type', type: 'string' },
  { name: 'span_id', type: 'i64' },
  { name: 'parent_span_id', type: 'i64' },
  { name: 'depth', type: 'u32' },
  { name: 'hash', type: 'u32' },
  { name: 'name', type: 'string' },
  { name: 'filename', type: 'string' },
  { name: 'target', type: 'string' },
  { name: 'line', type: 'u32' },
];

interface Event {
  time: number;
  kind: 'begin' | 'end';
  id: number;
  parent: number;
  depth: number;
}

interface Span {
  begin: number;
  end: number;
  id: number;
  parent: number;
  depth: number;
  open: boolean;
  name: string;
}

const BASE_NS = 1_795_230_665_835_000_000n;
const OPEN_END = 5000;

let dir = '';
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tracelake-async-'));
});
after(async () => {
  await rm(dir, { recursive: true, force: true });
});

const nameOf = (id: number) => `operation ${id % 11}`;

function columnsOf(
  events: readonly Event[],
  hashOf: (id: number) => number = (id) => (id % 11) * 31,
): RowColumns {
  const names = Array.from({ length: 11 }, (_, i) => nameOf(i));
  const constant = { type: 'string' as const, codes: new Uint32Array(events.length) };
  return {
    rowCount: events.length,
    columns: [
      { type: 'timestamp', values: BigInt64Array.from(events, (e) => BASE_NS + BigInt(e.time)) },
      {
        type: 'string',
        codes: Uint32Array.from(events, (e) => Number(e.kind === 'end')),
        dictionary: ['begin', 'end'],
      },
      { type: 'i64', values: BigInt64Array.from(events, (e) => BigInt(e.id)) },
      { type: 'i64', values: BigInt64Array.from(events, (e) => BigInt(e.parent)) },
      { type: 'u32', values: Uint32Array.from(events, (e) => e.depth) },
      { type: 'u32', values: Uint32Array.from(events, (e) => hashOf(e.id)) },
      { type: 'string', codes: Uint32Array.from(events, (e) => e.id % 11), dictionary: names },
      { ...constant, dictionary: ['a.rs'] },
      { ...constant, codes: new Uint32Array(events.length), dictionary: ['t'] },
      { type: 'u32', values: Uint32Array.from(events, (e) => e.id % 11) },
    ],
  };
}

let fileCount = 0;

/** A file of each part, in order of time as the materializer writes them, unless said otherwise. */
async function writeEvents(
  parts: readonly (readonly Event[])[],
  inOrder = true,
): Promise<EventFile[]> {
  const files: EventFile[] = [];
  for (const part of parts) {
    if (part.length === 0) continue;
    const path = join(dir, `events-${fileCount++}.parquet`);
    const byTime = part.toSorted((a, b) => a.time - b.time);
    const rows = columnsOf(inOrder ? byTime : part);
    await writeParquet({ path, columns: COLUMNS, rows, metadata: {} });
    files.push({ path, minTimeNs: BASE_NS + BigInt(byTime[0]?.time ?? 0) });
  }
  return files;
}

async function readSpans(
  reader: ParquetReader,
  files: readonly EventFile[],
  range = { begin: -1e9, end: 1e12 },
  heldSpansMax = 1_000_000,
): Promise<{ spans: Span[]; endsWithoutBegin: number }> {
  const paired = new PairedAsyncSpans({
    reader,
    files,
    range: { beginNs: BASE_NS + BigInt(range.begin), endNs: BASE_NS + BigInt(range.end) },
    openEndNs: BASE_NS + BigInt(OPEN_END),
    heldSpansMax,
  });
  const spans: Span[] = [];
  for await (const batch of paired.batches()) {
    for (let i = 0; i < batch.rowCount; i += 1) {
      spans.push({
        begin: Number((batch.begin[i] ?? 0n) - BASE_NS),
        end: Number((batch.end[i] ?? 0n) - BASE_NS),
        id: Number(batch.id[i]),
        parent: Number(batch.parent[i]),
        depth: batch.depth[i] ?? -1,
        open: batch.open[i] === 1,
        name: batch.scopes[batch.scope[i] ?? -1]?.name ?? '',
      });
    }
  }
  return { spans, endsWithoutBegin: paired.endsWithoutBegin };
}

function pairPlainly(events: readonly Event[]): { spans: Span[]; endsWithoutBegin: number } {
  const queues = new Map<number, { begins: Event[]; ends: Event[] }>();
  for (const event of events.toSorted(
    (a, b) => a.time - b.time || a.depth - b.depth || a.parent - b.parent,
  )) {
    const queue = queues.get(event.id) ?? { begins: [], ends: [] };
    queues.set(event.id, queue);
    (event.kind === 'begin' ? queue.begins : queue.ends).push(event);
  }
  let endsWithoutBegin = 0;
  const spans: Span[] = [];
  for (const { begins, ends } of queues.values()) {
    endsWithoutBegin += Math.max(0, ends.length - begins.length);
    begins.forEach(({ time, id, parent, depth }, i) => {
      const end = Math.max(time, ends[i]?.time ?? OPEN_END);
      spans.push({ begin: time, end, id, parent, depth, open: i >= ends.length, name: nameOf(id) });
    });
  }
  spans.sort(
    (a, b) =>
      a.begin - b.begin || a.depth - b.depth || a.id - b.id || a.end - b.end || a.parent - b.parent,
  );
  return { spans, endsWithoutBegin };
}

/** Every fourth seed has a clock so coarse that many events share a moment, and few ids. */
function randomEvents(seed: number): Event[] {
  const random = seededRandom(seed);
  const isCoarse = seed % 4 === 0;
  const events: Event[] = [];
  const idCount = 1 + random.int(isCoarse ? 12 : 80);
  for (let id = 1; id <= idCount; id += 1) {
    const uses = seed % 2 === 0 && random.int(isCoarse ? 2 : 6) === 0 ? 2 + random.int(3) : 1;
    for (let use = 0; use < uses; use += 1) {
      const time = random.int(isCoarse ? 12 : 300);
      const common = { id, parent: random.int(id), depth: random.int(4) };
      if (random.int(12) !== 0) events.push({ ...common, time, kind: 'begin' });
      if (random.int(8) !== 0)
        events.push({ ...common, time: time + random.int(isCoarse ? 8 : 90), kind: 'end' });
    }
  }
  return random.shuffle(events);
}

test('events scattered over files pair as a plain pairing does', async () => {
  await using reader = new ParquetReader();
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = seededRandom(seed + 500);
    const events = randomEvents(seed);
    const parts: Event[][] = Array.from({ length: 1 + random.int(4) }, () => []);
    for (const event of events) parts[random.int(parts.length)]?.push(event);
    const files = await writeEvents(parts);
    const expected = pairPlainly(events);
    // Room for all of them, for the spans of a moment, for none: what one way does not do, the other does.
    for (const heldSpansMax of [1_000_000, 3 + random.int(30), 0]) {
      const found = await readSpans(reader, files, undefined, heldSpansMax);
      assert.deepEqual(found, expected, `seed ${seed}, ${heldSpansMax} held`);
    }
    const range = { begin: random.int(200), end: 100 + random.int(200) };
    const { spans } = await readSpans(reader, files, range);
    const overlapping = expected.spans.filter(
      ({ begin, end }) => begin <= range.end && end >= range.begin,
    );
    assert.deepEqual(spans, overlapping, `seed ${seed}, range`);
  }
});

test('files that are not in order of time pair all the same', async () => {
  await using reader = new ParquetReader();
  const events = randomEvents(7);
  const files = await writeEvents([events], false);
  assert.deepEqual(await readSpans(reader, files), pairPlainly(events));
});

test('disorder far into a file, behind spans that were handed on, changes nothing', async () => {
  await using reader = new ParquetReader();
  const events: Event[] = [];
  for (let id = 1; id <= 10_000; id += 1) {
    const common = { id, parent: 0, depth: 0 };
    events.push({ ...common, time: id * 10, kind: 'begin' });
    events.push({ ...common, time: id * 10 + 35, kind: 'end' });
  }
  const byTime = events.toSorted((a, b) => a.time - b.time);
  const early = byTime.splice(0, 100);
  // What should stand at the start comes at the very end, in a file beside one that is in order.
  const files = await writeEvents([[...byTime, ...early].filter(({ id }) => id % 3 !== 0)], false);
  files.push(...(await writeEvents([events.filter(({ id }) => id % 3 === 0)])));
  assert.deepEqual(await readSpans(reader, files), pairPlainly(events));
});

/** Twenty thousand spans, of which a few are open at a time: more events than a row group has. */
function manyEvents(): Event[] {
  const events: Event[] = [];
  for (let id = 1; id <= 20_000; id += 1) {
    const common = { id, parent: id - 1, depth: 0 };
    events.push({ ...common, time: id * 10, kind: 'begin' });
    events.push({ ...common, time: id * 10 + 35, kind: 'end' });
  }
  return events.toSorted((a, b) => a.time - b.time);
}

test('a row group that is out of order in itself is noticed behind spans that were handed on', async () => {
  await using reader = new ParquetReader();
  const events = manyEvents();
  const expected = pairPlainly(events);
  const [late, early] = [39_900, 34_000].map((row) => events[row]);
  assert.ok(late !== undefined && early !== undefined);
  events[39_900] = early;
  events[34_000] = late;
  const files = await writeEvents([events], false);
  assert.deepEqual(await readSpans(reader, files), expected);
});

test('scopes that share a hash keep their names, also where it shows behind spans that were handed on', async () => {
  await using reader = new ParquetReader();
  const events = manyEvents();
  const expected = pairPlainly(events);
  for (const hashOf of [() => 7, (id: number) => (id === 19_000 ? 31 : (id % 11) * 31)]) {
    const path = join(dir, `events-${fileCount++}.parquet`);
    await writeParquet({ path, columns: COLUMNS, rows: columnsOf(events, hashOf), metadata: {} });
    const files = [{ path, minTimeNs: BASE_NS }];
    assert.deepEqual(await readSpans(reader, files), expected);
  }
});

test('a file that another program wrote pairs as ours do, beside ours too', async () => {
  await using reader = new ParquetReader();
  const events = randomEvents(9);
  const expected = pairPlainly(events);
  const [own, other] = await writeEvents([
    events.filter((_, i) => i % 2),
    events.filter((_, i) => !(i % 2)),
  ]);
  assert.ok(own !== undefined && other !== undefined);
  const foreign = join(dir, 'foreign.parquet');
  await reader.rows(`COPY (FROM read_parquet('${other.path}')) TO '${foreign}' (FORMAT parquet)`);
  const files = [own, { ...other, path: foreign }];
  assert.deepEqual(await readSpans(reader, files), expected);
});

test('spans behind one that never ends come as they would with room for all', async () => {
  await using reader = new ParquetReader();
  const events: Event[] = [];
  for (let id = 1; id <= 10_000; id += 1) {
    const common = { id, parent: 5000, depth: 0 };
    events.push({ ...common, time: id * 10, kind: 'begin' });
    if (id !== 5000) events.push({ ...common, time: id * 10 + 35, kind: 'end' });
  }
  const files = await writeEvents([events]);
  const expected = pairPlainly(events);
  for (const heldSpansMax of [1_000_000, 1000]) {
    assert.deepEqual(await readSpans(reader, files, undefined, heldSpansMax), expected);
  }
});

test('spans that overlap the range come whole, with ends that lie outside it', async () => {
  await using reader = new ParquetReader();
  const event = (kind: 'begin' | 'end', id: number, time: number): Event => ({
    kind,
    id,
    time,
    parent: 0,
    depth: 0,
  });
  const files = await writeEvents([
    [event('begin', 1, 0), event('begin', 2, 50), event('begin', 3, 90), event('begin', 4, 101)],
    [event('end', 1, 100), event('end', 2, 60), event('end', 4, 102), event('end', 9, 70)],
  ]);
  const { spans, endsWithoutBegin } = await readSpans(reader, files, { begin: 100, end: 100 });
  assert.deepEqual(
    spans.map(({ id, begin, end, open }) => ({ id, begin, end, open })),
    [
      { id: 1, begin: 0, end: 100, open: false },
      { id: 3, begin: 90, end: OPEN_END, open: true },
    ],
  );
  assert.equal(endsWithoutBegin, 1);
});

test('an end that two clocks put before its begin closes the span at its begin', async () => {
  await using reader = new ParquetReader();
  const common = { id: 1, parent: 0, depth: 0 };
  const files = await writeEvents([
    [
      { ...common, kind: 'end', time: 10 },
      { ...common, kind: 'begin', time: 12 },
    ],
  ]);
  const { spans } = await readSpans(reader, files);
  assert.deepEqual(
    spans.map(({ begin, end, open }) => ({ begin, end, open })),
    [{ begin: 12, end: 12, open: false }],
  );
});

test('no files give no spans', async () => {
  await using reader = new ParquetReader();
  assert.deepEqual(await readSpans(reader, []), { spans: [], endsWithoutBegin: 0 });
});

test('more events than fit the memory limit are paired through the spill directory', async () => {
  const spill = await mkdtemp(join(dir, 'spill-'));
  const count = 400_000;
  const events: Event[] = [];
  for (let id = 1; id <= count; id += 1) {
    const time = (id * 7919) % count;
    events.push({ id, time, kind: 'begin', parent: 0, depth: 0 });
    events.push({ id, time: time + count, kind: 'end', parent: 0, depth: 0 });
  }
  const files = await writeEvents([events.slice(0, count), events.slice(count)]);
  const memoryLimitBytes = 32 * 2 ** 20;
  await using confined = new ParquetReader({ memoryLimitBytes });
  await assert.rejects(readSpans(confined, files, undefined, 1000), {
    code: 'parquet.read-failed',
  });
  await using reader = new ParquetReader({ memoryLimitBytes, tempDir: spill });
  const { spans } = await readSpans(reader, files, undefined, 1000);
  assert.equal(spans.length, count);
  spans.forEach((span, i) => {
    if (i > 0) assert.ok(span.begin >= (spans[i - 1]?.begin ?? 0));
    assert.equal(span.end, span.begin + count);
  });
});

test('an abort ends pairing in memory and a join in progress within a second', async () => {
  const events: Event[] = [];
  for (let id = 1; id <= 600_000; id += 1) {
    events.push({ id, time: id, kind: 'begin', parent: 0, depth: 0 });
    events.push({ id, time: id + 5, kind: 'end', parent: 0, depth: 0 });
  }
  const files = await writeEvents([events]);
  for (const [delayMs, heldSpansMax] of [
    [0, 1000],
    [20, 1],
    [100, 1],
    [20, 1000],
  ] as const) {
    await using reader = new ParquetReader();
    const controller = new AbortController();
    const work = (async () => {
      const paired = new PairedAsyncSpans({
        reader,
        files,
        range: { beginNs: 0n, endNs: BASE_NS * 2n },
        openEndNs: BASE_NS,
        heldSpansMax,
        signal: controller.signal,
      });
      for await (const _ of paired.batches());
    })();
    const failed = assert.rejects(work, { code: 'parquet.aborted' });
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    const abortedAt = performance.now();
    controller.abort(new Error('client gone'));
    await failed;
    assert.ok(performance.now() - abortedAt < 1000, `took ${performance.now() - abortedAt} ms`);
  }
});
