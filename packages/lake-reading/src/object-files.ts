/** Objects as files that DuckDB can read: in place where the store is a directory, else copied for a while. */

import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectStore } from '@tracelake/storage';

/** The part of an object store that is needed here. */
export type ReadableObjects = Pick<ObjectStore, 'localPath' | 'getToFile'>;

/** An object that can be read at `path` until it is disposed of. */
export interface LocalObject extends AsyncDisposable {
  readonly path: string;
}

/** Gives out the files of one reader and keeps its temporary directory. */
export class ObjectFiles implements AsyncDisposable {
  readonly #objects: ReadableObjects;
  readonly #directory: string;
  readonly #signal: AbortSignal;
  #copyCount = 0;

  private constructor(objects: ReadableObjects, directory: string, signal: AbortSignal) {
    this.#objects = objects;
    this.#directory = directory;
    this.#signal = signal;
  }

  /** Makes a directory of its own below `tempDir`, removed with everything in it on disposal. */
  static async create(
    objects: ReadableObjects,
    tempDir: string,
    signal: AbortSignal,
  ): Promise<ObjectFiles> {
    const directory = await mkdtemp(join(tempDir, 'tracelake-read-'));
    return new ObjectFiles(objects, directory, signal);
  }

  /** Where sorts and joins may spill. */
  get spillDir(): string {
    return this.#directory;
  }

  /** The object as a local file, until it is disposed of. */
  async open(objectKey: string): Promise<LocalObject> {
    const inPlace = this.#objects.localPath(objectKey);
    if (inPlace !== undefined) return { path: inPlace, [Symbol.asyncDispose]: async () => {} };
    const path = join(this.#directory, `object-${this.#copyCount++}.parquet`);
    await this.#objects.getToFile(objectKey, path, this.#signal);
    return { path, [Symbol.asyncDispose]: () => rm(path, { force: true }) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}
