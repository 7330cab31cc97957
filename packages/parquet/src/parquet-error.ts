import { AppError } from '@tracelake/domain';

/** Every way in which reading or writing Parquet fails. */
export type ParquetErrorCode =
  | 'parquet.bad-rows'
  | 'parquet.write-failed'
  | 'parquet.read-failed'
  | 'parquet.aborted';

/** Thrown by this package; `details` carries the path and the column or the limit concerned. */
export class ParquetError extends AppError<ParquetErrorCode> {}
