/**
 * How often the disk below a directory makes something durable in a second. Writers are threads of this process,
 * each with blocking calls: to the kernel that is as many processes. Answers each `SyncOrder` with a rate.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

export interface SyncOrder {
  readonly directory: string;
  readonly writers: number;
  readonly bytes: number;
  readonly durationMs: number;
  /** `file`: a new file, synced. `object`: also linked under its name, and the name's directory synced. */
  readonly kind: 'file' | 'object';
}

if (isMainThread) {
  process.on('message', (order: SyncOrder) => {
    void measure(order).then((rate) => process.send?.(rate));
  });
} else {
  parentPort?.once('message', () => parentPort?.postMessage(writeUntil(workerData as SyncOrder)));
  parentPort?.postMessage('ready');
}

async function measure(order: SyncOrder): Promise<number> {
  const workers = Array.from(
    { length: order.writers },
    () => new Worker(new URL(import.meta.url), { workerData: order }),
  );
  // All write at the same time, so nobody begins while others still start.
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const rates = workers.map(async (worker) => {
    worker.postMessage('begin');
    const [rate] = (await once(worker, 'message')) as [number];
    return rate;
  });
  return (await Promise.all(rates)).reduce((sum, rate) => sum + rate, 0);
}

/** Files made durable in a second by this thread. */
function writeUntil({ directory, bytes, durationMs, kind }: SyncOrder): number {
  const own = join(directory, randomUUID());
  mkdirSync(own, { recursive: true });
  const body = randomBytes(bytes);
  const folder = openSync(own, 'r');
  const startMs = performance.now();
  let count = 0;
  for (; performance.now() - startMs < durationMs; count += 1) {
    const temporary = join(own, `t${count}`);
    const file = openSync(temporary, 'wx');
    writeSync(file, body);
    fsyncSync(file);
    closeSync(file);
    if (kind === 'file') continue;
    linkSync(temporary, join(own, `o${count}`));
    unlinkSync(temporary);
    fsyncSync(folder);
  }
  closeSync(folder);
  return (count * 1000) / (performance.now() - startMs);
}
