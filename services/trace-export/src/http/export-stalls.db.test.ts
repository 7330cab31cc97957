/**
 * Scenario: real HTTP over loopback, real Parquet files, the real background task; the catalog is a snapshot
 * made for the test.
 * Guarantees: a reader that stalls and comes back gets the whole trace; one that leaves, and a generator that
 * fails, while the channel is full, both end within a second and leave nothing: no task, no file, no place.
 */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { xxHash64OfText } from '@tracelake/bus';
import { LakeReadingError } from '@tracelake/lake-reading';
import {
  createHttpServer,
  createLogger,
  createMetrics,
  type Metrics,
} from '@tracelake/service-kit';
import type { ProcessRepository, ProcessSnapshot } from '@tracelake/storage';
import { decodeTrace } from '@tracelake/test-kit';
import { tableFromIPC } from 'apache-arrow';
import { PROCESS_ID, SpanFiles, samplePlan, sampleProcess } from '../../test/span-files.ts';
import { ExportLimiter } from '../export-limiter.ts';
import { TelemetryEvents } from '../telemetry-events.ts';
import { startTrace, type TraceStream } from '../trace-generation.ts';
import type { PartitionFile, TracePlan } from '../trace-plan.ts';
import { problemOfExportError } from './error-response.ts';
import { registerRoutes } from './routes.ts';

const SPAN_COUNT = 300_000;
const LIMITS = {
  chunkBytes: 8192,
  channelChunks: 16,
  openSpansMax: 1_000_000,
  queryMemoryBytes: 128 * 2 ** 20,
};

let dir = '';
let tempDir = '';
let files: SpanFiles;
let large: PartitionFile;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tracelake-stalls-'));
  tempDir = join(dir, 'temp');
  await mkdir(tempDir);
  files = new SpanFiles(dir);
  large = await files.writeThread(
    Array.from({ length: SPAN_COUNT }, (_, i) => ({
      id: i,
      parent: -1,
      depth: 1,
      begin: 100 * i,
      end: 100 * i + 90,
      name: `call ${i % 50}`,
    })),
  );
});
after(async () => {
  await rm(dir, { recursive: true, force: true });
});

interface Stage extends AsyncDisposable {
  readonly url: string;
  readonly limiter: ExportLimiter;
  readonly metrics: Metrics;
  /** The exports started, oldest first. */
  readonly traces: TraceStream[];
  /** Ends the lease of every export, as a lost database does. */
  readonly loseLease: () => void;
}

interface StageOptions {
  readonly plan?: () => TracePlan;
  readonly exportsMax?: number;
  readonly stallTimeoutMs?: number;
  readonly ensureFresh?: (signal: AbortSignal) => Promise<void>;
}

async function openStage(options: StageOptions = {}): Promise<Stage> {
  const logger = createLogger({ service: 'trace-export', level: 'silent' });
  const metrics = createMetrics({ service: 'trace-export' });
  const server = createHttpServer({
    logger,
    metrics,
    checks: {},
    apiKeys: [],
    allowAnonymous: false,
    bind: '127.0.0.1',
    port: 0,
    healthCheckTimeoutMs: 1000,
    requestTimeoutS: 60,
    problemOf: problemOfExportError,
  });
  const limiter = new ExportLimiter(options.exportsMax ?? 8);
  const lease = new AbortController();
  const traces: TraceStream[] = [];
  const snapshot: ProcessSnapshot = {
    process: sampleProcess(),
    streams: new Map(),
    calibrationCandidates: [],
    lastBlockEndNs: undefined,
    moment: { seen: '', takenUs: 0n },
    instances: [],
  };
  registerRoutes(server.app, {
    limiter,
    events: new TelemetryEvents(logger, metrics),
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
    openReadLease: async () => ({ lost: lease.signal, [Symbol.asyncDispose]: async () => {} }),
    ensureFresh: async (_, signal) => {
      await options.ensureFresh?.(signal);
      return { snapshot, builtCount: 0, times: { lookMs: 1, requestMs: 2, buildMs: 3 } };
    },
    startTrace: (_, compress, signal) => {
      const plan = options.plan?.() ?? samplePlan({ threads: [[large]] });
      const hash = xxHash64OfText;
      const { objects } = files;
      const trace = startTrace({ plan, objects, tempDir, hash, compress, limits: LIMITS, signal });
      traces.push(trace);
      return trace;
    },
    processes: {} as ProcessRepository,
  });
  const url = await server.listen();
  return {
    url: `${url}/v1/processes/${PROCESS_ID}/trace`,
    limiter,
    metrics,
    traces,
    loseLease: () => lease.abort(new Error('lease lost')),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A request whose body is not read until somebody does. */
function open(url: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false, headers }, resolve).on('error', reject);
  });
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

async function until(condition: () => boolean, what: string, limitMs = 5000): Promise<number> {
  const startedMs = performance.now();
  while (!condition()) {
    assert.ok(performance.now() - startedMs < limitMs, `not within ${limitMs} ms: ${what}`);
    await sleep(5);
  }
  return performance.now() - startedMs;
}

/** Waits until the generator stands before a full channel. */
async function untilFull({ traces }: Stage): Promise<void> {
  await until(
    () => traces[0]?.channel.depth === LIMITS.channelChunks,
    'the channel is full',
    20_000,
  );
  await sleep(100);
  assert.equal(traces[0]?.channel.depth, LIMITS.channelChunks, 'the generator waits');
}

async function assertNothingLeft(stage: Stage): Promise<void> {
  const elapsedMs = await until(
    () => stage.limiter.inFlight === 0,
    'the place is given back',
    1000,
  );
  await stage.traces[0]?.done.catch(() => {});
  assert.ok(elapsedMs < 1000);
  assert.deepEqual(await readdir(tempDir), []);
}

