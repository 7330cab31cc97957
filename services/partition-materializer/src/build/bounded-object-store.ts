import {
  type PipelineObserver,
  type PipelineStage,
  type TokenPool,
  withToken,
} from '@tracelake/channels';
import type {
  ByteRange,
  ObjectBody,
  ObjectEntry,
  ObjectStore,
  PutOutcome,
} from '@tracelake/storage';

const never = new AbortController().signal;

/**
 * A store whose reads and writes take an I/O token each, so that all pipelines of the service together have a bounded
 * number of them under way. Waits are told as those of the reader and writer stages. Deleting and listing, which no
 * pipeline does, take none.
 */
export class BoundedObjectStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #ioTokens: TokenPool;
  readonly #observer: PipelineObserver;

  constructor(store: ObjectStore, ioTokens: TokenPool, observer: PipelineObserver) {
    this.#store = store;
    this.#ioTokens = ioTokens;
    this.#observer = observer;
  }

  get url(): string {
    return this.#store.url;
  }

  putIfAbsent(key: string, body: ObjectBody, signal?: AbortSignal): Promise<PutOutcome> {
    return this.#write(() => this.#store.putIfAbsent(key, body, signal), signal);
  }

  get(key: string, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#read(() => this.#store.get(key, signal), signal);
  }

  getRange(key: string, range: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#read(() => this.#store.getRange(key, range, signal), signal);
  }

  getToFile(key: string, path: string, signal?: AbortSignal): Promise<void> {
    return this.#read(() => this.#store.getToFile(key, path, signal), signal);
  }

  localPath(key: string): string | undefined {
    return this.#store.localPath(key);
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#store.delete(key, signal);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectEntry> {
    return this.#store.list(prefix, signal);
  }

  checkReady(signal?: AbortSignal): Promise<void> {
    return this.#store.checkReady(signal);
  }

  #read<T>(io: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#withIoToken('reader', io, signal);
  }

  #write<T>(io: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#withIoToken('writer', io, signal);
  }

  #withIoToken<T>(stage: PipelineStage, io: () => Promise<T>, signal = never): Promise<T> {
    const told = { observer: this.#observer, stage, waitingFor: 'io_token', signal } as const;
    return withToken(this.#ioTokens, io, told);
  }
}
