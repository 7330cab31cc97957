import { AppError } from '@tracelake/domain';

/** Every way in which a query fails by this service's own doing, but for those of its engine. */
export type QueryErrorCode =
  | 'query.bad-request'
  | 'query.unknown-source'
  | 'query.busy'
  | 'query.client-gone'
  | 'query.client-stalled'
  | 'query.timeout';

export class QueryError extends AppError<QueryErrorCode> {}