test('a reader that stalls stops the generator, and gets the whole trace when it resumes', async () => {
  await using stage = await openStage();
  const response = await open(stage.url);
  await untilFull(stage);
  const sentWhileStalled = stage.traces[0]?.stats.sentCount ?? 0;
  await sleep(300);
  assert.equal(stage.traces[0]?.stats.sentCount, sentWhileStalled);
  const trace = decodeTrace(await readAll(response));
  assert.deepEqual(trace.problems, []);
  assert.equal(trace.sliceCount, SPAN_COUNT);
  assert.equal(stage.traces[0]?.stats.maxDepth, LIMITS.channelChunks);
  await assertNothingLeft(stage);
});

test('a reader that leaves while the channel is full ends everything within a second', async () => {
  await using stage = await openStage();
  const response = await open(stage.url);
  await untilFull(stage);
  response.destroy();
  await assertNothingLeft(stage);
  await assert.rejects(stage.traces[0]?.done ?? Promise.resolve(), {
    code: 'trace-export.client-gone',
  });
  assert.match(
    await stage.metrics.render(),
    /tracelake_exports_total\{outcome="client-gone"[^}]*\} 1/,
  );
});

test('a generator that fails while the channel is full cuts the connection within a second', async () => {
  await using stage = await openStage();
  const response = await open(stage.url);
  await untilFull(stage);
  const failedMs = performance.now();
  stage.loseLease();
  await assert.rejects(readAll(response), { code: 'ECONNRESET' });
  assert.ok(performance.now() - failedMs < 1000);
  await assertNothingLeft(stage);
  assert.match(await stage.metrics.render(), /tracelake_exports_total\{outcome="aborted"[^}]*\} 1/);
});

test('a failure after the first byte cuts the connection, one before it is a problem document', async () => {
  const missing = { objectKey: 'none.parquet', minBeginNs: 0n };
  {
    await using stage = await openStage({
      plan: () => samplePlan({ threads: [[large], [missing]] }),
    });
    await assert.rejects(open(stage.url).then(readAll), { code: 'ECONNRESET' });
    await assertNothingLeft(stage);
  }
  {
    await using stage = await openStage({ plan: () => samplePlan({ threads: [[missing]] }) });
    const response = await open(stage.url);
    assert.equal(response.statusCode, 503);
    assert.equal(response.headers['content-type'], 'application/problem+json');
    assert.match((await readAll(response)).toString(), /parquet.read-failed/);
    await assertNothingLeft(stage);
  }
});

test('a reader that takes nothing for too long is given up', async () => {
  await using stage = await openStage({ stallTimeoutMs: 300 });
  const response = await open(stage.url);
  await untilFull(stage);
  await assertNothingLeft(stage);
  await assert.rejects(readAll(response), { code: 'ECONNRESET' });
});

test('a client that leaves during the wait for a build ends the wait', async () => {
  let aborted = false;
  await using stage = await openStage({
    ensureFresh: (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          reject(signal.reason);
        });
      }),
  });
  const request = get(stage.url, { agent: false });
  request.on('error', () => {});
  await until(() => stage.limiter.inFlight === 1, 'the request has come');
  request.destroy();
  await until(() => aborted, 'the wait is ended', 1000);
  await assertNothingLeft(stage);
});

test('one export more than are served at once is told to come back', async () => {
  await using stage = await openStage({ exportsMax: 1 });
  const first = await open(stage.url);
  await untilFull(stage);
  const second = await open(stage.url);
  assert.equal(second.statusCode, 503);
  assert.equal(second.headers['retry-after'], '1');
  assert.match((await readAll(second)).toString(), /trace-export.busy/);
  first.destroy();
  await assertNothingLeft(stage);
});

test('record batches hold the same bytes in numbered chunks of 8 KiB', async () => {
  await using stage = await openStage();
  const plain = await readAll(await open(stage.url));
  const response = await open(stage.url, { accept: 'application/vnd.apache.arrow.stream' });
  assert.equal(response.headers['content-type'], 'application/vnd.apache.arrow.stream');
  const table = tableFromIPC(await readAll(response));
  const parts: Uint8Array[] = [];
  for (const [index, row] of [...table].entries()) {
    assert.equal(row?.chunk_id, index);
    parts.push(row?.chunk_data as Uint8Array);
  }
  assert.ok(parts.slice(0, -1).every((part) => part.length === 8192));
  assert.ok(Buffer.concat(parts).equals(plain));
});

test('the answer names the file, the blocks, the source and where the first byte waited', async () => {
  await using stage = await openStage();
  const response = await open(`${stage.url}?spans=thread`);
  assert.equal(response.headers['content-type'], 'application/octet-stream');
  assert.equal(
    response.headers['content-disposition'],
    `attachment; filename="trace-${PROCESS_ID}-thread.pftrace"`,
  );
  assert.equal(response.headers['tracelake-blocks-known'], '0');
  assert.match(String(response.headers['tracelake-source-hash']), /^[0-9a-f]{64}$/);
  assert.match(
    String(response.headers['server-timing']),
    /^lease;dur=[\d.]+, look;dur=1\.0, request;dur=2\.0, build;dur=3\.0, first-chunk;dur=[\d.]+$/,
  );
  response.destroy();
});

test('a build that takes too long is a 504 before any byte', async () => {
  await using stage = await openStage({
    ensureFresh: async () => {
      throw new LakeReadingError('lake-reading.build-timeout', 'not built', { retryable: true });
    },
  });
  const response = await open(stage.url);
  assert.equal(response.statusCode, 504);
  response.resume();
});
