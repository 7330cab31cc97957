import { AppError } from '@tracelake/domain';

export type LakehouseErrorCode =
  | 'lakehouse.unknown-view'
  | 'lakehouse.unknown-schema'
  | 'lakehouse.bad-instance'
  | 'lakehouse.duplicate-view'
  | 'lakehouse.bad-carry';

/** What is asked of the lakehouse makes no sense; the same call fails again unless it says that it is retryable. */
export class LakehouseError extends AppError<LakehouseErrorCode> {}
