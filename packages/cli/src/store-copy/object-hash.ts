import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type ObjectStore, StorageError } from '@tracelake/storage';

/** Objects up to this size go through memory, larger ones through a file. */
export const inMemoryBytesMax = 8 * 1024 * 1024;

export interface HashedObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly tempDir: string;
  readonly signal: AbortSignal;
}

/** The SHA-256 of an object as the store gives it back, in hex. Throws StorageError. */
export async function hashObject(
  store: ObjectStore,
  { key, sizeBytes, tempDir, signal }: HashedObject,
): Promise<string> {
  if (sizeBytes <= inMemoryBytesMax) {
    return createHash('sha256')
      .update(await store.get(key, signal))
      .digest('hex');
  }
  const localPath = store.localPath(key);
  if (localPath !== undefined) return await hashFile(localPath, key, signal);
  const temporary = path.join(tempDir, `tracelake-verify-${randomUUID()}`);
  try {
    await store.getToFile(key, temporary, signal);
    return await hashFile(temporary, key, signal);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function hashFile(file: string, key: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file, { signal })) hash.update(chunk);
  } catch (cause) {
    signal.throwIfAborted();
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new StorageError(
      isMissing ? 'storage.object-missing' : 'storage.object-store-unavailable',
      isMissing ? 'there is no such object' : 'an object cannot be read',
      { cause, details: { key } },
    );
  }
  return hash.digest('hex');
}
