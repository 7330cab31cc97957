/**
 * Scenario: recordings of real clients go through ingest and the materializer (processes of their own, real
 * Postgres, real nats-server) and leave as traces.
 * Guarantees: every trace holds exactly the slices that the reference's rows stand for, on their tracks, to
 * the nanosecond where the client knew its clock; nothing in it trips a viewer; its bytes are the same cold,
 * warm and for everybody who asks at once.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { xxHash64OfText } from '@tracelake/bus';
import {
  type CsvTable,
  type DecodedSlice,
  type DecodedTrace,
  decodeTrace,
  fixtureCases,
  inflateTrace,
  loadFixture,
  type NativeFixture,
  RecordingBuilder,
} from '@tracelake/test-kit';
import { startTestLake, type TestLake } from '../test/lake.ts';

let lake: TestLake;
before(async () => {
  lake = await startTestLake();
});
after(() => lake[Symbol.asyncDispose]());

interface ExpectedSlice {
  readonly track: string;
  readonly scope: string;
  readonly begin: bigint;
  readonly end: bigint;
  readonly isOpen: boolean | undefined;
}

type Row = Readonly<Record<string, string>>;

function rowsOf({ header, rows }: CsvTable): Row[] {
  return rows.map((row) => Object.fromEntries(header.map((name, i) => [name, row[i] ?? ''])));
}

const scopeOf = ({ name, target, filename, line }: Row) => `${name}|${target}|${filename}|${line}`;

function expectedThreadSlices(fixture: NativeFixture): ExpectedSlice[] {
  return fixture.expectedThreadSpanStreams().flatMap((streamId) =>
    rowsOf(fixture.expected(`thread_spans.${streamId}`))
      .filter(({ depth }) => depth !== '0')
      .map((row) => ({
        track: xxHash64OfText(streamId).toString(),
        scope: scopeOf(row),
        begin: BigInt(row.begin ?? 0),
        end: BigInt(row.end ?? 0),
        // The reference does not say.
        isOpen: undefined,
      })),
  );
}

/** A pair of events on their span id is a slice; a begin alone lasts to the end of the last block. */
function expectedAsyncSlices(fixture: NativeFixture): ExpectedSlice[] {
  const events = rowsOf(fixture.expected('async_events'));
  const ends = new Map(
    events.filter(({ event_type }) => event_type === 'end').map((row) => [row.span_id, row]),
  );
  const blocks = rowsOf(fixture.expected('blocks'));
  const lastBlockEnd = blocks
    .map((row) => BigInt(row.end_time ?? 0))
    .reduce((a, b) => (a > b ? a : b));
  return events
    .filter(({ event_type }) => event_type === 'begin')
    .map((row) => {
      const end = ends.get(row.span_id)?.time;
      return {
        track: 'async',
        scope: scopeOf(row),
        begin: BigInt(row.time ?? 0),
        end: end === undefined ? lastBlockEnd : BigInt(end),
        isOpen: end === undefined,
      };
    });
}

function actualSlices(trace: DecodedTrace): ExpectedSlice[] {
  return trace.slices.map((slice: DecodedSlice) => ({
    track: slice.track.kind === 'thread' ? slice.track.uuid.toString() : 'async',
    scope: `${slice.name}|${slice.category}|${slice.file}|${slice.line}`,
    begin: slice.beginNs,
    end: slice.endNs,
    isOpen: slice.open,
  }));
}

