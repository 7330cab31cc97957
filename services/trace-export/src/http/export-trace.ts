/**
 * One export from request to last byte: find the partitions current, fix what is read, start the generator
 * in the background, send its chunks. Until the first chunk is there a failure is a problem document; after
 * it the connection is destroyed.
 */

import type { FreshnessTimes, FreshPartitions } from '@tracelake/lake-reading';
import { ClientConnection } from '@tracelake/service-kit';
import type { ProcessSnapshot } from '@tracelake/storage';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ArrowBody, PlainBody } from '../arrow-encoding.ts';
import { type SentBody, sendChunks } from '../chunked-response.ts';
import { ExportError } from '../export-error.ts';
import type { ExportLimiter } from '../export-limiter.ts';
import {
  ARROW_STREAM_TYPE,
  type ExportRequest,
  OCTET_STREAM_TYPE,
  parseExportRequest,
  rangeOf,
  type TraceCompression,
} from '../export-request.ts';
import type { ExportOutcome, TelemetryEvents } from '../telemetry-events.ts';
import type { TraceStream } from '../trace-generation.ts';
import { planTrace, type TracePlan } from '../trace-plan.ts';
import { unknownProcess } from './list-processes.ts';

export interface ReadLeaseLike extends AsyncDisposable {
  readonly lost: AbortSignal;
}

/** What an export needs of the rest of the service. */
export interface ExportPorts {
  readonly limiter: ExportLimiter;
  readonly events: TelemetryEvents;
  readonly stallTimeoutMs: number;
  openReadLease(signal: AbortSignal): Promise<ReadLeaseLike>;
  ensureFresh(
    request: ExportRequest,
    signal: AbortSignal,
  ): Promise<FreshPartitions<ProcessSnapshot>>;
  startTrace(plan: TracePlan, compress: TraceCompression, signal: AbortSignal): TraceStream;
}

export interface ExportRoute {
  readonly Params: { readonly process_id: string };
  readonly Querystring: Readonly<Record<string, unknown>>;
}

/** Handles `GET /v1/processes/{process_id}/trace`. */
export class TraceExporter {
  readonly #ports: ExportPorts;

  constructor(ports: ExportPorts) {
    this.#ports = ports;
  }

  async handle(request: FastifyRequest<ExportRoute>, reply: FastifyReply): Promise<void> {
    const { events, limiter } = this.#ports;
    let wanted: ExportRequest | undefined;
    const answer = new Answer(reply);
    try {
      wanted = parseExportRequest({
        processId: request.params.process_id,
        query: request.query,
        accept: request.headers.accept,
      });
      using _place = limiter.enter();
      await this.#exportTo(wanted, answer);
    } catch (error) {
      const outcome = outcomeOf(error, answer.hasBegun);
      events.exportEnded(outcome, wanted === undefined ? {} : factsOf(wanted), error);
      if (outcome === 'refused') throw error;
      answer.destroy();
    }
  }

