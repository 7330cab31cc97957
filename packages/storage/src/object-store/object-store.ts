import { randomUUID } from 'node:crypto';
import { PROBE_PREFIX } from '../object-keys.ts';
import { StorageError } from '../storage-error.ts';

export interface ObjectEntry {
  readonly key: string;
  readonly sizeBytes: number;
  /** When it was written, Unix epoch. */
  readonly modifiedMs: number;
}

/**
 * What is put: bytes; bytes in pieces that follow one another, which saves putting them together; or a finished
 * file. Nobody changes them until the put has succeeded, and after one that failed nobody ever does.
 */
export type ObjectBody =
  | Uint8Array
  | { readonly pieces: readonly Uint8Array[] }
  | { readonly path: string };

export type PutOutcome = 'created' | 'already-exists';

/**
 * Immutable objects by key. A put creates or leaves alone: of any number of writers of a key one wins, and no
 * reader sees part of an object. Errors: `storage.object-missing`, `storage.bad-object-key`,
 * `storage.object-store-unavailable` and `-overloaded` (retryable), `storage.object-store-refused`. A signal that fires makes the
 * call throw its reason.
 */
export interface ObjectStore {
  readonly url: string;
  /** Resolves once the object, this or the earlier one, is durable. */
  putIfAbsent(key: string, body: ObjectBody, signal?: AbortSignal): Promise<PutOutcome>;
  get(key: string, signal?: AbortSignal): Promise<Uint8Array>;
  /** `length` bytes from `offset`; fewer where the object ends. */
  getRange(key: string, range: ByteRange, signal?: AbortSignal): Promise<Uint8Array>;
  /** Writes the object to a local path, whole or not at all. */
  getToFile(key: string, path: string, signal?: AbortSignal): Promise<void>;
  /** Where the object can be read in place; undefined for a store that is not a directory of this machine. */
  localPath(key: string): string | undefined;
  /** Harmless when there is no such object. */
  delete(key: string, signal?: AbortSignal): Promise<void>;
  /** In no particular order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectEntry>;
  /**
   * The first time it proves that the store honours create-only puts, and throws
   * `storage.create-only-not-honoured` when it does not; later it asks whether the store answers.
   */
  checkReady(signal?: AbortSignal): Promise<void>;
}

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Puts one key twice: the second put must be refused and must not change the object. */
export async function proveCreateOnly(
  store: Pick<ObjectStore, 'putIfAbsent' | 'get' | 'delete'>,
  signal?: AbortSignal,
): Promise<void> {
  const key = `${PROBE_PREFIX}create-only-${randomUUID()}`;
  const [first, second] = [Uint8Array.of(1), Uint8Array.of(2)];
  try {
    const outcomes = [
      await store.putIfAbsent(key, first, signal),
      await store.putIfAbsent(key, second, signal),
    ];
    const kept = await store.get(key, signal);
    if (outcomes.join() === 'created,already-exists' && kept[0] === 1) return;
  } finally {
    await store.delete(key).catch(() => {});
  }
  throw new StorageError(
    'storage.create-only-not-honoured',
    'the object store lets a second writer replace an object: use one that honours create-only puts ' +
      '(S3: If-None-Match)',
  );
}
