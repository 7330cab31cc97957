import { AppError, type AppErrorOptions } from '@tracelake/domain';

export type IngestErrorCode =
  /** A known block id came with other content. */
  | 'ingest.block-conflict'
  /** A text or a list is longer than the store takes. */
  | 'ingest.field-too-long'
  /** More wait already than may. */
  | 'ingest.overloaded'
  /** An object that was there a moment ago is gone; trying again settles it. */
  | 'ingest.object-vanished'
  /** A block names another process than its stream belongs to. */
  | 'ingest.process-mismatch'
  /** The store or the database took too long. */
  | 'ingest.write-timeout';

export class IngestError extends AppError<IngestErrorCode> {
  constructor(code: IngestErrorCode, message: string, options?: AppErrorOptions) {
    super(code, message, options);
  }
}
