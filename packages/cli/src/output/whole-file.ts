/**
 * A file that exists whole or not at all: bytes go to `FILE.<pid>.partial` beside it, are synced, and
 * the name is changed last. What a killed writer left is removed by the next one for the same file.
 */
import { type FileHandle, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { CliError } from '../cli-error.ts';

/** Where bytes go; `commit` makes them visible, disposing before that leaves nothing. */
export interface FileSink extends AsyncDisposable {
  write(bytes: Uint8Array): Promise<void>;
  commit(): Promise<void>;
}

/** Opens a file for writing whole. Throws `cli.file` when that cannot work, before a byte is asked for. */
export async function openWholeFile(file: string): Promise<FileSink> {
  const target = await realpath(file).catch(() => path.resolve(file));
  const found = await stat(target).catch(() => undefined);
  if (found?.isDirectory() === true) throw fileError(file, 'it is a directory');
  // A device or a pipe has no name to change: /dev/null, a FIFO.
  if (found !== undefined && !found.isFile()) return await openDirect(target);
  await removeLeftovers(target);
  const partial = `${target}.${process.pid}.partial`;
  const handle = await open(partial, 'wx').catch((error: NodeJS.ErrnoException) => {
    throw fileError(file, error.code === 'ENOENT' ? 'its directory does not exist' : error.message);
  });
  return new PartialFile(handle, partial, target);
}

class PartialFile implements FileSink {
  readonly #handle: FileHandle;
  readonly #partial: string;
  readonly #target: string;
  #isOpen = true;
  #isCommitted = false;

  constructor(handle: FileHandle, partial: string, target: string) {
    this.#handle = handle;
    this.#partial = partial;
    this.#target = target;
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      await writeAll(this.#handle, bytes);
    } catch (error) {
      throw fileError(this.#target, messageOf(error), error);
    }
  }

  async commit(): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#close();
      await rename(this.#partial, this.#target);
      this.#isCommitted = true;
      await syncDirectory(path.dirname(this.#target));
    } catch (error) {
      throw fileError(this.#target, messageOf(error), error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    if (!this.#isCommitted) await rm(this.#partial, { force: true });
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#handle.close();
  }
}

async function openDirect(target: string): Promise<FileSink> {
  const handle = await open(target, 'w').catch((error: Error) => {
    throw fileError(target, error.message, error);
  });
  return {
    write: (bytes) => writeAll(handle, bytes),
    commit: async () => {},
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let offset = 0;
  while (offset < bytes.byteLength) {
    offset += (await handle.write(bytes, offset)).bytesWritten;
  }
}

/** A new name is durable only when its directory is. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function removeLeftovers(target: string): Promise<void> {
  const prefix = `${path.basename(target)}.`;
  const names = await readdir(path.dirname(target)).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(prefix) || !name.endsWith('.partial')) continue;
    const pid = Number(name.slice(prefix.length, -'.partial'.length));
    if (!Number.isInteger(pid) || pid <= 0 || isRunning(pid)) continue;
    await rm(path.join(path.dirname(target), name), { force: true });
  }
}

function isRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function fileError(file: string, reason: string, cause?: unknown): CliError {
  return new CliError('cli.file', `cannot write ${file}: ${reason}`, { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