  /** Whatever failed because the client went away failed for that reason. */
  async #exportTo(wanted: ExportRequest, answer: Answer): Promise<void> {
    using client = new ClientConnection(
      answer.response,
      () => new ExportError('trace-export.client-gone', 'the client has gone away'),
    );
    try {
      await this.#export(wanted, answer, client.signal);
    } catch (error) {
      throw client.signal.aborted ? client.signal.reason : error;
    }
  }

  async #export(wanted: ExportRequest, answer: Answer, clientGone: AbortSignal): Promise<void> {
    const { events } = this.#ports;
    const startedMs = performance.now();
    // The lease comes first: it keeps the objects of every snapshot taken after it.
    await using lease = await this.#ports.openReadLease(clientGone);
    const leaseMs = performance.now() - startedMs;
    const signal = AbortSignal.any([clientGone, lease.lost]);
    const { snapshot, builtCount, times } = await this.#ports.ensureFresh(wanted, signal);
    const { process } = snapshot;
    if (process === undefined) throw unknownProcess(wanted.processId);
    const waitMs = performance.now() - startedMs;
    events.partitionsReady(factsOf(wanted), { builtCount, waitMs });
    const { spans, compress } = wanted;
    const plan = planTrace({ process, snapshot, range: rangeOf(wanted), spans });
    await using trace = this.#ports.startTrace(plan, compress, signal);
    try {
      const firstByteTimes = { ...times, leaseMs, readyMs: performance.now() };
      const body = await this.#send({ wanted, plan, trace, answer, signal, firstByteTimes });
      const generated = await trace.done;
      const durationMs = performance.now() - startedMs;
      events.exportCompleted(factsOf(wanted), { trace: generated, body, durationMs });
    } finally {
      events.channelClosed(trace.stats);
    }
  }

  async #send({ wanted, plan, trace, answer, signal, firstByteTimes }: Sending): Promise<SentBody> {
    return await sendChunks({
      response: answer.response,
      channel: trace.channel,
      encoder: wanted.format === 'arrow' ? new ArrowBody() : new PlainBody(),
      headers: () => headersOf(wanted, plan, firstByteTimes),
      stallTimeoutMs: this.#ports.stallTimeoutMs,
      signal,
      onHead: () => answer.begin(),
      onSent: (sent) => this.#ports.events.chunksSent(sent),
    });
  }
}

interface Sending {
  readonly wanted: ExportRequest;
  readonly plan: TracePlan;
  readonly trace: TraceStream;
  readonly answer: Answer;
  readonly signal: AbortSignal;
  readonly firstByteTimes: FirstByteTimes;
}

interface FirstByteTimes extends FreshnessTimes {
  readonly leaseMs: number;
  /** When the generator was started, by `performance.now`. */
  readonly readyMs: number;
}

/** The reply, taken out of fastify's hands once the first byte is about to leave. */
class Answer {
  readonly #reply: FastifyReply;
  #begun = false;

  constructor(reply: FastifyReply) {
    this.#reply = reply;
  }

  get response(): FastifyReply['raw'] {
    return this.#reply.raw;
  }

  get hasBegun(): boolean {
    return this.#begun;
  }

  begin(): void {
    this.#begun = true;
    this.#reply.hijack();
  }

  /** Cuts the connection, so that nobody takes what was sent for a whole trace. */
  destroy(): void {
    if (!this.#begun) this.begin();
    this.#reply.raw.destroy();
  }
}

function headersOf(
  wanted: ExportRequest,
  plan: TracePlan,
  times: FirstByteTimes,
): Record<string, string> {
  const isArrow = wanted.format === 'arrow';
  const name = `trace-${wanted.processId}-${wanted.spans}.${isArrow ? 'arrows' : 'pftrace'}`;
  return {
    'content-type': isArrow ? ARROW_STREAM_TYPE : OCTET_STREAM_TYPE,
    'content-disposition': `attachment; filename="${name}"`,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'tracelake-blocks-known': String(plan.blocks.known),
    'tracelake-blocks-read': String(plan.blocks.read),
    'tracelake-blocks-rejected': String(plan.blocks.rejected),
    'tracelake-source-hash': plan.sourceHash,
    'server-timing': serverTimingOf(times),
  };
}

/** What the time to the first byte was spent on, in milliseconds. */
function serverTimingOf({ leaseMs, lookMs, requestMs, buildMs, readyMs }: FirstByteTimes): string {
  const firstChunkMs = performance.now() - readyMs;
  const spent = { lease: leaseMs, look: lookMs, request: requestMs, build: buildMs };
  return Object.entries({ ...spent, 'first-chunk': firstChunkMs })
    .map(([name, ms]) => `${name};dur=${ms.toFixed(1)}`)
    .join(', ');
}

function outcomeOf(error: unknown, hasBegun: boolean): ExportOutcome {
  if (error instanceof ExportError) {
    if (error.code === 'trace-export.client-gone') return 'client-gone';
    if (error.code === 'trace-export.client-stalled') return 'client-stalled';
  }
  return hasBegun ? 'aborted' : 'refused';
}

function factsOf({ processId, spans, compress, format }: ExportRequest) {
  return { processId, spans, compress, format };
}
