/**
 * Copies objects from one store to another. Puts are create-only on both sides of an interruption, so a copy can be
 * stopped and run again at any time: what is there is compared and left.
 */

import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage } from '@tracelake/domain';
import { type NamedObject, type ObjectStore, StorageError } from '@tracelake/storage';
import { workBounded } from '../client/bounded-work.ts';
import type { CopyTally } from './copy-tally.ts';
import { hashObject, inMemoryBytesMax } from './object-hash.ts';

export interface CopyRequest {
  readonly from: ObjectStore;
  readonly to: ObjectStore;
  /** Where objects that do not fit in memory are on their way between two remote stores. */
  readonly tempDir: string;
  readonly concurrency: number;
  /** Reads what was copied, or was there, on both sides and compares hashes. */
  readonly verifies: boolean;
  /**
   * Whether an object that the source does not have is wanted all the same. One that was listed and is gone was swept
   * in between; one that a row names is lost, unless the row is gone too.
   */
  readonly isWanted: (key: string) => Promise<boolean>;
  /** Whether an object that was there already counts; it does at the first look. */
  readonly countsPresent: boolean;
  readonly tally: CopyTally;
  readonly signal: AbortSignal;
}

/** What to do about one object. */
interface CopyTask extends NamedObject {
  /** Undefined when the target does not have it. */
  readonly targetBytes: number | undefined;
}

const attemptsMax = 6;

/**
 * Brings the target to have all of the objects. Those of one directory should come one after the other: the target is
 * listed a directory at a time, and the names in one directory are held.
 */
export async function copyObjects(
  objects: AsyncIterable<NamedObject>,
  request: CopyRequest,
): Promise<void> {
  const { concurrency, signal } = request;
  const work = (task: CopyTask, taskSignal: AbortSignal) =>
    settleTask(task, { ...request, signal: taskSignal });
  await workBounded(withTargets(objects, request), concurrency, work, signal);
}

async function* withTargets(
  objects: AsyncIterable<NamedObject>,
  request: CopyRequest,
): AsyncGenerator<CopyTask> {
  let directory: string | undefined;
  let there = new Map<string, number>();
  for await (const { key, sizeBytes } of objects) {
    const next = key.slice(0, key.lastIndexOf('/') + 1);
    if (next !== directory) {
      directory = next;
      there = await retried(request.signal, () => listDirectory(request.to, next, request.signal));
    }
    yield { key, sizeBytes, targetBytes: there.get(key) };
  }
}

/** A directory that no store can have is empty: putting its objects says what is wrong with each. */
async function listDirectory(
  store: ObjectStore,
  directory: string,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const there = new Map<string, number>();
  try {
    for await (const entry of store.list(directory, signal)) there.set(entry.key, entry.sizeBytes);
  } catch (error) {
    if (!(error instanceof StorageError) || error.code !== 'storage.bad-object-key') throw error;
  }
  return there;
}

/** Throws what the next object would meet too: a store that stays away, an interruption. */
async function settleTask(task: CopyTask, request: CopyRequest): Promise<void> {
  const { tally, signal } = request;
  try {
    if (task.targetBytes !== undefined && task.targetBytes !== task.sizeBytes) {
      tally.noteDifferent(task.key, `${task.targetBytes} bytes instead of ${task.sizeBytes}`);
      return;
    }
    const isNew = task.targetBytes === undefined;
    if (!isNew && !request.countsPresent) return;
    const outcome = isNew ? await retried(signal, () => copyOne(task, request)) : 'already-exists';
    if (request.verifies && !(await retried(signal, () => isSame(task, request)))) {
      tally.noteDifferent(task.key, 'the bytes differ');
    } else if (outcome === 'created') tally.noteCopied(task.sizeBytes);
    else tally.notePresent();
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof StorageError) || error.retryable) throw error;
    if (error.code !== 'storage.object-missing') tally.noteFailed(task.key, reasonOf(error));
    else if (await request.isWanted(task.key)) tally.noteMissing(task.key);
  }
}

async function copyOne(task: CopyTask, request: CopyRequest) {
  const { from, to, signal } = request;
  const localPath = from.localPath(task.key);
  if (localPath !== undefined) return await to.putIfAbsent(task.key, { path: localPath }, signal);
  if (task.sizeBytes <= inMemoryBytesMax) {
    return await putWhole(task, await from.get(task.key, signal), request);
  }
  const temporary = path.join(request.tempDir, `tracelake-copy-${randomUUID()}`);
  try {
    await from.getToFile(task.key, temporary, signal);
    return await to.putIfAbsent(task.key, { path: temporary }, signal);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** An object is created once, so one that came short must not be. */
async function putWhole(task: CopyTask, bytes: Uint8Array, { to, signal }: CopyRequest) {
  if (bytes.byteLength === task.sizeBytes) return await to.putIfAbsent(task.key, bytes, signal);
  throw new StorageError(
    'storage.object-store-refused',
    `it has ${bytes.byteLength} bytes instead of ${task.sizeBytes}`,
    { details: { key: task.key } },
  );
}

async function isSame({ key, sizeBytes }: CopyTask, request: CopyRequest): Promise<boolean> {
  const { from, to, tempDir, signal } = request;
  const object = { key, sizeBytes, tempDir, signal };
  return (await hashObject(from, object)) === (await hashObject(to, object));
}

/** A store that is away for a moment is asked again, for about 6 s in all. */
async function retried<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      const mayRetry = error instanceof StorageError && error.retryable && attempt < attemptsMax;
      if (!mayRetry) throw error;
      await delay(200 * 2 ** (attempt - 1), undefined, { signal });
    }
  }
}

function reasonOf(error: StorageError): string {
  return error.cause === undefined
    ? error.message
    : `${error.message}: ${errorMessage(error.cause)}`;
}
