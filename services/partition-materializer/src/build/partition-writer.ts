/** Rows to a Parquet object under a key of its own: nobody sees it before the catalog names it. */

import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ViewSet } from '@tracelake/lakehouse';
import type { Logger } from '@tracelake/service-kit';
import { type ObjectStore, objectKeys } from '@tracelake/storage';
import type { RunFile } from './run-messages.ts';

export interface PartitionWriterOptions {
  readonly objectStore: ObjectStore;
  /** Where Parquet files are written before they are published. */
  readonly tempDir: string;
  readonly rowGroupRows: number;
  readonly logger: Logger;
}

export interface PartitionFileRequest {
  readonly view: ViewSet;
  readonly instance: string;
  readonly schemaHash: string;
  readonly sourceHash: string;
  readonly partitionId: string;
  readonly beginInsertUs: bigint;
  readonly signal: AbortSignal;
}

/** A file that is written and known to nobody else. Dispose it in any case. */
export interface WrittenFile<Encoded extends EncodedRows> extends AsyncDisposable {
  readonly encoded: Encoded;
  /** Makes an object of it and returns its key; null when there are no rows, and so no file. */
  publish(): Promise<string | null>;
}

/** What came of writing rows; of no rows there is no file. */
export interface EncodedRows {
  readonly rowCount: number;
  readonly sizeBytes: number;
}

/** The last stage of one lane's builds. */
export class PartitionWriter {
  readonly #options: PartitionWriterOptions;

  constructor(options: PartitionWriterOptions) {
    this.#options = options;
  }

  /**
   * Has the file written, to be published. Bytes are deterministic, the key is not: a sweeper can never delete
   * what a racing writer is about to register.
   */
  async write<Encoded extends EncodedRows>(
    request: PartitionFileRequest,
    write: (file: RunFile) => Promise<Encoded>,
  ): Promise<WrittenFile<Encoded>> {
    const { view, instance, signal } = request;
    const { objectStore, rowGroupRows, tempDir } = this.#options;
    const attempt = randomUUID();
    const path = join(tempDir, `${attempt}.parquet`);
    const remove = () => rm(path, { force: true });
    await using stack = new AsyncDisposableStack();
    stack.defer(remove);
    const encoded = await write({
      path,
      rowGroupRows,
      metadata: {
        view: view.name,
        instance,
        'schema hash': request.schemaHash,
        'source hash': request.sourceHash,
      },
    });
    stack.move();
    return {
      encoded,
      async publish() {
        if (encoded.rowCount === 0) return null;
        const objectKey = objectKeys.partition({
          viewSet: view.name,
          instance,
          day: utcDayOf(request.beginInsertUs),
          partitionId: request.partitionId,
          attempt,
        });
        await objectStore.putIfAbsent(objectKey, { path }, signal);
        return objectKey;
      },
      [Symbol.asyncDispose]: remove,
    };
  }

  /** Best effort: what is left is an orphan, which the sweeper finds. */
  async discard(keys: readonly (string | null)[]): Promise<void> {
    const { objectStore, logger } = this.#options;
    for (const key of keys) {
      if (key === null) continue;
      try {
        await objectStore.delete(key);
      } catch (error) {
        logger.warn('an unused partition file is left to the sweeper', { key, error });
      }
    }
  }
}

function utcDayOf(timeUs: bigint): string {
  return new Date(Number(timeUs / 1000n)).toISOString().slice(0, 10);
}
