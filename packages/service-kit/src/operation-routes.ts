import type { FastifyInstance } from 'fastify';
import type { Metrics } from './metrics.ts';
import { type Readiness, takesWork } from './readiness.ts';

export interface OperationRoutesOptions {
  readonly readiness: Readiness;
  readonly metrics: Metrics;
}

/** `/healthz` (alive), `/readyz` (can take work; names what fails) and `/metrics`, all without a key. */
export function registerOperationRoutes(
  app: FastifyInstance,
  { readiness, metrics }: OperationRoutesOptions,
): void {
  const config = { public: true };
  app.get('/healthz', { config }, async () => ({ status: 'alive' }));
  app.get('/readyz', { config }, async (_, reply) => {
    const report = await readiness.check();
    return reply
      .code(takesWork(report) ? 200 : 503)
      .header('cache-control', 'no-store')
      .send(report);
  });
  app.get('/metrics', { config }, async (_, reply) => {
    return reply.type(metrics.contentType).send(await metrics.render());
  });
}
