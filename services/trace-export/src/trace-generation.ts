/**
 * The background task of an export: Parquet rows -> packets -> chunks on a bounded channel. It advances only
 * as fast as the channel is emptied, and it ends in one of three ways: the channel is closed after the last
 * chunk, it fails with the task's error, or its reader cancels it, which ends the task.
 */

import { BoundedChannel, type ChannelStats } from '@tracelake/channels';
import { ObjectFiles, type ReadableObjects } from '@tracelake/lake-reading';
import { type Chunk, ChunkSender } from '@tracelake/lakehouse';
import {
  type EventFile,
  mergeSpanFiles,
  PairedAsyncSpans,
  ParquetReader,
} from '@tracelake/parquet';
import { PacketCompressor, type TextHash } from '@tracelake/perfetto';
import type { TraceCompression } from './export-request.ts';
import { TraceAssembly, type TraceSummary } from './trace-assembly.ts';
import type { TracePlan } from './trace-plan.ts';

export interface GenerationLimits {
  readonly chunkBytes: number;
  readonly channelChunks: number;
  readonly openSpansMax: number;
  readonly queryMemoryBytes: number;
}

export interface GenerationOptions {
  readonly plan: TracePlan;
  readonly objects: ReadableObjects;
  readonly tempDir: string;
  readonly hash: TextHash;
  readonly compress: TraceCompression;
  readonly limits: GenerationLimits;
  readonly signal: AbortSignal;
}

export interface GeneratedTrace extends TraceSummary {
  /** Async end events whose begin no block has. */
  readonly endsWithoutBegin: number;
  /** Files of async events that were not in order of time, as no builder leaves them. */
  readonly sortedFileCount: number;
}

/** A trace under way. Disposing of it ends the task and waits until all it held is given back. */
export class TraceStream implements AsyncDisposable {
  readonly channel: BoundedChannel<Chunk>;
  /** Resolves once the whole trace is in the channel; rejects with what ended the task. */
  readonly done: Promise<GeneratedTrace>;
  readonly #abort: AbortController;

  constructor(
    channel: BoundedChannel<Chunk>,
    done: Promise<GeneratedTrace>,
    abort: AbortController,
  ) {
    this.channel = channel;
    this.done = done;
    this.#abort = abort;
    // Whoever disposes of the stream without asking for the outcome has no use for it.
    done.catch(() => {});
  }

  get stats(): ChannelStats {
    return this.channel.stats;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.channel.cancel();
    this.#abort.abort();
    await this.done.catch(() => {});
  }
}

/** Starts the task and returns at once. */
export function startTrace(options: GenerationOptions): TraceStream {
  const { limits } = options;
  const channel = new BoundedChannel<Chunk>({
    capacity: limits.channelChunks,
    name: 'trace chunks',
  });
  const abort = new AbortController();
  const signal = AbortSignal.any([options.signal, abort.signal]);
  const done = generate({ ...options, signal }, channel).then(
    (summary) => {
      channel.close();
      return summary;
    },
    (error: unknown) => {
      const cause = signal.aborted ? signal.reason : error;
      channel.fail(cause);
      throw cause;
    },
  );
  return new TraceStream(channel, done, abort);
}

async function generate(
  { plan, objects, tempDir, hash, compress, limits, signal }: GenerationOptions,
  channel: BoundedChannel<Chunk>,
): Promise<GeneratedTrace> {
  signal.throwIfAborted();
  const sender = new ChunkSender(channel, limits.chunkBytes, signal);
  await using compressor = compress === 'deflate' ? new PacketCompressor(sender) : undefined;
  const sink = compressor ?? sender;
  const { openSpansMax } = limits;
  const assembly = new TraceAssembly({ plan, sink, hash, openSpansMax });
  await using files = await ObjectFiles.create(objects, tempDir, signal);
  await using reader = new ParquetReader({
    memoryLimitBytes: limits.queryMemoryBytes,
    tempDir: files.spillDir,
  });
  await assembly.writeTracks();
  for (const thread of plan.threads) {
    if (thread.files.length === 0) continue;
    // Each is opened when the merge reaches it.
    const spanFiles = thread.files.map(({ objectKey, minBeginNs }) => ({
      minBeginNs,
      open: () => files.open(objectKey),
    }));
    const request = { reader, files: spanFiles, range: plan.range, signal };
    await assembly.writeThread(thread, mergeSpanFiles(request));
  }
  const work = { plan, files, reader, assembly, heldSpansMax: openSpansMax, signal };
  const { endsWithoutBegin, sortedFileCount } = await writeAsyncSpans(work);
  await assembly.finish();
  return { ...assembly.summary, endsWithoutBegin, sortedFileCount };
}

interface AsyncSpanWork {
  readonly plan: TracePlan;
  readonly files: ObjectFiles;
  readonly reader: ParquetReader;
  readonly assembly: TraceAssembly;
  readonly heldSpansMax: number;
  readonly signal: AbortSignal;
}

async function writeAsyncSpans(work: AsyncSpanWork): Promise<PairedAsyncSpans> {
  const { plan, files, reader, assembly, heldSpansMax, signal } = work;
  await using held = new AsyncDisposableStack();
  const eventFiles: EventFile[] = [];
  for (const { objectKey, minBeginNs } of plan.asyncFiles) {
    const { path } = held.use(await files.open(objectKey));
    eventFiles.push({ path, minTimeNs: minBeginNs });
  }
  const { range, openEndNs } = plan;
  const request = { reader, files: eventFiles, range, openEndNs, heldSpansMax, signal };
  const paired = new PairedAsyncSpans(request);
  await assembly.writeAsyncSpans(paired.batches());
  return paired;
}
