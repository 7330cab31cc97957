/**
 * Rows of spans become packets: tracks first, then each thread's spans, then the async ones. Everything that
 * is written depends on the plan and on the rows in their order, so the same trace has the same bytes.
 *
 * The loops over rows are the hot path (bench/export.bench.ts): times stay two 32-bit halves, read from the
 * words of the columns, and nothing is allocated per span except for those that begin with their chain.
 */

import type { SpanBatch, SpanSlice } from '@tracelake/parquet';
import {
  assignThreadIds,
  type PacketSink,
  pidOf,
  shortProgramName,
  type TextHash,
  TraceWriter,
  type Track,
  TrackUuids,
} from '@tracelake/perfetto';
import { AsyncTracks } from './async-tracks.ts';
import { describeProcess } from './process-description.ts';
import './lasting-tracks.ts';
import { ScopeCache } from './scope-cache.ts';
import { ThreadTracks } from './thread-tracks.ts';
import type { ThreadPlan, TracePlan } from './trace-plan.ts';

/** Bytes gathered before they are handed on: a few chunks, so that awaiting costs little per span. */
const FLUSH_BYTES = 64 * 1024;

export interface AssemblyOptions {
  readonly plan: TracePlan;
  /** Takes whole packets. */
  readonly sink: PacketSink;
  readonly hash: TextHash;
  /** Async spans held open at once; the rest become instants. */
  readonly openSpansMax: number;
}

export interface TraceSummary {
  readonly packetCount: number;
  readonly spanCount: number;
  /** Spans written as instants because too many were open. */
  readonly instantCount: number;
  readonly openSpansMax: number;
}

export class TraceAssembly {
  readonly #writer = new TraceWriter();
  readonly #sink: PacketSink;
  readonly #plan: TracePlan;
  readonly #uuids: TrackUuids;
  readonly #hash: TextHash;
  readonly #openSpansMax: number;
  readonly #scopes = new ScopeCache();
  readonly #threads = new Map<string, Track>();
  #process: Track | undefined;
  #spanCount = 0;
  #instantCount = 0;
  #openSeenMax = 0;

  constructor(options: AssemblyOptions) {
    this.#plan = options.plan;
    this.#sink = options.sink;
    this.#hash = options.hash;
    this.#uuids = new TrackUuids(options.hash);
    this.#openSpansMax = options.openSpansMax;
  }

  get summary(): TraceSummary {
    return {
      packetCount: this.#writer.packetCount,
      spanCount: this.#spanCount,
      instantCount: this.#instantCount,
      openSpansMax: this.#openSeenMax,
    };
  }

  /** Declares the process and its threads; must come first. */
  async writeTracks(): Promise<void> {
    const { process, threads } = this.#plan;
    const pid = pidOf(process.processId, this.#hash);
    const tids = new Map(
      assignThreadIds(pid, threads, this.#hash).map(({ streamId, tid }) => [streamId, tid]),
    );
    this.#process = this.#writer.writeProcess({
      uuid: this.#uuids.next(process.processId),
      pid,
      name: shortProgramName(process.exe) || process.processId,
      commandLine: process.exe,
      startNs: process.startNs,
      description: describeProcess(process),
    });
    for (const { streamId, name } of threads) {
      const uuid = this.#uuids.next(streamId);
      const tid = tids.get(streamId) ?? 0;
      const track = this.#writer.writeThread({ uuid, pid, tid, name }, this.#process);
      this.#threads.set(streamId, track);
      await this.#flushIfFull();
    }
  }

  /** Writes one thread's spans, given in order of (begin, id). */
  async writeThread(thread: ThreadPlan, slices: AsyncIterable<SpanSlice>): Promise<void> {
    const track = this.#threads.get(thread.streamId);
    if (track === undefined) return;
    const tracks = new ThreadTracks({
      writer: this.#writer,
      uuids: this.#uuids,
      scopes: this.#scopes,
      thread: track,
      streamId: thread.streamId,
      openSpansMax: this.#openSpansMax,
    });
    for await (const { batch, from, to } of slices) await this.#writeRows(tracks, batch, from, to);
    tracks.finish();
    this.#spanCount += tracks.spanCount;
    this.#instantCount += tracks.instantCount;
    await this.#flushIfFull();
  }

  /** Writes the process's async spans, given in order of begin. */
  async writeAsyncSpans(batches: AsyncIterable<SpanBatch>): Promise<void> {
    if (this.#process === undefined) return;
    const tracks = new AsyncTracks({
      writer: this.#writer,
      uuids: this.#uuids,
      scopes: this.#scopes,
      process: this.#process,
      processId: this.#plan.process.processId,
      openSpansMax: this.#openSpansMax,
    });
    for await (const batch of batches) await this.#writeRows(tracks, batch, 0, batch.rowCount);
    tracks.finish();
    this.#spanCount += tracks.spanCount;
    this.#instantCount += tracks.instantCount;
    this.#openSeenMax = Math.max(this.#openSeenMax, tracks.openSeenMax);
    await this.#flushIfFull();
  }

  /** Hands on the last bytes, in a chunk of any size. */
  async finish(): Promise<void> {
    await this.#flush();
    await this.#sink.flush();
  }

  async #writeRows(
    tracks: ThreadTracks | AsyncTracks,
    batch: SpanBatch,
    from: number,
    to: number,
  ): Promise<void> {
    tracks.openBatch(batch);
    for (let row = from; row < to; ) {
      row = tracks.writeRows(row, to, FLUSH_BYTES);
      await this.#flushIfFull();
    }
  }

  async #flushIfFull(): Promise<void> {
    if (this.#writer.pendingBytes >= FLUSH_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#writer.pendingBytes === 0) return;
    await this.#sink.writeAll(this.#writer.pending());
    this.#writer.clearPending();
  }
}
