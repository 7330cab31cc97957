/** The only place where an error of this service becomes an HTTP answer. */

import { AppError } from '@tracelake/domain';
import { type Problem, problem } from '@tracelake/service-kit';

const STATUS_BY_CODE: Readonly<Record<string, number>> = {
  'lakehouse.unknown-view': 404,
  'lakehouse.bad-instance': 400,
  'materializer.unknown-instance': 404,
  'materializer.bad-request': 400,
};

/** Undefined leaves the error to the common mapping: retryable ones are 503, the rest 500. */
export function problemOfMaterializer(error: unknown): Problem | undefined {
  if (!(error instanceof AppError)) return undefined;
  const status = STATUS_BY_CODE[error.code];
  if (status === undefined) return undefined;
  return problem({ code: error.code, status, detail: error.message });
}
