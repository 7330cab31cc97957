/**
 * Threads that write objects below a directory. Each has one batch under way; what comes meanwhile waits and is
 * shared out among the threads that become free, so batches grow with the load. Blocking threads in place of
 * `fs/promises`: one message a batch costs far less than six thread changes an object, and the number of syncs
 * under way is not bound to the four threads that the whole of Node shares.
 */
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { claimName, ownedNamePrefix, releaseName } from '../file-owner.ts';
import { StorageError } from '../storage-error.ts';
import {
  createObjectFileMemory,
  OBJECT_FILE_MEMORY_BYTES,
  type ObjectFilePlace,
  wholePages,
} from './object-file-memory.ts';
import type { ObjectFileOrder, ObjectFileThreadData } from './object-file-thread.ts';
import type { ObjectFileReply } from './object-file-writing.ts';

export interface ObjectFilePoolOptions {
  /** The store's directory. */
  readonly root: string;
  /** Where files are written before they have their names, and how those begin. */
  readonly temporary: { readonly directory: string; readonly prefix: string };
  /** Threads; they start when first needed. */
  readonly threads: number;
}

interface WaitingFile {
  readonly path: string;
  readonly pieces: readonly Uint8Array[];
  readonly byteCount: number;
  readonly settle: (reply: ObjectFileReply) => void;
}

/** Puts that may wait; a caller that bounds its own work never meets it. */
const WAITING_FILES_MAX = 20_000;
/** A batch is acknowledged as a whole, so it stays short. */
const BATCH_FILES_MAX = 64;
/** Directories remembered as durable; past it they are synced again, which is slower and not wrong. */
const DURABLE_DIRECTORIES_MAX = 10_000;
const THREAD_HEAP_MB = 32;

export class ObjectFilePool implements AsyncDisposable {
  readonly #options: ObjectFilePoolOptions;
  readonly #waiting: WaitingFile[] = [];
  readonly #idle: FileThread[] = [];
  readonly #all = new Set<FileThread>();
  readonly #durable = new Set<string>();
  #isDispatching = false;
  #isClosed = false;

  constructor(options: ObjectFilePoolOptions) {
    this.#options = options;
  }

