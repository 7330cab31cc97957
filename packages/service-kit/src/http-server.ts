/**
 * The HTTP side that all services have in common. Routes need an API key unless they say
 * `config: { public: true }`; every answer to a failure is a problem document.
 */
import { AppError } from '@tracelake/domain';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { type ApiKey, ApiKeyRing } from './api-keys.ts';
import { findExposureProblem } from './bind-rule.ts';
import { createClientErrorHandler, OpenReplies } from './client-error.ts';
import { registerHttpMetrics } from './http-metrics.ts';
import { InFlightTracker } from './in-flight-tracker.ts';
import { lingerBeforeClose } from './lingering-close.ts';
import type { Logger } from './logger.ts';
import type { Counter, Metrics } from './metrics.ts';
import { registerOperationMetrics } from './operation-metrics.ts';
import { registerOperationRoutes } from './operation-routes.ts';
import { type Problem, ProblemError, problemCodeOf, problemOf } from './problem.ts';
import { replyWithProblem } from './problem-reply.ts';
import { Readiness, type ReadinessCheck } from './readiness.ts';
import { RouteTable } from './route-table.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered without an API key. */
    public?: boolean;
  }
  interface FastifyRequest {
    /** The name of the API key the request came with; empty when none is needed. */
    apiKeyName: string;
  }
}

const IDLE_CHECK_MS = 50;

export interface HttpServerOptions {
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** By dependency name, as `/readyz` shows it. */
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  /** Dependencies the service can do without for a while: `/readyz` names them and stays 200. */
  readonly optionalChecks?: Readonly<Record<string, ReadinessCheck>>;
  readonly apiKeys: readonly ApiKey[];
  readonly allowAnonymous: boolean;
  readonly bind: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly healthCheckTimeoutMs: number;
  /** How long a client may take to send a whole request. */
  readonly requestTimeoutS: number;
  /** The service's own mapping of errors; undefined leaves the error to the common one. */
  readonly problemOf?: (error: unknown) => Problem | undefined;
}

