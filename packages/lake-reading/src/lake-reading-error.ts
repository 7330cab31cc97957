import { AppError } from '@tracelake/domain';

/** Every way in which waiting for partitions fails by itself; both may succeed later. */
export type LakeReadingErrorCode = 'lake-reading.build-failed' | 'lake-reading.build-timeout';

export class LakeReadingError extends AppError<LakeReadingErrorCode> {}
