import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { InFlightTracker } from './in-flight-tracker.ts';
import type { Metrics } from './metrics.ts';

export interface HttpMetricsOptions {
  readonly metrics: Metrics;
  readonly inFlight: InFlightTracker;
}

/** Counts requests by route, method and status, their duration, and how many are under way. */
export function registerHttpMetrics(app: FastifyInstance, options: HttpMetricsOptions): void {
  const { metrics, inFlight } = options;
  const requests = metrics.counter({
    name: 'tracelake_http_requests_total',
    help: 'Requests answered, by route pattern, method and status',
    labels: ['route', 'method', 'status'],
  });
  const durationMs = metrics.histogram({
    name: 'tracelake_http_request_ms',
    help: 'Milliseconds from a request to the end of its answer',
    labels: ['route'],
  });
  metrics.gauge({
    name: 'tracelake_http_requests_in_flight',
    help: 'Requests under way',
    collect: () => inFlight.count,
  });
  const underWay = new WeakMap<FastifyRequest, Disposable>();
  app.addHook('onRequest', async (request) => {
    underWay.set(request, inFlight.begin());
  });
  app.addHook('onResponse', async (request, reply) => {
    underWay.get(request)?.[Symbol.dispose]();
    const route = request.is404 ? 'none' : (request.routeOptions.url ?? 'none');
    requests.inc({ route, method: methodLabel(request.method), status: String(reply.statusCode) });
    durationMs.observe({ route }, reply.elapsedTime);
  });
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Clients choose the method's text, so anything unusual shares one label value. */
function methodLabel(method: string): string {
  return METHODS.has(method) ? method : 'other';
}
