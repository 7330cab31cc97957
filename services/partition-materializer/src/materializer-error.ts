import { AppError } from '@tracelake/domain';

/** Every way in which this service fails by itself; other codes come from the packages it uses. */
export type MaterializerErrorCode =
  | 'materializer.unknown-instance'
  | 'materializer.claim-timeout'
  | 'materializer.conflict'
  | 'materializer.lane-lost'
  | 'materializer.decoder-failed'
  | 'materializer.run-worker-lost'
  | 'materializer.view-not-loaded'
  | 'materializer.bad-request'
  | 'materializer.stopping';

/** A failure of a build; `details` name the view, the instance or the block concerned. */
export class MaterializerError extends AppError<MaterializerErrorCode> {}
