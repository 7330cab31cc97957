import { AppError } from '@tracelake/domain';

/** Every way in which getting at partitions fails by itself; each may succeed later. */
export type LakeReadingErrorCode =
  | 'lake-reading.build-failed'
  | 'lake-reading.build-timeout'
  | 'lake-reading.cache-full';

export class LakeReadingError extends AppError<LakeReadingErrorCode> {}
