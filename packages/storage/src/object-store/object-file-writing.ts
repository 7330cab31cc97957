/**
 * Writes objects as files, blocking the thread: a batch costs one message between threads, and a directory that
 * several objects go to is synced once. The order is what makes an acknowledged object safe: content synced, then
 * linked under its name, then the name's directory synced.
 */
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { ensureExists } from '@tracelake/domain';
import type { PutOutcome } from './object-store.ts';

export interface ObjectFile {
  /** Absolute, on the same file system as `path`; nothing is there yet. */
  readonly temporary: string;
  /** Absolute, below the root. */
  readonly path: string;
  readonly bytes: Uint8Array;
  /**
   * For bytes that begin at a page of memory, they and what is behind them up to a whole page: such ones can go
   * to the disk past the page cache. What is behind them is overwritten.
   */
  readonly pages: Uint8Array | undefined;
  /** Whether the names of the directory and of its parents are known to be durable. */
  readonly isDirectoryDurable: boolean;
}

/**
 * From here on the page cache costs more than it saves: a fresh page for each 4 KiB, and a copy. The disk still gets
 * everything before the sync returns.
 */
const DIRECT_BYTES_MIN = 64 * 1024;

/** What file systems answer that cannot write past the page cache, or not from this memory. */
const NOT_DIRECT: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP']);

/** What became of one file; a failure has the system's code (`ENOSPC`) where it has one. */
export type ObjectFileReply =
  | { readonly outcome: PutOutcome }
  | { readonly outcome: 'failed'; readonly code: string | undefined; readonly message: string };

/**
 * Each step for all files before the next step for any: what the files share (the directory of temporary ones, blocks
 * of inodes) is then mostly synced once. The reply at each index tells of the file there; one that fails does not
 * stop the others.
 */
export function writeObjectFiles(root: string, files: readonly ObjectFile[]): ObjectFileReply[] {
  const writings = files.map((file) => new ObjectFileWriting(root, file));
  for (const writing of writings) writing.attempt(() => writing.write());
  for (const writing of writings) writing.attempt(() => writing.sync());
  for (const writing of writings) writing.attempt(() => writing.link());
  for (const writing of writings) writing.removeTemporary();
  const unsynced = new Map<string, ObjectFileReply>();
  for (const directory of new Set(writings.map((writing) => writing.directory))) {
    try {
      // Also for an earlier writer's object: it may not have come so far yet.
      syncDirectory(directory);
    } catch (error) {
      unsynced.set(directory, failureOf(error));
    }
  }
  return writings.map(({ reply, directory }) =>
    reply.outcome === 'failed' ? reply : (unsynced.get(directory) ?? reply),
  );
}

/** One file on its way; once it has a reply, no step does anything more. */
class ObjectFileWriting {
  readonly directory: string;
  readonly #root: string;
  readonly #file: ObjectFile;
  #reply: ObjectFileReply | undefined;
  /** Open from the writing to the sync. */
  #descriptor: number | undefined;
  #hasTemporary = false;

  constructor(root: string, file: ObjectFile) {
    this.#root = root;
    this.#file = file;
    this.directory = dirname(file.path);
  }

  get reply(): ObjectFileReply {
    return this.#reply ?? { outcome: 'created' };
  }

  /** Runs a step unless an earlier one has settled what becomes of the file. */
  attempt(step: () => void): void {
    if (this.#reply !== undefined) return;
    try {
      step();
    } catch (error) {
      this.#reply = failureOf(error);
      this.#close();
    }
  }

  write(): void {
    if (!this.#file.isDirectoryDurable) ensureDurableDirectory(this.#root, this.directory);
    if (existsSync(this.#file.path)) {
      this.#reply = { outcome: 'already-exists' };
      return;
    }
    this.#hasTemporary = true;
    if (this.#writePages()) return;
    this.#open(0);
    this.#writeAll(this.#file.bytes);
  }

  sync(): void {
    if (this.#descriptor !== undefined) fsyncSync(this.#descriptor);
    this.#close();
  }

  link(): void {
    const { temporary, path } = this.#file;
    try {
      linkIn(this.#root, temporary, path);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      this.#reply = { outcome: 'already-exists' };
    }
  }

  /** What cannot be removed is left to the next start's look for leftovers. */
  removeTemporary(): void {
    if (!this.#hasTemporary) return;
    try {
      unlinkSync(this.#file.temporary);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#reply ??= failureOf(error);
    }
  }

  /** Writes past the page cache; false, with no file left, where file or file system do not go with that. */
  #writePages(): boolean {
    const { temporary, bytes, pages } = this.#file;
    if (pages === undefined || bytes.length < DIRECT_BYTES_MIN) return false;
    if (constants.O_DIRECT === undefined) return false;
    pages.fill(0, bytes.length);
    try {
      this.#open(constants.O_DIRECT);
      this.#writeAll(pages);
      ftruncateSync(ensureExists(this.#descriptor, 'an open file'), bytes.length);
      return true;
    } catch (error) {
      if (!NOT_DIRECT.has(codeOf(error) ?? '')) throw error;
      this.#close();
      rmSync(temporary, { force: true });
      return false;
    }
  }

  #open(flags: number): void {
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    const { temporary } = this.#file;
    const open = () => openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | flags, 0o666);
    try {
      this.#descriptor = open();
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      mkdirSync(dirname(temporary), { recursive: true });
      this.#descriptor = open();
    }
  }

  #writeAll(bytes: Uint8Array): void {
    const descriptor = ensureExists(this.#descriptor, 'an open file');
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(descriptor, bytes, written, bytes.length - written, written);
    }
  }

  #close(): void {
    if (this.#descriptor === undefined) return;
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    closeSync(descriptor);
  }
}

/** The directory may have been removed since it was known to be durable. */
function linkIn(root: string, temporary: string, path: string): void {
  try {
    linkSync(temporary, path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    ensureDurableDirectory(root, dirname(path));
    linkSync(temporary, path);
  }
}

/**
 * Makes a directory and its parents durable. Another process that made one may not have synced it yet, so this
 * does not trust a directory just because it is there.
 */
function ensureDurableDirectory(root: string, directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (let child = directory; child !== dirname(child); child = dirname(child)) {
    syncDirectory(dirname(child));
    if (child === root) break;
  }
}

function failureOf(error: unknown): ObjectFileReply {
  const message = error instanceof Error ? error.message : String(error);
  return { outcome: 'failed', code: codeOf(error), message };
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
