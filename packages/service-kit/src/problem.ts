import { STATUS_CODES } from 'node:http';
import { AppError } from '@tracelake/domain';

/** An RFC 9457 problem document; members beyond the four of the standard are facts such as `limit`. */
export interface Problem {
  /** `urn:tracelake:problem:<code>`: stable, for programs. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** What went wrong here and what to do about it, for people. */
  readonly detail: string;
  readonly [fact: string]: unknown;
}

export interface ProblemFacts {
  /** Ends the type, such as `ingest.block-conflict`. */
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  /** The status's own phrase when left out. */
  readonly title?: string;
  readonly facts?: Readonly<Record<string, unknown>>;
}

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

const TYPE_PREFIX = 'urn:tracelake:problem:';

/** The code that a problem's type ends in. */
export function problemCodeOf({ type }: Problem): string {
  return type.slice(TYPE_PREFIX.length);
}

export function problem({ code, status, detail, title, facts = {} }: ProblemFacts): Problem {
  return {
    ...facts,
    type: `${TYPE_PREFIX}${code}`,
    title: title ?? STATUS_CODES[status] ?? 'Error',
    status,
    detail,
  };
}

/** Thrown by handlers that know their answer. */
export class ProblemError extends AppError {
  readonly problem: Problem;
  /** Seconds for `Retry-After`; only with 503 and 429. */
  readonly retryAfterS: number | undefined;

  constructor(facts: ProblemFacts & { readonly retryAfterS?: number; readonly cause?: unknown }) {
    super(facts.code, facts.detail, {
      retryable: facts.retryAfterS !== undefined,
      ...(facts.cause === undefined ? {} : { cause: facts.cause }),
      ...(facts.facts === undefined ? {} : { details: facts.facts }),
    });
    this.problem = problem(facts);
    this.retryAfterS = facts.retryAfterS;
  }
}

/**
 * The answer to anything thrown, for services to extend: a ProblemError is its own answer, an error of
 * fastify's about the request keeps its 4xx, a retryable AppError is 503, and all else is a 500 that
 * tells nothing of the inside.
 */
export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof AppError && error.retryable) {
    return problem({ code: error.code, status: 503, detail: error.message });
  }
  const { statusCode, code, message } = error as {
    statusCode?: unknown;
    code?: unknown;
    message?: unknown;
  };
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    const name = typeof code === 'string' ? code.toLowerCase().replaceAll('_', '-') : 'request';
    return problem({ code: `http.${name}`, status: statusCode, detail: String(message) });
  }
  return problem({
    code: 'internal',
    status: 500,
    detail: 'the service failed; its log has the reason under this time and route',
  });
}

/** Seconds to put into `Retry-After` for an answer, or undefined for none. */
export function retryAfterOf(error: unknown, status: number): number | undefined {
  if (error instanceof ProblemError && error.retryAfterS !== undefined) return error.retryAfterS;
  return status === 503 || status === 429 ? 1 : undefined;
}
