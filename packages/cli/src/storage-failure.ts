import { errorMessage } from '@tracelake/domain';
import { StorageError } from '@tracelake/storage';
import { CliError, usageError } from './cli-error.ts';

/**
 * For commands that work on the lake's stores themselves. `whatStays` tells what a second run finds; other errors
 * stay as they are.
 */
export function storageFailure(cause: unknown, whatStays: string): unknown {
  if (!(cause instanceof StorageError)) return cause;
  if (cause.code === 'storage.bad-object-store-url' || cause.code === 'storage.bad-database-url') {
    return usageError(cause.message);
  }
  const why = cause.cause === undefined ? '' : ` (${errorMessage(cause.cause)})`;
  return new CliError(
    cause.retryable ? 'cli.unreachable' : 'cli.refused',
    `${cause.message}${why}; ${whatStays}, so run it again when that is mended`,
    { cause, retryable: cause.retryable },
  );
}