  /**
   * Writes one object, the pieces one after the other; resolves with what became of it. The pieces are copied when a
   * thread is free, so nobody changes them before this settles. Throws `storage.object-store-overloaded`, and the
   * signal's reason, after which the object may still be made.
   */
  async put(
    path: string,
    pieces: readonly Uint8Array[],
    signal?: AbortSignal,
  ): Promise<ObjectFileReply> {
    signal?.throwIfAborted();
    if (this.#isClosed) throw closed();
    if (this.#waiting.length >= WAITING_FILES_MAX) throw overloaded(this.#waiting.length);
    const { promise, resolve, reject } = Promise.withResolvers<ObjectFileReply>();
    const byteCount = pieces.reduce((sum, { length }) => sum + length, 0);
    const file: WaitingFile = { path, pieces, byteCount, settle: resolve };
    const onAbort = () => {
      const index = this.#waiting.indexOf(file);
      if (index >= 0) this.#waiting.splice(index, 1);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiting.push(file);
    this.#dispatchSoon();
    try {
      return await promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** What is under way is left to finish, what waits fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const { settle } of this.#waiting.splice(0)) settle(lost('the store is closed'));
    await Promise.all([...this.#all].map((thread) => thread.close()));
  }

  /** Once a turn of the event loop, so that what came in the same turn goes out together. */
  #dispatchSoon(): void {
    if (this.#isDispatching) return;
    this.#isDispatching = true;
    setImmediate(() => {
      this.#isDispatching = false;
      this.#dispatch();
    });
  }

  /**
   * The first file goes at once, each further thread is woken for one file more than the one before: a batch of several
   * costs less than as many batches. What waits goes with the next batch that ends at the latest.
   */
  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const busyThreads = this.#all.size - this.#idle.length;
      if (busyThreads > 0 && this.#waiting.length <= busyThreads) return;
      const thread = this.#takeThread();
      if (thread === undefined) return;
      const share = Math.ceil(this.#waiting.length / this.#options.threads);
      void this.#write(thread, this.#takeBatch(Math.max(share, busyThreads + 1)));
    }
  }

  #takeThread(): FileThread | undefined {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#all.size >= this.#options.threads) return undefined;
    const thread = new FileThread(this.#options.root);
    this.#all.add(thread);
    return thread;
  }

  #takeBatch(share: number): WaitingFile[] {
    let batchBytes = 0;
    let fileCount = 0;
    for (const { byteCount } of this.#waiting) {
      batchBytes += wholePages(byteCount);
      const isFull = fileCount >= share || batchBytes > OBJECT_FILE_MEMORY_BYTES;
      if (fileCount > 0 && isFull) break;
      fileCount += 1;
      if (fileCount === BATCH_FILES_MAX) break;
    }
    return this.#waiting.splice(0, fileCount);
  }

  async #write(thread: FileThread, batch: readonly WaitingFile[]): Promise<void> {
    const { directory, prefix } = this.#options.temporary;
    const names = batch.map(() => `${ownedNamePrefix(prefix)}${randomUUID()}`);
    for (const name of names) claimName(name);
    const contents = thread.take(batch);
    const orders = batch.map(({ path }, index) => ({
      temporary: join(directory, names[index] ?? ''),
      path,
      content: contents[index] ?? new Uint8Array(0),
      isDirectoryDurable: this.#durable.has(dirname(path)),
    }));
    const replies = await thread.write(orders);
    for (const name of names) releaseName(name);
    batch.forEach(({ path, settle }, index) => {
      const reply = replies?.[index] ?? lost('the thread that wrote it ended');
      if (reply.outcome !== 'failed') this.#rememberDurable(dirname(path));
      settle(reply);
    });
    if (thread.isDead) this.#all.delete(thread);
    else this.#idle.push(thread);
    this.#dispatch();
  }

  #rememberDurable(directory: string): void {
    if (this.#durable.size >= DURABLE_DIRECTORIES_MAX) this.#durable.clear();
    this.#durable.add(directory);
  }
}

/** One thread, one batch at a time. Once dead it stays dead. */
class FileThread {
  readonly #worker: Worker;
  readonly #memory = createObjectFileMemory();
  #finish: ((replies: readonly ObjectFileReply[] | undefined) => void) | undefined;
  #writing: Promise<unknown> = Promise.resolve();
  isDead = false;

  constructor(root: string) {
    this.#worker = new Worker(new URL('./object-file-thread.ts', import.meta.url), {
      workerData: { root, memory: this.#memory } satisfies ObjectFileThreadData,
      resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB, maxYoungGenerationSizeMb: 4 },
      name: 'object-file',
    });
    // An idle thread does not keep the process alive.
    this.#worker.unref();
    this.#worker.on('message', (replies: readonly ObjectFileReply[]) => this.#finish?.(replies));
    this.#worker.on('error', () => this.#die());
    this.#worker.on('exit', () => this.#die());
  }

  /** Copies what is to be written next: into the shared memory, or what is too large for it to be handed over. */
  take(files: readonly WaitingFile[]): ObjectFileOrder['content'][] {
    let offset = 0;
    return files.map(({ pieces, byteCount }) => {
      if (offset + byteCount > this.#memory.length) return joined(pieces, byteCount);
      const place: ObjectFilePlace = { offset, byteCount };
      copyPieces(pieces, this.#memory, offset);
      offset += wholePages(byteCount);
      return place;
    });
  }

  /** Undefined when the thread ended before it had answered; the files may be there or not. */
  async write(orders: readonly ObjectFileOrder[]): Promise<readonly ObjectFileReply[] | undefined> {
    const { promise, resolve } = Promise.withResolvers<readonly ObjectFileReply[] | undefined>();
    this.#writing = promise;
    if (this.isDead) return undefined;
    this.#finish = resolve;
    this.#worker.ref();
    const handedOver = orders.flatMap(({ content }) =>
      'buffer' in content ? [content.buffer] : [],
    );
    this.#worker.postMessage(orders, handedOver);
    const replies = await promise;
    this.#worker.unref();
    return replies;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#worker.terminate();
  }

  #die(): void {
    this.isDead = true;
    this.#finish?.(undefined);
  }
}

function joined(pieces: readonly Uint8Array[], byteCount: number): Uint8Array<ArrayBuffer> {
  const whole = Buffer.allocUnsafeSlow(byteCount);
  copyPieces(pieces, whole, 0);
  return whole;
}

function copyPieces(pieces: readonly Uint8Array[], target: Uint8Array, start: number): void {
  let offset = start;
  for (const piece of pieces) {
    target.set(piece, offset);
    offset += piece.length;
  }
}

function lost(message: string): ObjectFileReply {
  return { outcome: 'failed', code: undefined, message };
}

function overloaded(waiting: number): StorageError {
  return new StorageError(
    'storage.object-store-overloaded',
    'too many objects wait to be written',
    {
      retryable: true,
      details: { waiting },
    },
  );
}

function closed(): StorageError {
  return new StorageError('storage.object-store-unavailable', 'the object store is closed', {
    retryable: true,
  });
}