/** A fastify server with the common routes; register the service's own on `app` before `listen()`. */
export interface HttpServer extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly readiness: Readiness;
  readonly inFlight: InFlightTracker;
  /** Starts to listen and returns the base URL, such as `http://127.0.0.1:4318`. */
  listen(): Promise<string>;
  /** Turns readiness off; requests are still served. */
  beginDrain(): void;
  /** Stops accepting, serves what is under way, then closes. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Errors: throws `service-kit.exposed-without-keys` for a bind address that needs keys and has none. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  refuseExposure(options);
  const readiness = new Readiness({
    checks: options.checks,
    ...(options.optionalChecks === undefined ? {} : { optionalChecks: options.optionalChecks }),
    checkTimeoutMs: options.healthCheckTimeoutMs,
  });
  const inFlight = new InFlightTracker();
  const openReplies = new OpenReplies();
  const requestTimeoutMs = options.requestTimeoutS * 1000;
  const app = fastify({
    logger: false,
    requestTimeout: requestTimeoutMs,
    http: {
      requestTimeout: requestTimeoutMs,
      // Node checks with the longer of the two.
      headersTimeout: Math.min(60_000, requestTimeoutMs),
      connectionsCheckingInterval: Math.min(5000, requestTimeoutMs / 2),
    },
    forceCloseConnections: 'idle',
    clientErrorHandler: createClientErrorHandler(openReplies),
    frameworkErrors: (error, request, reply) => {
      replyWithProblem({
        error,
        problem: problemOf(error),
        request,
        reply,
        logger: options.logger,
      });
    },
  }) as unknown as FastifyInstance;
  const routes = new RouteTable();
  app.addHook('onRoute', (route) => routes.add(route.method, route.url));
  app.decorateRequest('apiKeyName', '');
  openReplies.register(app);
  registerHttpMetrics(app, { metrics: options.metrics, inFlight });
  registerApiKeyCheck(app, options.apiKeys);
  registerConnectionRules(app, readiness);
  registerErrorAnswers(app, options, routes);
  registerOperationRoutes(app, { readiness, metrics: options.metrics });
  registerOperationMetrics(options.metrics, readiness);
  return {
    app,
    readiness,
    inFlight,
    listen: () => listen(app, options),
    beginDrain: () => readiness.beginDrain(),
    async [Symbol.asyncDispose]() {
      readiness.beginDrain();
      // A reply whose head went out before the drain leaves its connection idle when it ends, and Node
      // closes idle ones only once, at the beginning.
      const timer = setInterval(() => app.server.closeIdleConnections(), IDLE_CHECK_MS);
      await app.close().finally(() => clearInterval(timer));
    },
  };
}

function refuseExposure({ bind, apiKeys, allowAnonymous }: HttpServerOptions): void {
  const hasApiKeys = apiKeys.length > 0;
  const exposure = findExposureProblem({ bind, hasApiKeys, allowAnonymous });
  if (exposure !== undefined) throw new AppError('service-kit.exposed-without-keys', exposure);
}

async function listen(app: FastifyInstance, options: HttpServerOptions): Promise<string> {
  try {
    return await app.listen({ host: options.bind, port: options.port });
  } catch (error) {
    const reason = (error as { code?: unknown }).code;
    throw new AppError(
      'service-kit.cannot-listen',
      `cannot listen on ${options.bind}:${options.port}: ` +
        (reason === 'EADDRINUSE' ? 'another program has the port' : String(reason ?? error)),
      { cause: error },
    );
  }
}

function registerApiKeyCheck(app: FastifyInstance, apiKeys: readonly ApiKey[]): void {
  const ring = new ApiKeyRing(apiKeys);
  if (ring.isEmpty) return;
  app.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    if (request.is404 || request.routeOptions.config.public === true) return;
    const holder = ring.findHolderOfHeader(request.headers.authorization);
    if (holder === undefined) {
      reply.header('www-authenticate', 'Bearer');
      throw new ProblemError({
        code: 'unauthorized',
        status: 401,
        detail:
          'this route needs "Authorization: Bearer <key>" with one of the configured API keys',
      });
    }
    request.apiKeyName = holder;
  });
}

function registerConnectionRules(app: FastifyInstance, readiness: Readiness): void {
  app.addHook('onSend', async (request, reply) => {
    if (readiness.isDraining) reply.header('connection', 'close');
    if (!hasUnreadBody(request)) return;
    // A body nobody reads would have to be received and thrown away before the next request.
    reply.header('connection', 'close');
    lingerBeforeClose(request.raw);
  });
}

function hasUnreadBody(request: FastifyRequest): boolean {
  if (request.raw.complete) return false;
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  return encoding !== undefined || (length !== undefined && length !== '0');
}

function registerErrorAnswers(
  app: FastifyInstance,
  options: HttpServerOptions,
  routes: RouteTable,
): void {
  const { logger } = options;
  const problems: Counter<'code' | 'status'> = options.metrics.counter({
    name: 'tracelake_http_problems_total',
    help: 'Problem documents answered, by their code (README files of the services list them) and status',
    labels: ['code', 'status'],
  });
  const answer = (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const problem = options.problemOf?.(error) ?? problemOf(error);
    problems.inc({ code: problemCodeOf(problem), status: String(problem.status) });
    return replyWithProblem({ error, problem, request, reply, logger });
  };
  app.setErrorHandler(answer);
  // Before the body: fastify would first judge the content type and length of a body that nobody wants.
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) throw problemOfUnknownRoute(request, reply, routes);
  });
  app.setNotFoundHandler((request, reply) =>
    answer(problemOfUnknownRoute(request, reply, routes), request, reply),
  );
}

function problemOfUnknownRoute(
  request: FastifyRequest,
  reply: FastifyReply,
  routes: RouteTable,
): ProblemError {
  const path = request.url.split('?', 1)[0] ?? '';
  const allowed = routes.methodsOf(path);
  if (allowed.length === 0) {
    const detail = 'there is nothing under this path; the README of the service lists its routes';
    return new ProblemError({ code: 'not-found', status: 404, detail });
  }
  reply.header('allow', allowed.join(', '));
  const detail = `${path} takes ${allowed.join(', ')}, not ${request.method}`;
  return new ProblemError({ code: 'method-not-allowed', status: 405, detail });
}
