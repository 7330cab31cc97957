/** The only mapping of errors to answers. */

import { AppError, assertUnreachable } from '@tracelake/domain';
import { LakeReadingError } from '@tracelake/lake-reading';
import { LakehouseError } from '@tracelake/lakehouse';
import { type Problem, problem } from '@tracelake/service-kit';
import { StorageError } from '@tracelake/storage';
import { EngineError, type EngineErrorCode } from '../engine/engine-error.ts';
import { QueryError, type QueryErrorCode } from '../query-error.ts';

/** The answer to an error of this service's own calls; undefined leaves it to the common mapping. */
export function problemOfQueryError(error: unknown): Problem | undefined {
  const status = statusOf(error);
  if (status === undefined || !(error instanceof AppError)) return undefined;
  return problem({ code: error.code, status, detail: error.message, facts: error.details });
}

function statusOf(error: unknown): number | undefined {
  if (error instanceof QueryError) return statusOfQuery(error.code);
  if (error instanceof EngineError) return statusOfEngine(error.code);
  if (error instanceof LakehouseError) return error.code === 'lakehouse.bad-carry' ? 500 : 400;
  if (error instanceof LakeReadingError) {
    return error.code === 'lake-reading.build-timeout' ? 504 : 503;
  }
  if (error instanceof StorageError && error.retryable) return 503;
  if (error instanceof AppError && error.code.startsWith('bus.')) return 503;
  return undefined;
}

function statusOfQuery(code: QueryErrorCode): number {
  switch (code) {
    case 'query.bad-request':
      return 400;
    case 'query.unknown-source':
      return 404;
    case 'query.not-acceptable':
      return 406;
    case 'query.queue-full':
      return 429;
    case 'query.bad-block':
      return 422;
    case 'query.lease-lost':
      return 503;
    case 'query.client-gone':
    case 'query.client-stalled':
      return 500;
    default:
      return assertUnreachable(code);
  }
}

function statusOfEngine(code: EngineErrorCode): number {
  switch (code) {
    case 'query.syntax':
    case 'query.not-a-select':
    case 'query.several-statements':
    case 'query.unknown-table':
    case 'query.function-refused':
    case 'query.bad-arguments':
    case 'query.bad-parameter':
    case 'query.failed':
    case 'query.too-deep':
      return 400;
    case 'query.statement-too-large':
      return 413;
    case 'query.memory-limit':
    case 'query.temp-space-limit':
    case 'query.result-too-large':
      return 422;
    case 'query.time-limit':
      return 504;
    case 'query.busy':
    case 'query.cancelled':
    case 'query.engine-died':
      return 503;
    case 'query.engine-failed':
      return 500;
    default:
      return assertUnreachable(code);
  }
}
