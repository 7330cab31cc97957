import { AppError } from '@tracelake/domain';

export type TransitErrorCode =
  | 'transit.truncated'
  | 'transit.malformed-cbor'
  | 'transit.missing-field'
  | 'transit.bad-field'
  | 'transit.too-large'
  | 'transit.bad-lz4'
  | 'transit.bad-metadata'
  | 'transit.bad-record';

export interface TransitErrorDetails {
  /** Path of the field that is wrong, such as `objects_metadata[2].members[0].offset`. */
  readonly field?: string | undefined;
  /** Where in the buffer at hand (request body, LZ4 frame, decompressed buffer) it went wrong. */
  readonly byteOffset?: number | undefined;
  /** The limit that was exceeded, in bytes or entries. */
  readonly limit?: number | undefined;
}

/**
 * Bytes from outside that cannot be decoded, or that would need more memory than the limits allow.
 * Decoding the same bytes again fails the same way, so it is never retryable.
 */
export class TransitDecodeError extends AppError<TransitErrorCode> {
  constructor(code: TransitErrorCode, message: string, details: TransitErrorDetails = {}) {
    super(code, message, {
      details: Object.fromEntries(
        Object.entries(details).filter(([, value]) => value !== undefined && value !== ''),
      ),
    });
  }
}
