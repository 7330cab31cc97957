import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from './logger.ts';
import { PROBLEM_CONTENT_TYPE, type Problem, retryAfterOf } from './problem.ts';

export interface ProblemReply {
  readonly error: unknown;
  readonly problem: Problem;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly logger: Logger;
}

/** Sends a problem document and logs it once: the service's own failures as such, refusals as facts. */
export function replyWithProblem(answer: ProblemReply): FastifyReply {
  const { error, problem, request, reply, logger } = answer;
  const facts = {
    method: request.method,
    route: request.routeOptions?.url ?? 'none',
    status: problem.status,
    type: problem.type,
    apiKeyName: request.apiKeyName || undefined,
  };
  if (problem.status >= 500) logger.warn('request failed', { ...facts, error });
  else logger.info('request refused', { ...facts, detail: problem.detail });
  const retryAfterS = retryAfterOf(error, problem.status);
  if (retryAfterS !== undefined) reply.header('retry-after', String(retryAfterS));
  return reply
    .code(problem.status)
    .type(PROBLEM_CONTENT_TYPE)
    .serializer((text: unknown) => String(text))
    .send(renderProblem(problem));
}

/** JSON of a problem; bigints become text, since JSON numbers cannot hold them. */
export function renderProblem(problem: Problem): string {
  return JSON.stringify(problem, (_, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}
