/**
 * Objects as files below a directory. A put writes a temporary file, syncs it and links it, so that a name appears
 * with its whole content and for one writer only; then it syncs the directories, because a file whose name is
 * lost in a power failure is lost too. Temporary files lie together in one directory, where those that a
 * killed writer left are found without a walk over the store.
 */
import { randomUUID } from 'node:crypto';
import {
  constants,
  copyFile,
  link,
  mkdir,
  open,
  opendir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AppErrorOptions } from '@tracelake/domain';
import { claimName, isLeftBehind, ownedNamePrefix, releaseName } from '../file-owner.ts';
import { checkObjectKey } from '../object-keys.ts';
import { StorageError } from '../storage-error.ts';
import { ObjectFilePool } from './object-file-pool.ts';
import type { ObjectFileReply } from './object-file-writing.ts';
import {
  type ByteRange,
  type ObjectBody,
  type ObjectEntry,
  type ObjectStore,
  type PutOutcome,
  proveCreateOnly,
} from './object-store.ts';

/** No key can begin with a dot. */
const TEMPORARY_DIRECTORY = '.tmp';
const TEMPORARY_PREFIX = 'put-';
/** Of other machines, which cannot be asked whether the writer lives, only what no put could still be at. */
const TEMPORARY_AGE_MAX_MS = 24 * 60 * 60 * 1000;
/** Directories remembered as durable; past it they are synced again, which is slower and not wrong. */
const DURABLE_DIRECTORIES_MAX = 10_000;

export interface DirectoryStoreOptions {
  /** Threads that write objects given as bytes, for a service that writes many; without them, `fs/promises` do. */
  readonly writerThreads?: number | undefined;
}

export class DirectoryObjectStore implements ObjectStore, AsyncDisposable {
  readonly url: string;
  readonly #root: string;
  readonly #pool: ObjectFilePool | undefined;
  /** Directories whose own names are known to be durable. */
  readonly #durable = new Set<string>();
  #isProven = false;

