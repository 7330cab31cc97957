/** Threads that share nothing and only compute: what the machine gives to parallel work at best. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/**
 * In registers alone, either as much at a time as a core can, or one step after the other: a quarter of a core's work,
 * which two threads get done on one core too, and which a core that is shared with a neighbour gets done as fast. Or the
 * reference loop of all benchmarks, which writes arrays and compresses them as builds do.
 */
export type SpinKind = 'whole core' | 'one chain' | 'reference loop';

export interface Spinners extends AsyncDisposable {
  /** The same work in each of the first `count` threads at once. */
  spin(count: number, kind: SpinKind): Promise<void>;
}

export async function openSpinners(count: number): Promise<Spinners> {
  const workers = Array.from(
    { length: count },
    () => new Worker(new URL('./spin-thread.ts', import.meta.url)),
  );
  await Promise.all(workers.map((worker) => once(worker, 'online')));
  return {
    async spin(wanted, kind) {
      const started = workers.slice(0, wanted);
      const done = started.map((worker) => once(worker, 'message'));
      for (const worker of started) worker.postMessage(kind);
      await Promise.all(done);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
