/**
 * From DuckDB's chunks to bytes in the parent's pipe. While one chunk is encoded the next is fetched and the one
 * before is written, no more: memory does not grow with the answer or with a reader's slowness.
 */

import type { Socket } from 'node:net';
import type { DuckDBResult } from '@duckdb/node-api';
import { ArrowEncoder } from './arrow-encoding.ts';
import { freeCopies } from './column-memory.ts';
import { CsvEncoder } from './csv-encoding.ts';
import { EngineError } from './engine-error.ts';
import { JsonEncoder } from './json-encoding.ts';
import type { ResultFormat, RunLimits, RunRequest, RunSummary } from './protocol.ts';
import { type ResultColumn, resultColumns } from './result-columns.ts';
import type { ResultEncoder } from './result-encoder.ts';
import { WorkClock } from './work-clock.ts';

/** What of a session the stream needs. */
interface StatementRunner {
  start(request: RunRequest): Promise<DuckDBResult>;
  confirmEnd(rowsGiven: number): Promise<void>;
  interrupt(): void;
}

/** Runs the statement and writes its answer; `onStarted` is told before the first byte. */
export async function streamResult(
  runner: StatementRunner,
  request: RunRequest,
  pipe: BodyPipe,
  onStarted: () => void,
): Promise<RunSummary> {
  const clock = new WorkClock(request.limits.timeMs, () => runner.interrupt());
  const result = await clock.measure(() => runner.start(request));
  const encoder = createEncoder(request.format, resultColumns(result));
  const tally = new Tally(request.limits);
  let chunk = await clock.measure(() => result.fetchChunk());
  if (chunk === null || chunk.rowCount === 0) await clock.measure(() => runner.confirmEnd(0));
  onStarted();
  let written = pipe.write(tally.bytes(encoder.begin()));
  while (chunk !== null && chunk.rowCount > 0) {
    const next = clock.measure(() => result.fetchChunk());
    // Met below, unless what goes before fails first.
    next.catch(() => undefined);
    tally.rows(chunk.rowCount);
    const bytes = tally.bytes(encoder.add(chunk));
    freeCopies();
    await written;
    written = pipe.write(bytes);
    written.catch(() => undefined);
    releaseChunks();
    chunk = await next;
  }
  await runner.confirmEnd(tally.summary().rows);
  await written;
  await pipe.write(tally.bytes(encoder.end()));
  return tally.summary();
}

function createEncoder(format: ResultFormat, columns: readonly ResultColumn[]): ResultEncoder {
  switch (format) {
    case 'json':
      return new JsonEncoder(columns, 'array');
    case 'ndjson':
      return new JsonEncoder(columns, 'lines');
    case 'csv':
      return new CsvEncoder(columns);
    case 'arrow':
      return new ArrowEncoder(columns);
  }
}

/** Counts what is sent and refuses more than the limits. */
class Tally {
  readonly #limits: RunLimits;
  #rows = 0;
  #bytes = 0;

  constructor(limits: RunLimits) {
    this.#limits = limits;
  }

  rows(count: number): void {
    this.#rows += count;
    if (this.#rows <= this.#limits.rowsMax) return;
    const message = `the result has more than the ${this.#limits.rowsMax} rows that are allowed`;
    throw new EngineError('query.result-too-large', message);
  }

  bytes(bytes: Uint8Array): Uint8Array {
    this.#bytes += bytes.byteLength;
    if (this.#bytes <= this.#limits.bytesMax) return bytes;
    const message = `the result is longer than the ${this.#limits.bytesMax} bytes that are allowed`;
    throw new EngineError('query.result-too-large', message);
  }

  summary(): RunSummary {
    return { rows: this.#rows, bytes: this.#bytes };
  }
}

/** The writing side of the pipe of answers, which follow each other: the reader is told how long each is. */
export class BodyPipe {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    // A reader that has gone is met by the next write.
    socket.on('error', () => undefined);
  }

  /** Resolves once the pipe wants more. */
  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength === 0) return;
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(readerGone(error)) : resolve()));
    });
  }
}

function readerGone(cause: Error): EngineError {
  return new EngineError('query.cancelled', 'nobody reads the answer any more', { cause });
}

/** Chunks between two collections of the young generation: some 8 MB of native memory. */
const CHUNKS_BETWEEN = 64;
let chunksSince = 0;

/**
 * A chunk's native memory is freed when its handle is collected, and V8 sees a handle of a few bytes.
 * The child runs with --expose-gc for this.
 */
function releaseChunks(): void {
  chunksSince += 1;
  if (chunksSince < CHUNKS_BETWEEN) return;
  chunksSince = 0;
  globalThis.gc?.({ type: 'minor' });
}
