/**
 * One query from request to last byte: a place in the queue, a process that parses, partitions made current,
 * the statement run, its bytes sent. Until the first rows are there a failure is a problem document; after it
 * the connection is cut.
 */

import { errorMessage } from '@tracelake/domain';
import { ClientConnection } from '@tracelake/service-kit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { EnginePool } from '../engine/engine-pool.ts';
import type { EngineProcess } from '../engine/engine-process.ts';
import type { RunLimits } from '../engine/protocol.ts';
import { EarlyResolution, KnownStatements } from '../planning/known-statements.ts';
import type { ResolvedSources, SourceResolver } from '../planning/source-resolver.ts';
import { QueryError } from '../query-error.ts';
import type { QueryQueue } from '../query-queue.ts';
import type { QueryFacts, QueryOutcome, TelemetryEvents } from '../telemetry-events.ts';
import {
  CONTENT_TYPES,
  parseQueryRequest,
  type QueryBody,
  type QueryRequest,
} from './query-request.ts';
import { receiptHeaders, receiptJson } from './receipt-format.ts';
import { sendAnswer, sendErrorLine } from './streamed-answer.ts';

export interface QueryPorts {
  readonly queue: QueryQueue;
  readonly pool: EnginePool;
  readonly resolver: SourceResolver;
  readonly events: TelemetryEvents;
  readonly limits: RunLimits;
  readonly stallTimeoutMs: number;
}

export interface QueryRoute {
  readonly Body: QueryBody | undefined;
  readonly Querystring: Readonly<Record<string, unknown>>;
}

/** Gives the one table of an explanation the name that an engine made up for it. */
const EXPLANATION_SQL = 'SELECT * FROM list_partitions()';

/** Handles `POST /v1/query`. */
export class QueryRunner {
  readonly #ports: QueryPorts;
  readonly #known = new KnownStatements();

  constructor(ports: QueryPorts) {
    this.#ports = ports;
  }

  async handle(request: FastifyRequest<QueryRoute>, reply: FastifyReply): Promise<void> {
    const startedMs = performance.now();
    let answer: Answer | undefined;
    try {
      const wanted = parseQueryRequest({
        body: request.body,
        query: request.query,
        accept: request.headers.accept,
      });
      answer = new Answer(reply, wanted, startedMs);
      await this.#answer(answer);
      this.#ports.events.queryEnded('completed', answer.facts);
    } catch (error) {
      const outcome = outcomeOf(error, answer?.hasBegun ?? false);
      this.#ports.events.queryEnded(outcome, answer?.facts ?? {}, error);
      if (answer === undefined || outcome === 'refused') throw error;
      await answer.cut(error);
    }
  }

