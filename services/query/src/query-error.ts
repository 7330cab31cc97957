import { AppError } from '@tracelake/domain';

/** Every way in which a query fails by this service's own doing, but for those of its engine. */
export type QueryErrorCode =
  | 'query.bad-request'
  | 'query.not-acceptable'
  | 'query.unknown-source'
  | 'query.bad-block'
  | 'query.queue-full'
  | 'query.client-gone'
  | 'query.client-stalled'
  | 'query.lease-lost';

export class QueryError extends AppError<QueryErrorCode> {}
