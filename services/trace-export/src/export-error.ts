import { AppError } from '@tracelake/domain';

/** Every way in which an export fails by this service's own doing. */
export type ExportErrorCode =
  | 'trace-export.bad-parameter'
  | 'trace-export.unknown-process'
  | 'trace-export.busy'
  | 'trace-export.bus-unavailable'
  | 'trace-export.client-gone'
  | 'trace-export.client-stalled'
  | 'trace-export.spans-out-of-order';

export class ExportError extends AppError<ExportErrorCode> {}
