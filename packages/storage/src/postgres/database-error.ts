import pg from 'pg';
import { StorageError } from '../storage-error.ts';

/**
 * Turns what `pg` throws into a StorageError by SQLSTATE. Errors without one come from the connection (refused,
 * reset, closed, timed out), so the database counts as unavailable. Bugs (TypeError) and StorageErrors pass.
 */
export function toStorageError(error: unknown): unknown {
  if (error instanceof StorageError || error instanceof TypeError) return error;
  if (error instanceof pg.DatabaseError) return fromSqlState(error);
  return new StorageError('storage.database-unavailable', 'cannot reach the database', {
    cause: error,
    retryable: true,
  });
}

/** Whether a statement failed because another transaction got there first. */
export function isConflict(error: unknown): boolean {
  const cause = error instanceof StorageError ? error.cause : error;
  return cause instanceof pg.DatabaseError && CONFLICT_STATES.has(cause.code ?? '');
}

/** Unique violation, serialization failure, deadlock. */
const CONFLICT_STATES = new Set(['23505', '40001', '40P01']);

/** Shutting down, starting up, refusing connections or writes for now (a failover's read-only stand-in). */
const UNAVAILABLE_STATES = new Set(['57P01', '57P02', '57P03', '25006']);
/** Connection exceptions; out of disk, memory or connections; I/O errors. */
const UNAVAILABLE_CLASSES = new Set(['08', '53', '58']);

function fromSqlState(error: pg.DatabaseError): StorageError {
  const state = error.code ?? '';
  const details = {
    sqlState: state,
    ...(error.constraint === undefined ? {} : { constraint: error.constraint }),
  };
  const options = { cause: error, details, retryable: true };
  if (CONFLICT_STATES.has(state)) {
    return new StorageError(
      'storage.conflict',
      `another writer was first: ${error.message}`,
      options,
    );
  }
  if (UNAVAILABLE_STATES.has(state) || UNAVAILABLE_CLASSES.has(state.slice(0, 2))) {
    return new StorageError(
      'storage.database-unavailable',
      `the database does not serve now: ${error.message}`,
      options,
    );
  }
  if (state === '57014') {
    return new StorageError(
      'storage.database-timeout',
      `a query was cut: ${error.message}`,
      options,
    );
  }
  return new StorageError('storage.database-refused', `the database refused: ${error.message}`, {
    ...options,
    retryable: false,
  });
}
