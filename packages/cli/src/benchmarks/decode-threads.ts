import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { assert } from '@tracelake/domain';
import type { StreamTypes } from './synthetic-blocks.ts';

export interface DecodeTask {
  /** Its buffer moves to the thread. */
  readonly payload: Uint8Array;
  /** Index into the workload's types. */
  readonly types: number;
}

export interface DecodedColumns {
  readonly eventCount: number;
  readonly arrays: readonly Uint8Array[];
}

/** Threads that decode one block each at a time. Callers hold a CPU token, so there is always an idle one. */
export class DecodeThreads implements AsyncDisposable {
  readonly #idle: Worker[];
  readonly #all: readonly Worker[];

  constructor(count: number, types: readonly StreamTypes[]) {
    const url = new URL('./decode-thread.ts', import.meta.url);
    this.#all = Array.from({ length: count }, () => new Worker(url, { workerData: types }));
    this.#idle = [...this.#all];
  }

  /** Rejects with what the decoder throws, which ends its thread and so the benchmark. */
  async decode(task: DecodeTask): Promise<DecodedColumns> {
    const worker = this.#idle.pop();
    assert(worker !== undefined, 'whoever decodes holds a CPU token');
    const answer = once(worker, 'message');
    worker.postMessage(task, [task.payload.buffer as ArrayBuffer]);
    const [columns] = (await answer) as [DecodedColumns];
    this.#idle.push(worker);
    return columns;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((worker) => worker.terminate()));
  }
}
