/**
 * One measured run of one shape, in a process of its own so that its memory and CPU time are nobody else's: reads its
 * `PipelineRunRequest` as JSON from stdin and answers with a `PipelineRun` on stdout.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { Workload, WorkloadBlock } from './bench-workload.ts';
import { type DecodedColumns, DecodeThreads } from './decode-threads.ts';
import { type PipelineShape, runShape, StageTimes } from './pipeline-variants.ts';

export interface PipelineRunRequest {
  readonly workload: Workload;
  readonly shape: PipelineShape;
  readonly workers: number;
  readonly channelDepth: number;
  /** Each block is synced to the disk before the next is written. */
  readonly syncEach: boolean;
  readonly outputFile: string;
}

export interface PipelineRun {
  readonly wallMs: number;
  /** Of all threads. */
  readonly cpuMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly events: number;
  /** Payloads read and columns decoded that were held at once, at most. */
  readonly heldBytesMax: number;
  /** Memory of the process above what it had before the first block. */
  readonly rssGrowthBytes: number;
  readonly rssMaxBytes: number;
  readonly stageMs: Readonly<Record<string, number>>;
  readonly isInOrder: boolean;
  /** Of what was written. */
  readonly sha256: string;
}

const RSS_SAMPLE_MS = 5;
/** Blocks for each thread before anything is measured: by then its code is compiled. */
const WARM_UP_BLOCKS = 6;

interface ReadBlock {
  readonly sequence: number;
  readonly payload: Uint8Array;
  readonly types: number;
}

interface DecodedBlock {
  readonly sequence: number;
  readonly columns: DecodedColumns;
  readonly bytes: number;
}

class HeldBytes {
  #now = 0;
  max = 0;

  change(bytes: number): void {
    this.#now += bytes;
    this.max = Math.max(this.max, this.#now);
  }
}

async function main(): Promise<void> {
  const request = JSON.parse(await text(process.stdin)) as PipelineRunRequest;
  const { workload, workers } = request;
  await using threads = new DecodeThreads(workers, workload.types);
  const warmUp = workload.blocks.slice(0, WARM_UP_BLOCKS * workers);
  await measure({ ...request, workload: { ...workload, blocks: warmUp } }, threads);
  const run = await measure(request, threads);
  process.stdout.write(JSON.stringify(run));
}

async function measure(request: PipelineRunRequest, threads: DecodeThreads): Promise<PipelineRun> {
  const { workload, shape, workers, channelDepth, outputFile, syncEach } = request;
  await using file = await open(outputFile, 'w');
  globalThis.gc?.();
  const rssBefore = process.memoryUsage.rss();
  let rssMax = rssBefore;
  const sampler = setInterval(() => {
    rssMax = Math.max(rssMax, process.memoryUsage.rss());
  }, RSS_SAMPLE_MS);
  const held = new HeldBytes();
  const output = new ColumnFile(file, syncEach);
  const times = new StageTimes();
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  await runShape<ReadBlock, DecodedBlock>(
    shape,
    {
      read: () => readBlocks(workload.blocks, held),
      work: (block) => decode(block, threads, held),
      write: async (block) => {
        await output.append(block);
        held.change(-block.bytes);
      },
      workers,
      channelDepth,
      signal: new AbortController().signal,
    },
    times,
  );
  const wallMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpuBefore);
  clearInterval(sampler);
  const { bytes: bytesOut, events, isInOrder } = output;
  return {
    wallMs,
    cpuMs: (user + system) / 1000,
    bytesIn: workload.blocks.reduce((sum, block) => sum + block.bytes, 0),
    bytesOut,
    events,
    heldBytesMax: held.max,
    rssGrowthBytes: rssMax - rssBefore,
    rssMaxBytes: rssMax,
    stageMs: times.toJSON(),
    isInOrder,
    sha256: await hashAndRemove(outputFile),
  };
}

async function* readBlocks(
  blocks: readonly WorkloadBlock[],
  held: HeldBytes,
): AsyncGenerator<ReadBlock, void, undefined> {
  for (const [sequence, { file, types }] of blocks.entries()) {
    const bytes = await readFile(file);
    // A buffer that is moved to a thread must be the block's own.
    const isOwn = bytes.buffer.byteLength === bytes.byteLength;
    const payload = isOwn ? bytes : new Uint8Array(bytes);
    held.change(payload.length);
    yield { sequence, payload, types };
  }
}

async function decode(
  { sequence, payload, types }: ReadBlock,
  threads: DecodeThreads,
  held: HeldBytes,
): Promise<DecodedBlock> {
  const payloadBytes = payload.length;
  const columns = await threads.decode({ payload, types });
  const bytes = columns.arrays.reduce((sum, array) => sum + array.length, 0);
  held.change(bytes - payloadBytes);
  return { sequence, columns, bytes };
}

/** A file of blocks, each a count of events and its columns. */
class ColumnFile {
  readonly #file: FileHandle;
  readonly #syncEach: boolean;
  #nextSequence = 0;
  bytes = 0;
  events = 0;
  isInOrder = true;

  constructor(file: FileHandle, syncEach: boolean) {
    this.#file = file;
    this.#syncEach = syncEach;
  }

  async append({ sequence, columns }: DecodedBlock): Promise<void> {
    this.isInOrder &&= sequence === this.#nextSequence;
    this.#nextSequence++;
    this.events += columns.eventCount;
    const header = Uint32Array.of(columns.eventCount);
    const { bytesWritten } = await this.#file.writev([header, ...columns.arrays]);
    this.bytes += bytesWritten;
    if (this.#syncEach) await this.#file.datasync();
  }
}

async function hashAndRemove(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  await rm(path);
  return hash.digest('hex');
}

await main();