  /** Whatever failed because the client went away failed for that reason. */
  async #answer(answer: Answer): Promise<void> {
    using client = new ClientConnection(
      answer.response,
      () => new QueryError('query.client-gone', 'the client has gone away'),
    );
    try {
      using _place = await this.#ports.queue.enter(client.signal);
      await this.#run(answer, client.signal);
    } catch (error) {
      throw client.signal.aborted ? client.signal.reason : error;
    }
  }

  async #run(answer: Answer, signal: AbortSignal): Promise<void> {
    const { resolver } = this.#ports;
    const { sql, range } = answer.wanted;
    await using engine = await this.#acquire(signal);
    // Side by side with the parsing: both are waits for another process.
    await using early = new EarlyResolution(this.#known.sourcesOf(sql), (guess, giveUp) =>
      resolver.resolve(guess, range, AbortSignal.any([signal, giveUp])),
    );
    const { explain, sources } = await engine.process.analyse(sql);
    answer.facts.sourceCount = sources.length;
    if (!explain) {
      this.#known.remember(sql, sources);
      const resolving = early.take(sources) ?? resolver.resolve(sources, range, signal);
      const resolved = await resolving;
      return await this.#send(answer, engine.process, resolved, signal);
    }
    const [table] = (await engine.process.analyse(EXPLANATION_SQL)).sources;
    const options = { table: table?.table ?? '', signal };
    const resolved = await resolver.explain(sources, range, options);
    answer.dropParameters();
    await this.#send(answer, engine.process, resolved, signal);
  }

  async #send(
    answer: Answer,
    engine: EngineProcess,
    resolved: ResolvedSources,
    clientGone: AbortSignal,
  ): Promise<void> {
    const { events, limits, stallTimeoutMs } = this.#ports;
    const lost = new AbortController();
    // The lease is lost when the database is: its files may go, so the engine goes first.
    const onLost = () => {
      lost.abort(new QueryError('query.lease-lost', 'the lease on the files was lost; try again'));
      void engine.kill();
    };
    resolved.lost.addEventListener('abort', onLost, { once: true });
    try {
      if (resolved.lost.aborted) onLost();
      const { range, format } = answer.wanted;
      events.sourcesReady(answer.facts, resolved);
      const runStartedMs = performance.now();
      const params = answer.params;
      const { body, done } = await engine.run({ ...resolved, format, params, range, limits });
      answer.begin();
      answer.facts.byteCount = await sendAnswer({
        response: answer.response,
        headers: answer.headers(resolved, performance.now() - runStartedMs),
        body,
        ...answer.wrapping(resolved),
        stallTimeoutMs,
        signal: AbortSignal.any([clientGone, lost.signal]),
      });
      answer.facts.rowCount = (await done).rows;
    } catch (error) {
      throw lost.signal.aborted ? lost.signal.reason : error;
    } finally {
      resolved.lost.removeEventListener('abort', onLost);
      // One that still reads ends before its files go.
      if (!engine.isReusable) await engine.kill();
      await resolved.release();
    }
  }

  async #acquire(signal: AbortSignal): Promise<AsyncDisposable & { process: EngineProcess }> {
    const { pool } = this.#ports;
    const process = await pool.acquire(signal);
    return { process, [Symbol.asyncDispose]: () => pool.release(process) };
  }
}

/** The reply, taken out of fastify's hands once the first byte is about to leave. */
class Answer {
  readonly wanted: QueryRequest;
  readonly facts: QueryFacts;
  readonly #reply: FastifyReply;
  #params: QueryRequest['params'];
  #begun = false;

  constructor(reply: FastifyReply, wanted: QueryRequest, startedMs: number) {
    this.#reply = reply;
    this.wanted = wanted;
    this.facts = { format: wanted.format, startedMs };
    this.#params = wanted.params;
  }

  get params(): QueryRequest['params'] {
    return this.#params;
  }

  get response(): FastifyReply['raw'] {
    return this.#reply.raw;
  }

  get hasBegun(): boolean {
    return this.#begun;
  }

  /** A statement that is explained is not run with them. */
  dropParameters(): void {
    this.#params = [];
  }

  begin(): void {
    this.#begun = true;
    this.#reply.hijack();
  }

  headers({ receipt, times }: ResolvedSources, runMs: number): Record<string, string> {
    const { format, range } = this.wanted;
    const steps = Object.entries({ ...times, run: runMs });
    return {
      'content-type': `${CONTENT_TYPES[format]}${format === 'csv' ? '; charset=utf-8' : ''}`,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'server-timing': steps.map(([step, ms]) => `${step};dur=${ms.toFixed(1)}`).join(', '),
      ...receiptHeaders(receipt, range),
    };
  }

  wrapping({ receipt }: ResolvedSources): { before?: string; after?: string } {
    if (!this.wanted.wantsReceipt) return {};
    const json = JSON.stringify(receiptJson(receipt, this.wanted.range));
    return { before: '{"rows":', after: `,"receipt":${json}}\n` };
  }

  /** Cuts the connection, so that nobody takes what was sent for a whole answer. */
  async cut(error: unknown): Promise<void> {
    if (!this.#begun) this.begin();
    if (this.wanted.format === 'ndjson' && this.response.headersSent) {
      const code = (error as { code?: unknown }).code;
      await sendErrorLine(this.response, { code, message: errorMessage(error) });
    }
    this.response.destroy();
  }
}

function outcomeOf(error: unknown, hasBegun: boolean): QueryOutcome {
  if (error instanceof QueryError) {
    if (error.code === 'query.client-gone') return 'client-gone';
    if (error.code === 'query.client-stalled') return 'client-stalled';
  }
  return hasBegun ? 'aborted' : 'refused';
}