function inOrder(slices: ExpectedSlice[]): ExpectedSlice[] {
  const key = ({ track, begin, end, scope }: ExpectedSlice) =>
    `${track} ${begin.toString().padStart(20, '0')} ${end.toString().padStart(20, '0')} ${scope}`;
  return slices.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** Equal to the nanosecond, or within 1 % of the time since the process's start where it is estimated. */
function assertSlices(fixture: NativeFixture, actual: ExpectedSlice[], expected: ExpectedSlice[]) {
  const [process] = rowsOf(fixture.expected('processes'));
  const startNs = BigInt(process?.start_time ?? 0);
  const isExact = process?.tsc_frequency !== '0';
  const near = (a: bigint, b: bigint) => {
    const tolerance = isExact ? 0n : (b - startNs) / 100n;
    return a - b <= tolerance && b - a <= tolerance;
  };
  assert.equal(actual.length, expected.length, `${fixture.name}: slices`);
  const sorted = inOrder(actual);
  inOrder(expected).forEach((wanted, i) => {
    const slice = sorted[i];
    const what = `${fixture.name}: slice ${i} ${wanted.scope}`;
    assert.equal(slice?.track, wanted.track, what);
    assert.equal(slice?.scope, wanted.scope, what);
    assert.ok(near(slice?.begin ?? 0n, wanted.begin), `${what}: begin ${slice?.begin}`);
    assert.ok(near(slice?.end ?? 0n, wanted.end), `${what}: end ${slice?.end}, not ${wanted.end}`);
    if (wanted.isOpen !== undefined) assert.equal(slice?.isOpen, wanted.isOpen, what);
  });
}

async function exportTrace(
  processId: string,
  query = '',
): Promise<{ bytes: Uint8Array; headers: Headers }> {
  const response = await fetch(`${lake.exportUrl}/v1/processes/${processId}/trace${query}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  assert.equal(response.status, 200, Buffer.from(bytes).toString());
  return { bytes, headers: response.headers };
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

for (const name of fixtureCases()) {
  test(`the trace of the recording "${name}" holds exactly the slices it stands for`, async () => {
    const fixture = loadFixture(name);
    await lake.ingest(fixture.requests);
    const { bytes, headers } = await exportTrace(fixture.processId);
    const trace = decodeTrace(bytes);
    assert.deepEqual(trace.problems, []);
    const [threads, asyncs] = [expectedThreadSlices(fixture), expectedAsyncSlices(fixture)];
    assertSlices(fixture, actualSlices(trace), [...threads, ...asyncs]);
    assert.equal(headers.get('tracelake-blocks-rejected'), '0');
    assert.equal(headers.get('tracelake-blocks-read'), headers.get('tracelake-blocks-known'));
    const compressed = (await exportTrace(fixture.processId, '?compress=deflate')).bytes;
    assert.deepEqual({ ...decodeTrace(compressed), compressedPacketCount: 0 }, trace);
    assert.equal(sha256(inflateTrace(compressed)), sha256(bytes));
    const threadsOnly = decodeTrace((await exportTrace(fixture.processId, '?spans=thread')).bytes);
    assertSlices(fixture, actualSlices(threadsOnly), threads);
    const asyncOnly = decodeTrace((await exportTrace(fixture.processId, '?spans=async')).bytes);
    assertSlices(fixture, actualSlices(asyncOnly), asyncs);
  });
}

test('thread tracks carry the display name of their thread', async () => {
  const fixture = loadFixture('small');
  await lake.ingest(fixture.requests);
  const trace = decodeTrace((await exportTrace(fixture.processId)).bytes);
  for (const streamId of fixture.expectedThreadSpanStreams()) {
    const root = rowsOf(fixture.expected(`thread_spans.${streamId}`)).find(
      ({ depth }) => depth === '0',
    );
    const track = trace.tracks.find(({ uuid }) => uuid === xxHash64OfText(streamId));
    if (root !== undefined) assert.equal(track?.name, root.name);
  }
  assert.equal(trace.tracks[0]?.name, 'sample-app');
});

test('everybody who asks at once gets the same bytes, on a cold lake and on a warm one', async () => {
  const fixture = loadFixture('legacy-arrays');
  await using cold = await startTestLake();
  await cold.ingest(fixture.requests);
  const url = `${cold.exportUrl}/v1/processes/${fixture.processId}/trace`;
  const fetchHash = async () => {
    const response = await fetch(url);
    assert.equal(response.status, 200);
    return sha256(new Uint8Array(await response.arrayBuffer()));
  };
  const first = await Promise.all(Array.from({ length: 8 }, fetchHash));
  const later = [];
  for (let i = 0; i < 12; i += 1) later.push(await fetchHash());
  await lake.ingest(fixture.requests);
  const elsewhere = sha256((await exportTrace(fixture.processId)).bytes);
  assert.deepEqual([...new Set([...first, ...later, elsewhere])], [elsewhere]);
  const [workDirectory, ...others] = await readdir(cold.tempDir, { recursive: true });
  assert.match(String(workDirectory), /^tracelake-export-/);
  assert.deepEqual(others, [], 'an export leaves nothing in it');
});

test('an unknown process, a bad parameter and a process without blocks are told apart', async () => {
  const trace = (id: string, query = '') =>
    fetch(`${lake.exportUrl}/v1/processes/${id}/trace${query}`);
  const unknown = await trace('00000000-0000-4000-8000-000000000000');
  assert.equal(unknown.status, 404);
  assert.equal(unknown.headers.get('content-type'), 'application/problem+json');
  const { processId } = loadFixture('small');
  for (const query of ['?spans=all', '?begin=now', '?color=red', '?compress=gzip']) {
    assert.equal((await trace(processId, query)).status, 400, query);
  }
  assert.equal((await trace('..%2Fetc')).status, 400);
  const recording = new RecordingBuilder({ seed: 77 });
  await lake.ingest(recording.requests());
  const empty = decodeTrace((await exportTrace(recording.processId)).bytes);
  assert.deepEqual(empty.problems, []);
  assert.deepEqual(
    empty.tracks.map(({ kind, name }) => ({ kind, name })),
    [{ kind: 'process', name: 'synthetic-app' }],
  );
});

test('the list of processes can be searched', async () => {
  const fixture = loadFixture('small');
  await lake.ingest(fixture.requests);
  const response = await fetch(`${lake.exportUrl}/v1/processes?search=SAMPLE-app&limit=5`);
  const { processes } = (await response.json()) as { processes: Record<string, unknown>[] };
  const found = processes.find(({ process_id }) => process_id === fixture.processId);
  assert.equal(found?.exe, 'sample-app');
  assert.equal(found?.block_count, fixture.expected('blocks').rows.length);
  assert.equal(found?.span_stream_count, fixture.expectedThreadSpanStreams().length);
  assert.match(String(found?.start_time), /^\d{4}-.*Z$/);
  assert.equal((await fetch(`${lake.exportUrl}/v1/processes?limit=0`)).status, 400);
});

test('what is built is exported without the bus, and what is not is a 503 that names it', async () => {
  await using other = await startTestLake();
  const built = loadFixture('small');
  await other.ingest(built.requests);
  const url = `${other.exportUrl}/v1/processes`;
  const before = await fetch(`${url}/${built.processId}/trace`);
  const bytes = new Uint8Array(await before.arrayBuffer());
  await other.nats.stop();
  const again = await fetch(`${url}/${built.processId}/trace`);
  assert.equal(sha256(new Uint8Array(await again.arrayBuffer())), sha256(bytes));
  const later = loadFixture('open');
  await other.ingest(later.requests);
  const cold = await fetch(`${url}/${later.processId}/trace`);
  assert.equal(cold.status, 503);
  assert.match(await cold.text(), /bus/);
  await other.nats.start();
  let status = 0;
  for (let i = 0; i < 30 && status !== 200; i += 1) {
    const response = await fetch(`${url}/${later.processId}/trace`);
    await response.arrayBuffer();
    status = response.status;
  }
  assert.equal(status, 200);
});
