/**
 * Objects of a remote store as local files that many readers share: each is fetched once however many ask at a
 * time, stays for the next reader, and goes when room is needed and nobody reads it. Objects never change, so
 * nothing is ever fetched anew. A directory store is read in place.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LakeReadingError } from './lake-reading-error.ts';
import type { LocalObject, ReadableObjects } from './object-files.ts';

export interface ObjectCacheOptions {
  readonly objects: ReadableObjects;
  /** The cache makes a directory of its own below it. */
  readonly tempDir: string;
  readonly capacityBytes: number;
}

export interface CachedObject {
  readonly objectKey: string;
  readonly sizeBytes: number;
}

interface Entry {
  readonly objectKey: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly fetched: Promise<void>;
  readonly giveUp: AbortController;
  isFetched: boolean;
  readers: number;
}

export interface ObjectCacheStats {
  readonly hits: number;
  readonly fetches: number;
  readonly fetchedBytes: number;
  readonly heldBytes: number;
}

export class ObjectCache implements AsyncDisposable {
  readonly #objects: ReadableObjects;
  readonly #directory: string;
  readonly #capacityBytes: number;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  /** Fetches given up whose file may still be there. */
  readonly #leaving = new Set<Promise<void>>();
  #fileCount = 0;
  #heldBytes = 0;
  #hits = 0;
  #fetches = 0;
  #fetchedBytes = 0;

  private constructor(options: ObjectCacheOptions, directory: string) {
    this.#objects = options.objects;
    this.#directory = directory;
    this.#capacityBytes = options.capacityBytes;
  }

  static async create(options: ObjectCacheOptions): Promise<ObjectCache> {
    const directory = await mkdtemp(join(options.tempDir, 'tracelake-cache-'));
    return new ObjectCache(options, directory);
  }

  get stats(): ObjectCacheStats {
    return {
      hits: this.#hits,
      fetches: this.#fetches,
      fetchedBytes: this.#fetchedBytes,
      heldBytes: this.#heldBytes,
    };
  }

  /**
   * The object as a local file, kept at least until it is disposed of. A signal that fires gives up this
   * reader's wait; the fetch goes on while another waits for it.
   *
   * Errors: `lake-reading.cache-full` when what is being read leaves no room for it; those of the store.
   */
  async open(object: CachedObject, signal: AbortSignal): Promise<LocalObject> {
    signal.throwIfAborted();
    const inPlace = this.#objects.localPath(object.objectKey);
    if (inPlace !== undefined) return { path: inPlace, [Symbol.asyncDispose]: async () => {} };
    const known = this.#entries.get(object.objectKey);
    if (known !== undefined) this.#hits += 1;
    const entry = known ?? this.#startFetch(object);
    this.#touch(entry);
    entry.readers += 1;
    try {
      await abortable(entry.fetched, signal);
    } catch (error) {
      this.#leave(entry);
      throw error;
    }
    let held = true;
    return {
      path: entry.path,
      [Symbol.asyncDispose]: async () => {
        if (held) this.#leave(entry);
        held = false;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const entry of [...this.#entries.values()]) this.#drop(entry);
    await Promise.all(this.#leaving);
    await rm(this.#directory, { recursive: true, force: true });
  }

  #startFetch({ objectKey, sizeBytes }: CachedObject): Entry {
    this.#makeRoom(sizeBytes);
    const path = join(this.#directory, `object-${this.#fileCount++}.parquet`);
    const giveUp = new AbortController();
    const fetched = this.#objects.getToFile(objectKey, path, giveUp.signal);
    const entry: Entry = {
      objectKey,
      path,
      sizeBytes,
      fetched,
      giveUp,
      isFetched: false,
      readers: 0,
    };
    this.#entries.set(objectKey, entry);
    this.#heldBytes += sizeBytes;
    this.#fetches += 1;
    fetched.then(
      () => {
        entry.isFetched = true;
        this.#fetchedBytes += sizeBytes;
      },
      () => this.#drop(entry),
    );
    return entry;
  }

  #makeRoom(sizeBytes: number): void {
    for (const entry of this.#entries.values()) {
      if (this.#heldBytes + sizeBytes <= this.#capacityBytes) return;
      if (entry.readers === 0) this.#drop(entry);
    }
    if (this.#heldBytes + sizeBytes <= this.#capacityBytes) return;
    throw new LakeReadingError(
      'lake-reading.cache-full',
      'the objects being read at once do not fit into the local cache; ask for a shorter range or a larger cache',
      {
        retryable: true,
        details: {
          capacityBytes: this.#capacityBytes,
          heldBytes: this.#heldBytes,
          objectBytes: sizeBytes,
        },
      },
    );
  }

  #touch(entry: Entry): void {
    this.#entries.delete(entry.objectKey);
    this.#entries.set(entry.objectKey, entry);
  }

  /** A fetch that nobody waits for any more is given up. */
  #leave(entry: Entry): void {
    entry.readers -= 1;
    if (entry.readers === 0 && !entry.isFetched) this.#drop(entry);
  }

  #drop(entry: Entry): void {
    if (this.#entries.get(entry.objectKey) !== entry) return;
    this.#entries.delete(entry.objectKey);
    this.#heldBytes -= entry.sizeBytes;
    entry.giveUp.abort(new Error('nobody waits for the object any more'));
    const leaving = entry.fetched
      .catch(() => {})
      .then(() => rm(entry.path, { force: true }))
      .catch(() => {})
      .finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }
}

async function abortable(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
