import { AppError } from '@tracelake/domain';

export type StorageErrorCode =
  | 'storage.object-missing'
  | 'storage.object-store-unavailable'
  | 'storage.object-store-overloaded'
  | 'storage.object-store-refused'
  | 'storage.create-only-not-honoured'
  | 'storage.bad-object-key'
  | 'storage.bad-object-store-url'
  | 'storage.database-unavailable'
  | 'storage.database-overloaded'
  | 'storage.database-timeout'
  | 'storage.database-refused'
  | 'storage.bad-database-url'
  | 'storage.conflict'
  | 'storage.schema-mismatch'
  | 'storage.lake-settings-mismatch'
  | 'storage.lease-lost';

/** A failure of Postgres or of the object store; `retryable` says whether time alone may mend it. */
export class StorageError extends AppError<StorageErrorCode> {}
