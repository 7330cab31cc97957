/** The whole surface of the service besides `/healthz`, `/readyz` and `/metrics`. */

import type { FastifyInstance } from 'fastify';
import { QueryError } from '../query-error.ts';
import { parseExactJson } from './query-request.ts';
import { type QueryPorts, type QueryRoute, QueryRunner } from './run-query.ts';

export interface RouteOptions extends QueryPorts {
  /** Of a request's body; beyond it 413. */
  readonly bodyBytesMax: number;
}

export function registerRoutes(app: FastifyInstance, options: RouteOptions): void {
  app.removeContentTypeParser(['application/json', 'text/plain']);
  const parserOptions = { parseAs: 'string', bodyLimit: options.bodyBytesMax } as const;
  app.addContentTypeParser(
    'text/plain',
    parserOptions,
    async (_request: unknown, text: string) => ({
      text,
    }),
  );
  app.addContentTypeParser('application/json', parserOptions, async (_: unknown, text: string) => {
    try {
      return { json: parseExactJson(text) };
    } catch (cause) {
      throw new QueryError('query.bad-request', `the body is no JSON: ${String(cause)}`, { cause });
    }
  });
  const runner = new QueryRunner(options);
  app.post<QueryRoute>('/v1/query', { bodyLimit: options.bodyBytesMax }, (request, reply) =>
    runner.handle(request, reply),
  );
}
