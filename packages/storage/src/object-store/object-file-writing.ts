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
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
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

/** The reply at each index tells of the file there; one that fails does not stop the others. */
export function writeObjectFiles(root: string, files: readonly ObjectFile[]): ObjectFileReply[] {
  const replies = files.map((file) => writeObjectFile(root, file));
  const unsynced = new Map<string, ObjectFileReply>();
  for (const directory of new Set(files.map((file) => dirname(file.path)))) {
    try {
      // Also for an earlier writer's object: it may not have come so far yet.
      syncDirectory(directory);
    } catch (error) {
      unsynced.set(directory, failureOf(error));
    }
  }
  return replies.map((reply, index) => {
    if (reply.outcome === 'failed') return reply;
    return unsynced.get(dirname(files[index]?.path ?? '')) ?? reply;
  });
}

function writeObjectFile(root: string, file: ObjectFile): ObjectFileReply {
  try {
    return { outcome: createObjectFile(root, file) };
  } catch (error) {
    return failureOf(error);
  }
}

function createObjectFile(root: string, file: ObjectFile): PutOutcome {
  const directory = dirname(file.path);
  if (!file.isDirectoryDurable || !existsSync(directory)) ensureDurableDirectory(root, directory);
  if (existsSync(file.path)) return 'already-exists';
  mkdirSync(dirname(file.temporary), { recursive: true });
  try {
    if (!writePages(file)) {
      writeFileSync(file.temporary, file.bytes, { flag: 'wx', flush: true });
    }
    linkSync(file.temporary, file.path);
    return 'created';
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return 'already-exists';
    throw error;
  } finally {
    rmSync(file.temporary, { force: true });
  }
}

/** Writes past the page cache; false, with no file left, where file or file system do not go with that. */
function writePages({ temporary, bytes, pages }: ObjectFile): boolean {
  const { O_WRONLY, O_CREAT, O_EXCL, O_DIRECT } = constants;
  if (pages === undefined || bytes.length < DIRECT_BYTES_MIN || O_DIRECT === undefined) {
    return false;
  }
  pages.fill(0, bytes.length);
  let descriptor: number | undefined;
  try {
    descriptor = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_DIRECT, 0o666);
    for (let written = 0; written < pages.length; ) {
      written += writeSync(descriptor, pages, written, pages.length - written, written);
    }
    ftruncateSync(descriptor, bytes.length);
    fsyncSync(descriptor);
    return true;
  } catch (error) {
    if (!NOT_DIRECT.has(codeOf(error) ?? '')) throw error;
    rmSync(temporary, { force: true });
    return false;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
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
