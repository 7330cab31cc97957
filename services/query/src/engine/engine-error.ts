import { AppError } from '@tracelake/domain';

/**
 * Every way in which a statement fails. Whose fault it is decides the HTTP answer, once, in the service:
 * the first group is the statement's, the second a limit that it ran into, the third the service's.
 */
export const ENGINE_ERROR_CODES = [
  'query.syntax',
  'query.not-a-select',
  'query.several-statements',
  'query.unknown-table',
  'query.function-refused',
  'query.bad-arguments',
  'query.bad-parameter',
  'query.failed',

  'query.statement-too-large',
  'query.too-deep',
  'query.time-limit',
  'query.memory-limit',
  'query.temp-space-limit',
  'query.result-too-large',

  'query.engine-died',
  'query.engine-failed',
  'query.busy',
  'query.cancelled',
] as const;

export type EngineErrorCode = (typeof ENGINE_ERROR_CODES)[number];

export class EngineError extends AppError<EngineErrorCode> {}

/** The code if it is one of this list: codes cross the boundary between processes as text. */
export function findEngineErrorCode(code: unknown): EngineErrorCode | undefined {
  return ENGINE_ERROR_CODES.find((known) => known === code);
}
