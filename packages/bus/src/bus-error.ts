import { AppError } from '@tracelake/domain';

export type BusErrorCode =
  /** No server answers; retryable. */
  | 'bus.unavailable'
  /** The server did not acknowledge in time: the message may or may not be stored; retryable. */
  | 'bus.publish-timeout'
  /** A stream that refuses what is over its bounds is at them; retryable. */
  | 'bus.stream-full'
  /** More messages wait for the publishing window than may; retryable. */
  | 'bus.overloaded'
  /** The server refused the message. */
  | 'bus.publish-refused'
  /** The bus was drained or closed by its owner. */
  | 'bus.closed'
  /** What is stored in DEAD does not say what it was, or says what cannot be. */
  | 'bus.bad-dead-letter'
  /** The server did not do what an operator asked of a stream. */
  | 'bus.stream-refused'
  | 'bus.malformed-message'
  | 'bus.unsupported-schema-version'
  | 'bus.bad-subject'
  | 'bus.stream-config-mismatch'
  | 'bus.stream-setup-failed';

/** Every operating failure of the bus. */
export class BusError extends AppError<BusErrorCode> {}
