import { AppError } from '@tracelake/domain';

export type SqlErrorCode =
  | 'sql.syntax'
  | 'sql.not-a-select'
  | 'sql.several-statements'
  | 'sql.unknown-table'
  | 'sql.function-refused'
  | 'sql.bad-arguments'
  | 'sql.unsupported';

/**
 * A statement that is not run, and why; the same statement fails again. `details.position` is the offset
 * in the statement, counted as the engine's parser counts it, where one is known.
 */
export class SqlError extends AppError<SqlErrorCode> {}