  constructor(root: string, { writerThreads = 0 }: DirectoryStoreOptions = {}) {
    this.#root = resolve(root);
    this.url = pathToFileURL(this.#root).href;
    if (writerThreads > 0) {
      const temporary = {
        directory: join(this.#root, TEMPORARY_DIRECTORY),
        prefix: TEMPORARY_PREFIX,
      };
      this.#pool = new ObjectFilePool({ root: this.#root, temporary, threads: writerThreads });
    }
  }

  async putIfAbsent(key: string, body: ObjectBody, signal?: AbortSignal): Promise<PutOutcome> {
    const path = this.localPath(key);
    const pool = this.#pool;
    if (pool !== undefined && !('path' in body)) {
      const pieces = 'pieces' in body ? body.pieces : [body];
      return attempt(key, signal, async () => outcomeOf(await pool.put(path, pieces, signal), key));
    }
    return attempt(key, signal, async () => {
      const directory = dirname(path);
      await this.#ensureDirectory(directory);
      const outcome = (await isThere(path))
        ? 'already-exists'
        : await this.#create(path, body, signal);
      // Also for an earlier writer's object: it may not have come so far yet.
      await syncDirectory(directory);
      return outcome;
    });
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array> {
    const path = this.localPath(key);
    return attempt(key, signal, () => readFile(path, signal === undefined ? {} : { signal }));
  }

  async getRange(key: string, range: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    const path = this.localPath(key);
    return attempt(key, signal, async () => {
      await using file = await open(path, 'r');
      const length = Math.min(range.length, Math.max(0, (await file.stat()).size - range.offset));
      const bytes = new Uint8Array(length);
      const { bytesRead } = await file.read(bytes, 0, length, range.offset);
      return bytes.subarray(0, bytesRead);
    });
  }

  async getToFile(key: string, path: string, signal?: AbortSignal): Promise<void> {
    const source = this.localPath(key);
    await attempt(key, signal, async () => {
      const temporary = `${path}.${randomUUID()}.partial`;
      try {
        await copyFile(source, temporary, constants.COPYFILE_FICLONE);
        await rename(temporary, path);
      } finally {
        await rm(temporary, { force: true });
      }
    });
  }

  localPath(key: string): string {
    checkObjectKey(key);
    return join(this.#root, key);
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const path = this.localPath(key);
    await attempt(key, signal, () => rm(path, { force: true }));
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectEntry> {
    const start = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    if (start !== '') checkObjectKey(start.slice(0, -1));
    yield* this.#walk(start, prefix, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.[Symbol.asyncDispose]();
  }

  async checkReady(signal?: AbortSignal): Promise<void> {
    if (this.#isProven) {
      await attempt(this.#root, signal, () => stat(this.#root));
      return;
    }
    await attempt(this.#root, signal, () => this.#removeLeftovers());
    await proveCreateOnly(this, signal);
    this.#isProven = true;
  }

  async #create(
    path: string,
    body: ObjectBody,
    signal: AbortSignal | undefined,
  ): Promise<PutOutcome> {
    const directory = join(this.#root, TEMPORARY_DIRECTORY);
    await mkdir(directory, { recursive: true });
    const name = `${ownedNamePrefix(TEMPORARY_PREFIX)}${randomUUID()}`;
    const temporary = join(directory, name);
    claimName(name);
    try {
      await writeTemporary(temporary, body, signal);
      await link(temporary, path);
      return 'created';
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return 'already-exists';
      throw error;
    } finally {
      await rm(temporary, { force: true });
      releaseName(name);
    }
  }

  /** Removes what killed writers left. */
  async #removeLeftovers(): Promise<void> {
    const directory = join(this.#root, TEMPORARY_DIRECTORY);
    await mkdir(directory, { recursive: true });
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      if (isLeftBehind(TEMPORARY_PREFIX, name) || (await isOld(path))) {
        await rm(path, { force: true });
      }
    }
  }

  async *#walk(
    directory: string,
    prefix: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ObjectEntry> {
    const entries = await attempt(directory, signal, async () => {
      try {
        return await opendir(join(this.#root, directory));
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw error;
      }
    });
    if (entries === undefined) return;
    for await (const entry of entries) {
      signal?.throwIfAborted();
      const key = directory + entry.name;
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) {
        if (`${key}/`.startsWith(prefix) || prefix.startsWith(`${key}/`)) {
          yield* this.#walk(`${key}/`, prefix, signal);
        }
      } else if (key.startsWith(prefix)) {
        const stats = await stat(join(this.#root, key)).catch(() => undefined);
        // It was deleted meanwhile.
        if (stats === undefined) continue;
        yield { key, sizeBytes: stats.size, modifiedMs: stats.mtimeMs };
      }
    }
  }

  /**
   * Makes a directory and its parents durable. Another process that made one may not have synced it yet, so this
   * does not trust a directory just because it is there.
   */
  async #ensureDirectory(directory: string): Promise<void> {
    if (this.#durable.has(directory) && (await isThere(directory))) return;
    await mkdir(directory, { recursive: true });
    for (let child = directory; child !== dirname(child); child = dirname(child)) {
      await syncDirectory(dirname(child));
      if (child === this.#root) break;
    }
    if (this.#durable.size >= DURABLE_DIRECTORIES_MAX) this.#durable.clear();
    this.#durable.add(directory);
  }
}

/** By the time of its name's last change, which a link to an older file sets too. */
async function isOld(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats !== undefined && Date.now() - stats.ctimeMs > TEMPORARY_AGE_MAX_MS;
}

async function writeTemporary(
  temporary: string,
  body: ObjectBody,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (!('path' in body)) {
    const options = { flag: 'wx', flush: true, ...(signal === undefined ? {} : { signal }) };
    await writeFile(temporary, 'pieces' in body ? body.pieces : body, options);
    return;
  }
  try {
    // A finished file on the same file system needs no copy.
    await link(body.path, temporary);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw error;
    await copyFile(body.path, temporary, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  }
  await using file = await open(temporary, 'r+');
  await file.sync();
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function attempt<T>(
  key: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    throw toStorageError(error, key);
  }
}

function toStorageError(error: unknown, key: string): unknown {
  const code = codeOf(error);
  if (code === undefined || error instanceof StorageError) return error;
  const options = { cause: error, details: { key, code } };
  if (code === 'ENOENT') {
    return new StorageError('storage.object-missing', 'there is no such object', options);
  }
  return unavailable(code, options);
}

function outcomeOf(reply: ObjectFileReply, key: string): PutOutcome {
  if (reply.outcome !== 'failed') return reply.outcome;
  const { code, message } = reply;
  throw unavailable(code ?? message, { cause: new Error(message), details: { key, code } });
}

function unavailable(why: string, options: AppErrorOptions): StorageError {
  return new StorageError(
    'storage.object-store-unavailable',
    `the object store's directory does not serve (${why})`,
    { ...options, retryable: true },
  );
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
