/** Threads that share nothing and only compute: what the machine gives to parallel work at best. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export interface Spinners extends AsyncDisposable {
  /** The same work in each of the first `count` threads at once. */
  spin(count: number): Promise<void>;
}

export async function openSpinners(count: number): Promise<Spinners> {
  const workers = Array.from(
    { length: count },
    () => new Worker(new URL('./spin-thread.ts', import.meta.url)),
  );
  await Promise.all(workers.map((worker) => once(worker, 'online')));
  return {
    async spin(wanted) {
      const started = workers.slice(0, wanted);
      const done = started.map((worker) => once(worker, 'message'));
      for (const worker of started) worker.postMessage('spin');
      await Promise.all(done);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
